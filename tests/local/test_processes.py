"""The process table: what each process of the local stack is given."""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.child import environment as environment_of
from local.processes import ProcessSpec, process_table
from local.settings import LocalSettings
from tests.support.waiting import CAP, until


def rows() -> dict[str, ProcessSpec]:
    return {spec.name: spec for spec in process_table(LocalSettings())}


def test_each_service_has_its_port_and_its_database_in_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAYBILL_DATA", str(tmp_path))
    monkeypatch.setenv("ORDER_PORT", "18080")
    monkeypatch.setenv("PAYMENT_DATABASE_URL", "postgresql+psycopg://waybill@localhost/payment")

    table = rows()

    assert table["order-service"].ports == {"ORDER_PORT": 18080}
    assert table["order-service"].environment["PORT"] == "18080"
    assert table["order-service"].environment["DATABASE_URL"] == f"sqlite:///{tmp_path}/order.db"
    assert table["payment-service"].environment["DATABASE_URL"].startswith("postgresql+psycopg://")
    assert table["explorer"].environment["WAYBILL_DATA"] == str(tmp_path)


def test_what_the_shell_sets_for_telemetry_and_workers_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example")
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    monkeypatch.setenv("THREADS", "")

    environment = rows()["order-service"].environment

    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://collector.example"
    assert environment["WEB_CONCURRENCY"] == "4"
    assert environment["THREADS"] == "8"
    assert environment["OTEL_RESOURCE_ATTRIBUTES"] == "deployment.environment.name=local"


def test_what_names_one_service_in_the_shell_is_not_given_to_all_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "my-app")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=tea, service.name =my-app,service.instance.id=1,a=b")

    for spec in rows().values():
        assert "OTEL_SERVICE_NAME" not in environment_of(spec)
    assert environment_of(rows()["order-service"])["OTEL_RESOURCE_ATTRIBUTES"] == "team=tea,a=b"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=my-app")
    attributes = environment_of(rows()["order-service"])["OTEL_RESOURCE_ATTRIBUTES"]
    assert attributes == "deployment.environment.name=local"


@pytest.mark.parametrize(("protocol", "port"), [("", "4317"), ("grpc", "4317"), ("http/protobuf", "4318")])
def test_telemetry_goes_to_the_port_of_its_protocol(protocol: str, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTLP_GRPC_PORT", "4317")
    monkeypatch.setenv("OTLP_HTTP_PORT", "4318")

    assert rows()["order-service"].environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://127.0.0.1:{port}"


def test_a_proxy_is_kept_for_the_world_and_not_used_between_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", ".example")

    environment = environment_of(rows()["order-service"])

    assert environment["https_proxy"] == "http://proxy.example:3128"
    assert environment["no_proxy"] == environment["NO_PROXY"] == ".example,127.0.0.1"


def test_the_cache_server_answers_a_redis_client_and_stops_while_one_is_connected() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "CACHE_PORT": str(port)}
    server = subprocess.Popen([sys.executable, "-m", "local.cache_server"], env=environment)
    try:
        with redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as client:

            def ready() -> bool:
                assert server.poll() is None
                with suppress(redis.ConnectionError):
                    return bool(client.ping())
                return False

            until(ready)
            client.set("sku", "TEA-SENCHA", ex=60)
            assert client.get("sku") == b"TEA-SENCHA"
            server.terminate()
            server.wait(CAP)
    finally:
        server.kill()
        server.wait()
