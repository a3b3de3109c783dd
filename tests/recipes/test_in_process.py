"""The recipes that change no telemetry, in the tests' own process: CORS, pagination, configuration, versioning."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.config import load_settings
from app.database import Database
from docs.recipes import configuration, cors, pagination, versioning
from docs.recipes.pagination import Event
from tests.recipes.conftest import make_tables
from tests.support.dependencies import dependency

PAGE = "https://shop.example"


@pytest.fixture
def cors_client(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setenv("PAGE_ORIGINS", f'["{PAGE}", "https://intranet.example"]')
    return cors.create_app().test_client()


def test_a_page_of_an_allowed_origin_may_read_the_response_and_its_trace(cors_client: FlaskClient) -> None:
    headers = cors_client.get("/quote", headers={"Origin": PAGE}).headers
    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert "traceresponse" in headers["Access-Control-Expose-Headers"]
    assert "Origin" in headers["Vary"]


def test_a_page_of_another_origin_may_not(cors_client: FlaskClient) -> None:
    headers = cors_client.get("/quote", headers={"Origin": "https://evil.example"}).headers
    assert "Access-Control-Allow-Origin" not in headers


def test_a_preflight_allows_the_trace_header(cors_client: FlaskClient) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "traceparent"}
    response = cors_client.options("/quote", headers=asked)
    assert (response.status_code, response.headers["Access-Control-Allow-Headers"]) == (200, "traceparent")
    assert response.headers["Access-Control-Max-Age"] == "600"


def test_a_problem_can_be_read_by_the_page_too(cors_client: FlaskClient) -> None:
    response = cors_client.get("/nothing", headers={"Origin": PAGE})
    assert (response.status_code, response.content_type) == (404, "application/problem+json")
    assert response.headers["Access-Control-Allow-Origin"] == PAGE


@pytest.fixture(scope="module")
def events(new_database: Callable[[str], str]) -> Iterator[FlaskClient]:
    """Seven events, three of which happened at the same moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", make_tables(new_database("events"), pagination.Base.metadata))
        app = pagination.create_app()
    with dependency(app, Database).write() as session, session.begin():
        for n in range(7):
            session.add(Event(name=f"e{n}", happened_at=datetime(2026, 11, 1, max(0, n - 2), tzinfo=UTC)))
    yield app.test_client()
    dependency(app, Database).engine.dispose()


def test_pages_have_every_event_once_newest_first_although_others_arrive_meanwhile(events: FlaskClient) -> None:
    names, cursor = [], ""
    while cursor is not None:
        page = events.get(f"/events?limit=2{cursor and f'&cursor={cursor}'}").json
        assert page is not None
        names += [event["name"] for event in page["events"]]
        cursor = page["next_cursor"]
        with dependency(events.application, Database).write() as session, session.begin():
            session.add(Event(name="new"))
    assert names[:4] == ["e6", "e5", "e4", "e3"]
    assert sorted(names[4:]) == ["e0", "e1", "e2"]


@pytest.mark.parametrize("cursor", ["x", "%00", "AAAA", "MjAyNi0xMS0wMSBub3QtYW4taWQ", "é", "OTk5OTk5LTEtMSB4"])
def test_a_cursor_that_ended_no_page_is_refused(cursor: str, events: FlaskClient) -> None:
    response = events.get(f"/events?cursor={cursor}")
    assert (response.status_code, response.content_type) == (422, "application/problem+json")
    assert [error["field"] for error in response.json["errors"]] == ["cursor"]  # type: ignore[index]


def test_a_secret_is_read_from_a_file_and_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "carrier_api_key").write_text("s3cret")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("CARRIER_MODE", "sandbox")
    response = configuration.create_app().test_client().get("/carrier")
    assert response.json == {"mode": "sandbox", "key_length": 6}
    assert "s3cret" not in repr(load_settings(configuration.Settings))


@pytest.mark.parametrize(
    ("mode", "said"),
    [(None, "missing setting CARRIER_MODE"), ("production", "bad setting CARRIER_MODE: Input should be 'sandbox'")],
)
def test_a_setting_that_is_forgotten_or_wrong_stops_the_start(
    mode: str | None, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CARRIER_API_KEY", "s3cret")
    if mode is not None:
        monkeypatch.setenv("CARRIER_MODE", mode)
    with pytest.raises(SystemExit):
        configuration.create_app()
    assert said in (error := capsys.readouterr().err)
    assert "s3cret" not in error


def test_two_versions_of_a_resource_are_served_side_by_side_and_the_older_announces_its_end() -> None:
    client, parcel = versioning.create_app().test_client(), uuid.uuid4()
    old, new = (client.get(f"/{version}/parcels/{parcel}") for version in ("v1", "v2"))
    assert (old.json, new.json) == ({"id": str(parcel), "weight": 1.25}, {"id": str(parcel), "grams": 1250})
    assert old.headers["Deprecation"] == "@1793491200"
    assert old.headers["Sunset"] == "Sat, 01 May 2027 00:00:00 GMT"
    assert "Deprecation" not in new.headers
    paths = client.get("/openapi.json").json["paths"]  # type: ignore[index]
    assert paths["/v1/parcels/{parcel_id}"]["get"]["deprecated"] is True
