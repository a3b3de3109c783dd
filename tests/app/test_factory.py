"""What create_service takes beside one blueprint and a database."""

import json
from dataclasses import dataclass

import flask
import pytest
import svcs
from flask import Blueprint, Flask, Response
from flask_openapi3 import APIBlueprint
from sqlalchemy import Column, Integer, MetaData, Table

from app.blueprints import QuietBlueprint
from app.config import ServiceSettings
from app.factory import create_service
from app.health import Check


@dataclass(frozen=True)
class Greeter:
    """A dependency."""

    greeting: str


def greetings() -> APIBlueprint:
    blueprint = APIBlueprint("greetings", __name__)

    @blueprint.get("/greeting")
    def greeting() -> dict[str, str]:
        """Say hello."""
        return {"greeting": svcs.flask.get(Greeter).greeting}

    return blueprint


def robots(kind: type[Blueprint]) -> Blueprint:
    blueprint = kind("robots", __name__)

    @blueprint.get("/robots.txt")
    def robots_txt() -> Response:
        return Response("User-agent: *", mimetype="text/plain")

    return blueprint


def authenticate() -> tuple[str, int] | None:
    """Let those in who say so."""
    return None if flask.request.headers.get("Authorization") else ("Who are you?", 401)


def service(
    robots_kind: type[Blueprint] = Blueprint, guarded: bool = False, checks: dict[str, Check] | None = None
) -> Flask:
    return create_service(
        "greeter",
        ServiceSettings(),
        greetings(),
        robots(robots_kind),
        version="1",
        dependencies={Greeter: Greeter("hello")},
        checks=checks,
        before_request=[authenticate] if guarded else [],
    )


def test_a_service_needs_no_database_and_takes_several_blueprints() -> None:
    client = service().test_client()
    assert client.get("/greeting").json == {"greeting": "hello"}
    assert client.get("/robots.txt").text == "User-agent: *"
    assert client.get("/readyz").json == {"status": "ready"}
    assert list(client.get("/openapi.json").get_json()["paths"]) == ["/greeting"]


def test_a_service_with_tables_and_without_the_url_of_a_database_is_refused() -> None:
    tables = MetaData()
    Table("things", tables, Column("id", Integer, primary_key=True))
    with pytest.raises(TypeError, match="DatabaseSettings"):
        create_service("greeter", ServiceSettings(), greetings(), version="1", metadata=tables)


def test_a_service_is_not_ready_while_a_check_of_its_own_fails(capsys: pytest.CaptureFixture[str]) -> None:
    broken = [True]

    def check_queue() -> None:
        if broken:
            raise RuntimeError("no route to the queue")

    client = service(checks={"queue": check_queue}).test_client()
    response = client.get("/readyz")
    assert (response.status_code, response.get_json()["detail"]) == (503, "queue is not ready. The log has the cause.")
    assert "no route to the queue" in capsys.readouterr().out
    broken.clear()
    assert client.get("/readyz").status_code == 200


def test_a_hook_is_called_before_each_request_but_those_of_quiet_blueprints() -> None:
    client = service(QuietBlueprint, guarded=True).test_client()
    assert client.get("/greeting").status_code == 401
    assert client.get("/greeting", headers={"Authorization": "Bearer me"}).status_code == 200
    assert [client.get(path).status_code for path in ("/healthz", "/readyz", "/robots.txt")] == [200, 200, 200]


@pytest.mark.parametrize(("kind", "logged"), [(Blueprint, True), (QuietBlueprint, False)])
def test_requests_of_a_quiet_blueprint_are_not_logged(
    kind: type[Blueprint], logged: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    client = service(kind).test_client()
    for path in ("/greeting", "/robots.txt", "/healthz"):
        client.get(path)
    messages = [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()]
    assert messages == ["GET /greeting 200", *(["GET /robots.txt 200"] if logged else [])]


def test_an_unexpected_error_is_a_problem_and_under_test_reaches_the_test_client() -> None:
    app = service()
    app.add_url_rule("/broken", view_func=lambda: dict[str, str]()["key"])
    assert app.test_client().get("/broken").status_code == 500
    app.testing = True
    with pytest.raises(KeyError, match="key"):
        app.test_client().get("/broken")
    assert app.test_client().get("/unknown").status_code == 404
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert app.test_client().get("/broken").status_code == 500
