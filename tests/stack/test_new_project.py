"""A project of its own in containers: its image builds, and its own Jaeger has the trace of a request."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from local.client import trace_id_of
from local.settings import HOST, ROOT
from tests.stack.conftest import ARRIVAL_TIMEOUT, compose
from tests.support.local_stack import free_ports
from tests.support.waiting import until


@pytest.fixture
def ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """The published ports of the running containers of a new project; afterwards they and their image are gone."""
    folder = tmp_path / "acme-stack"
    command = [sys.executable, "-m", "local.cli", "new", "acme-stack", str(folder), "--defaults"]
    subprocess.run(command, cwd=ROOT, check=True)
    ports = dict(zip(("PORT", "TRACES_PORT"), free_ports(2), strict=True))
    for name, port in ports.items():
        monkeypatch.setenv(name, str(port))
    monkeypatch.delenv("COMPOSE_FILE", raising=False)
    try:
        compose("up", "--detach", "--build", "--wait", folder=folder)
        yield ports
    finally:
        compose("down", "--volumes", "--rmi", "local", folder=folder)
        subprocess.run(["docker", "image", "rm", "acme-stack"], check=False, capture_output=True)


def test_a_new_project_comes_up_in_containers_and_its_trace_is_in_its_jaeger(ports: dict[str, int]) -> None:
    note = f"http://{HOST}:{ports['PORT']}/notes/{uuid.uuid4()}"
    response = requests.put(note, json={"label": "first-note"}, timeout=60)
    assert response.status_code == 201, response.text
    url = f"http://{HOST}:{ports['TRACES_PORT']}/api/traces/{trace_id_of(response)}"

    def names() -> set[str]:
        return {
            span["operationName"]
            for trace in requests.get(url, timeout=30).json()["data"] or []
            for span in trace["spans"]
        }

    until(lambda: {"PUT /notes/<uuid:note_id>", "keep_note", "INSERT acme_stack"} <= names(), ARRIVAL_TIMEOUT)
    assert requests.get(note, timeout=60).json()["label"] == "first-note"
