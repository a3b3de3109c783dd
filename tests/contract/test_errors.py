"""Wrong routes and methods, a database that is away or empty: a problem that says what to do."""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests import conftest
from tests.conftest import RunningService, Shop, all_services_at, start_service
from tests.support.operations import Operation, operations
from tests.support.servers import free_port
from tests.support.tested_services import WITH_DATABASE

NOBODY = "http://127.0.0.1:9"
PEERS = all_services_at(NOBODY)


def problem_of(response: requests.Response) -> dict[str, Any]:
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["detail"]
    return problem


@pytest.mark.parametrize(
    "path", ["/nothing", "/orders/1/2", "/%00", "/%ff%fe", "/..%2f..%2fetc/passwd", "/" + "x" * 5000, "/healthz/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_route_that_is_not_there_is_not_found(service: RunningService, method: str, path: str) -> None:
    response = requests.request(method, service.url + path, timeout=60)
    assert response.status_code == 404
    assert problem_of(response)["status"] == 404


@pytest.mark.parametrize("method", ["other", "PATCH", "DELETE", "TRACE", "MADE-UP"])
def test_a_method_that_a_route_does_not_have_is_refused_with_those_it_has(
    shop: Shop, operation: Operation, method: str
) -> None:
    if method == "other":
        method = "PUT" if operation.method == "POST" else "POST"
    url = shop.services[operation.service].url + operation.path
    response = requests.request(method, url, json={}, timeout=10)
    assert response.status_code == 405
    assert operation.method in response.headers["Allow"]
    assert problem_of(response)["status"] == 405


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json"])
def test_what_is_only_read_takes_no_post(service: RunningService, path: str) -> None:
    response = requests.post(service.url + path, json={}, timeout=60)
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]


def test_a_service_with_its_database_is_alive_and_ready(service: RunningService) -> None:
    assert requests.get(f"{service.url}/healthz", timeout=60).json() == {"status": "ok"}
    assert requests.get(f"{service.url}/readyz", timeout=60).json() == {"status": "ready"}


@pytest.mark.parametrize("name", WITH_DATABASE)
def test_a_service_whose_database_is_away_says_to_try_later(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "migrate", lambda _service, _url: None)
    url = f"postgresql://waybill@127.0.0.1:{free_port()}/{name}"
    service = start_service(name, url, **PEERS)
    operation = next(operation for operation in operations(name) if operation.takes_body)
    headers = {"Idempotency-Key": "a-key"}
    url = service.url + operation.path
    response = requests.request(operation.method, url, json=operation.body, headers=headers, timeout=20)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "retry" in problem_of(response)["detail"]
    ready = requests.get(f"{service.url}/readyz", timeout=20)
    assert ready.status_code == 503
    assert problem_of(ready)["detail"] == "database is not ready. The log has the cause."
    assert requests.get(f"{service.url}/healthz", timeout=60).status_code == 200
    service.close()


@pytest.mark.parametrize("name", WITH_DATABASE)
def test_a_service_that_was_not_migrated_logs_what_to_do_and_is_ready_once_it_was(
    name: str, new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = new_database(name)
    with monkeypatch.context() as patch:
        patch.setattr(conftest, "migrate", lambda _service, _url: None)
        service = start_service(name, url, **PEERS)
    response = requests.get(f"{service.url}/readyz", timeout=60)
    assert response.status_code == 503
    assert problem_of(response)["detail"] == "database is not ready. The log has the cause."
    assert "apply the migrations first" in capsys.readouterr().out
    conftest.migrate(name, url)
    assert requests.get(f"{service.url}/readyz", timeout=60).status_code == 200
    service.close()
