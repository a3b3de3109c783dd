"""The pager of the container stack, run as its container runs it, with what Alertmanager sends."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.health import responds
from local.settings import HOST, ROOT
from tests.support.servers import free_port
from tests.support.waiting import until
from tests.test_docs import anchors


def payload(status: str, **annotations: str) -> dict[str, Any]:
    """A webhook of Alertmanager with one alert: https://prometheus.io/docs/alerting/latest/configuration/"""
    alert = {
        "status": status,
        "labels": {"alertname": "TargetDown", "job": "otel-collector", "severity": "page"},
        "annotations": annotations,
        "startsAt": "2026-11-30T12:00:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1:9090/graph",
        "fingerprint": "0123456789abcdef",
    }
    return {"version": "4", "status": status, "receiver": "pager", "groupLabels": {}, "alerts": [alert]}


@pytest.fixture(scope="module")
def pager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a pager that is running."""
    folder = tmp_path_factory.mktemp("pager")
    for file in (ROOT / "alertmanager" / "pager.py", ROOT / "docs" / "runbooks.md"):
        shutil.copy(file, folder)
    port = free_port()
    command = [sys.executable, "-IS", "pager.py"]
    environment = {**os.environ, "HOST": HOST, "PORT": str(port)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            url = f"http://{HOST}:{port}"
            until(lambda: process.poll() is not None or responds(f"{url}/readyz", 5))
            assert process.poll() is None
            yield url
        finally:
            process.kill()


def test_a_notification_is_shown_with_its_runbook_the_newest_first(pager: str) -> None:
    runbook = f"{pager}/runbooks#target-down"
    for status in ("firing", "resolved"):
        assert requests.post(pager, json=payload(status, summary="It is down", runbook_url=runbook), timeout=60).ok

    page = requests.get(pager, timeout=60).text
    noted = requests.get(f"{pager}/notifications", timeout=60).json()

    assert re.findall(r'class="(firing|resolved)"', page)[:2] == ["resolved", "firing"]
    assert f'<a href="{runbook}">' in page
    assert [(each["status"], each["alert"], each["summary"]) for each in noted[-2:]] == [
        ("firing", "TargetDown", "It is down"),
        ("resolved", "TargetDown", "It is down"),
    ]


def test_text_of_an_alert_is_no_html_and_its_link_is_no_script(pager: str) -> None:
    hostile = payload("firing", summary="<script>alert(1)</script>", runbook_url="javascript:alert(1)")
    assert requests.post(pager, json=hostile, timeout=60).ok

    page = requests.get(pager, timeout=60).text

    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "javascript:" not in page


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("not json", {"Content-Type": "application/json"}, 422),
        ('{"alerts": [{}]}', {"Content-Type": "application/json"}, 422),
        ("[]", {"Content-Type": "application/json"}, 422),
        # What a page of another origin can send without asking.
        ('{"alerts": []}', {"Content-Type": "text/plain"}, 415),
    ],
)
def test_what_is_no_webhook_is_refused(pager: str, body: str, headers: dict[str, str], status: int) -> None:
    before = requests.get(f"{pager}/notifications", timeout=60).json()

    assert requests.post(pager, data=body, headers=headers, timeout=60).status_code == status

    assert requests.get(f"{pager}/notifications", timeout=60).json() == before


def test_each_heading_of_the_runbooks_has_the_anchor_that_links_name(pager: str) -> None:
    page = requests.get(f"{pager}/runbooks", timeout=60).text

    assert set(re.findall(r'<h\d id="([^"]+)"', page)) == anchors((ROOT / "docs" / "runbooks.md").read_text())


def test_there_is_no_other_page(pager: str) -> None:
    assert requests.get(f"{pager}/etc/passwd", timeout=60).status_code == 404
