"""A service answers for its own host names alone: DNS rebinding makes a foreign page's requests reach it."""

import pytest
from pydantic import ValidationError

from tests.app.probe import Settings
from tests.support.raw_http import exchange
from tests.support.service_process import ServiceProcess


def status_for(probe: ServiceProcess, host_line: bytes, target: bytes = b"/healthz", version: bytes = b"1.1") -> int:
    """The status of a GET whose header is `host_line` alone."""
    request = b"GET " + target + b" HTTP/" + version + b"\r\n" + host_line + b"Connection: close\r\n\r\n"
    return exchange(probe.port, request).status


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8080", "probe", "a.example.com"]
)
def test_loopback_and_configured_names_are_served_whatever_the_port(probe: ServiceProcess, host: str) -> None:
    assert status_for(probe, f"Host: {host}\r\n".encode()) == 200


@pytest.mark.parametrize(
    "host",
    [
        "rebound.attacker.example",
        "localhost.attacker.example",
        "127.0.0.1.attacker.example",
        "127.0.0.2",
        "[::2]",
        "[::1",
        "localhost@attacker.example",
        "localhost:port",
        "localhost, attacker.example",
        "",
        "xn--nxasmq6b",
        "\xff",
    ],
)
@pytest.mark.parametrize("target", [b"/healthz", b"/readyz", b"/things/1", b"/nowhere", b"/openapi.json"])
def test_any_other_host_is_misdirected_on_every_route(probe: ServiceProcess, host: str, target: bytes) -> None:
    answer = exchange(probe.port, b"GET " + target + b" HTTP/1.1\r\nHost: " + host.encode("latin-1") + b"\r\n\r\n")
    assert answer.status == 421
    assert "ALLOWED_HOSTS" in answer.problem["detail"]


def test_the_host_of_an_absolute_target_counts_as_well(probe: ServiceProcess) -> None:
    host = b"Host: localhost\r\n"
    assert status_for(probe, host, b"http://localhost/healthz") == 200
    assert status_for(probe, host, b"http://attacker.example/healthz") == 421
    assert status_for(probe, b"Host: attacker.example\r\n", b"http://localhost/healthz") == 421


def test_http_1_1_needs_one_host_and_http_1_0_none(probe: ServiceProcess) -> None:
    assert status_for(probe, b"") == 400
    assert status_for(probe, b"Host: localhost\r\nHost: localhost\r\n") == 400
    assert status_for(probe, b"", version=b"1.0") == 200
    assert status_for(probe, b"Host: attacker.example\r\n", version=b"1.0") == 421


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("", ()),
        ("api.example", ("api.example",)),
        (
            " Api.example , .example.com,10.0.0.7,[2001:db8::1],",
            ("api.example", ".example.com", "10.0.0.7", "[2001:db8::1]"),
        ),
        ("*", ("*",)),
    ],
)
def test_host_names_are_separated_by_commas(
    given: str, taken: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", given)
    assert Settings(database_url="sqlite:///probe.db").allowed_hosts == taken


@pytest.mark.parametrize(
    "given", ["http://api.example", "api.example:8080", "api example", "*.example.com", "2001:db8::1"]
)
def test_what_is_no_host_name_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", given)
    with pytest.raises(ValidationError, match="without scheme and port"):
        Settings(database_url="sqlite:///probe.db")
