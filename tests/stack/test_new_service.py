"""A service that is added while the stack and its volumes are there: its database is made, and its trace is seen."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.conftest import ARRIVAL_TIMEOUT, compose, services_in, trace
from tests.support.fifth_service import NAME, copy_of_the_project, run
from tests.support.waiting import until

HOST = f"{NAME}-service"
PUT_A_NOTE = """
import json, os, urllib.request, uuid
url = f"http://127.0.0.1:{os.environ['PORT']}/notes/{uuid.uuid4()}"
body, headers = json.dumps({"label": "first-note"}).encode(), {"Content-Type": "application/json"}
response = urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT"))
print(response.headers["traceresponse"].split("-")[1])
"""
"""Sent from inside its container, since its port is not published."""

AS_SUPERUSER = "postgresql://postgres:waybill@127.0.0.1/postgres"


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """A copy of the project with one service more; afterwards nothing of that service is left in the stack."""
    copy = copy_of_the_project(tmp_path / "copy")
    added = run(copy, "-m", "local.cli", "new-service", NAME, "--calls", "notification")
    assert added.returncode == 0, added.stdout + added.stderr
    yield copy
    compose("rm", "--stop", "--force", HOST, folder=copy)
    for statement in (f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)", f"DROP ROLE IF EXISTS {NAME}"):
        compose("exec", "-T", "postgres", "psql", "-qc", statement, AS_SUPERUSER)
    compose("build", "migrate")  # the image of this project again
    compose("up", "--detach", "--wait", "otel-collector")  # it and what it depends on have the copy's files mounted


def test_a_new_service_comes_up_with_its_database_on_the_volume_that_is_there(copy: Path) -> None:
    compose("up", "--detach", "--build", "--wait", HOST, folder=copy)
    trace_id = compose("exec", "-T", HOST, "python", "-c", PUT_A_NOTE, folder=copy).strip()
    until(lambda: {NAME, "notification"} <= services_in(trace(trace_id)), ARRIVAL_TIMEOUT)
