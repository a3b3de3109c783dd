"""`waybill new-service` in a copy of the project: what it writes keeps every rule, runs, and can be removed again."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from local import new_service, skeleton
from local.client import TraceApi, trace_id_of
from local.registry import REGISTRY
from template import rules
from tests.support.fifth_service import ROOT, copy_of_the_project, run
from tests.support.local_stack import free_ports, local_stack
from waybill_explorer.client import ClientError

BIN = Path(sys.executable).parent
NAMES = ("calling", "alone")
"""Not the names of services that a reader is likely to add."""
WAYBILL = ("-m", "local.cli")
CACHES = {"__pycache__", ".hypothesis", ".import_linter_cache", ".mypy_cache", ".ruff_cache", ".waybill"}
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project."""
    copy = copy_of_the_project(tmp_path_factory.mktemp("new") / "copy")
    if (ROOT / ".mypy_cache").exists():  # what it knows of the libraries takes most of its time
        shutil.copytree(ROOT / ".mypy_cache", copy / ".mypy_cache")
    return copy


@pytest.fixture(scope="module")
def before(untouched: Path) -> dict[str, bytes]:
    """The files of the copy before the services are added."""
    return files(untouched)


@pytest.fixture(scope="module")
def copy(untouched: Path, before: dict[str, bytes]) -> Iterator[Path]:
    """The copy with both services; afterwards they are removed, and the copy is as it was."""
    done(run(untouched, *WAYBILL, "new-service", "calling", "--calls", "notification,payment"))
    done(run(untouched, *WAYBILL, "new-service", "alone"))
    yield untouched
    for name in NAMES:
        done(run(untouched, *WAYBILL, "remove-service", name))
    assert files(untouched) == before


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file by its path, without what Python and its tools leave."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if not CACHES & {*path.parts}
    }


def done(process: subprocess.CompletedProcess[str]) -> str:
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["lint-imports", "--no-cache"],
        ["mypy", *(f"services/{name}" for name in NAMES)],
    ],
    ids=["lint", "format", "imports", "types"],
)
def test_new_services_keep_the_rules_of_the_house(copy: Path, command: list[str]) -> None:
    done(subprocess.run([BIN / command[0], *command[1:]], cwd=copy, capture_output=True, text=True))


def test_new_services_pass_their_own_tests_and_are_missing_in_no_place(copy: Path) -> None:
    fresh = ("test_registry.py::test_a_generated_part_is_fresh", "test_telemetry_registry.py")
    checks = (*(f"tests/{name}" for name in fresh), "tests/test_compose_file.py")
    done(run(copy, *PYTEST, *(f"tests/{name}" for name in NAMES), *checks, "-k", "not postgresql"))
    assert done(run(copy, "-m", "tests.support.service_places")) == ""


def test_a_new_service_keeps_the_contract_and_declares_its_telemetry(copy: Path) -> None:
    checks = ("tests/contract", "tests/test_declared_telemetry.py", "tests/test_migrations.py")
    printed = done(run(copy, *PYTEST, *checks, "-k", "calling and not postgresql"))
    assert int(printed.rpartition(" passed")[0].split()[-1]) > 50


def test_a_new_service_is_started_with_the_others_and_its_trace_reaches_those_that_it_calls(
    copy: Path, tmp_path: Path
) -> None:
    ports = dict(zip(("CALLING_PORT", "ALONE_PORT"), map(str, free_ports(2)), strict=True))
    with local_stack(tmp_path, ports, command=(sys.executable, *WAYBILL, "up"), folder=copy) as stack:
        url = f"{stack.url('calling')}/notes/{uuid.uuid4()}"
        response = requests.put(url, json={"label": "first-note"}, timeout=60)
        assert response.status_code == 201, response.text
        fetched = TraceApi(stack.traces_url).wait_for_trace(trace_id_of(response) or "", 60)
        assert fetched
        services = {process["serviceName"] for process in fetched.data["processes"].values()}
        assert services == {"calling-service", "notification-service", "payment-service"}
        assert "keep_note" in {span["operationName"] for span in fetched.data["spans"]}
        doctor = subprocess.run(
            [sys.executable, *WAYBILL, "doctor"], cwd=copy, env=stack.environment, capture_output=True, text=True
        )
        assert "traces of calling" in doctor.stdout, doctor.stdout + doctor.stderr


def test_a_service_that_was_changed_since_is_removed_only_by_force(copy: Path) -> None:
    routes = copy / "services/alone/routes.py"
    text = routes.read_text()
    routes.write_text(text + "# Ours.\n")
    present = files(copy)
    refused = run(copy, *WAYBILL, "remove-service", "alone")
    assert refused.returncode == 1
    assert "services/alone/routes.py" in refused.stderr
    assert files(copy) == present
    routes.write_text(text)


def test_the_next_migration_is_what_the_models_say_and_the_revisions_do_not(copy: Path, tmp_path: Path) -> None:
    command = (*WAYBILL, "revision", "alone", "add address")
    nothing = run(copy, *command)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "nothing that its revisions lack" in nothing.stderr

    models, text = copy / "services/alone/models.py", (copy / "services/alone/models.py").read_text()
    label = "    label: Mapped[str]"
    models.write_text(text.replace(label, f"    address: Mapped[str | None] = mapped_column(String(9))\n{label}"))
    revision = copy / "migrations/alone/0002_add_address.py"
    assert done(run(copy, *command)).strip() == str(revision)
    assert 'batch_op.add_column(sa.Column("address", sa.String(length=9), nullable=True))' in revision.read_text()
    assert revision.read_text().startswith('"""Add address."""\n')
    for check in (["check"], ["format", "--check"]):
        done(subprocess.run([BIN / "ruff", *check, "migrations"], cwd=copy, capture_output=True, text=True))

    behind = {**os.environ, "ALONE_DATABASE_URL": f"sqlite:///{tmp_path}/behind.db"}
    refused = subprocess.run([sys.executable, *command], cwd=copy, env=behind, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "not at the latest revision. Run `waybill migrate` first" in refused.stderr
    revision.unlink()
    models.write_text(text)


@pytest.fixture
def _writing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no mistake in a refusal change this project."""

    def fail(*_: object) -> list[str]:
        raise AssertionError("it would have written")

    monkeypatch.setattr(new_service, "_write", fail)
    monkeypatch.setattr(shutil, "rmtree", fail)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Shipping", "not a lower-case letter"),
        ("ship-ping", "not a lower-case letter"),
        ("", "not a lower-case letter"),
        ("payment", "in services.toml already"),
        ("skeleton", "in services.toml already"),
        ("import", "a word of Python"),
        ("app", "taken by app"),
        ("contract", "taken by tests/contract"),
        ("public", "PostgreSQL"),
        ("cache", "CACHE_PORT"),
        ("traces", "TRACES_PORT"),
        ("database", "DATABASE_URL"),
        ("http", "OpenTelemetry's conventions"),
    ],
)
@pytest.mark.usefixtures("_writing_fails")
def test_a_name_that_is_bad_reserved_or_taken_is_refused(name: str, said: str) -> None:
    with pytest.raises(ClientError, match=said):
        new_service.add(name, [], None)


@pytest.mark.parametrize(
    ("calls", "port", "said"),
    [
        (["nothing"], None, "cannot call 'nothing'"),
        (["alone"], None, "cannot call 'alone'"),
        (["skeleton"], None, "cannot call 'skeleton'"),
        (["payment", "payment"], None, "twice"),
        ([], REGISTRY["payment"].port, "taken by PAYMENT_PORT"),
        ([], 9090, "taken by PROMETHEUS_PORT"),
        ([], 80, "not a port"),
        ([], 65536, "not a port"),
    ],
)
@pytest.mark.usefixtures("_writing_fails")
def test_calls_and_a_port_that_cannot_be_are_refused(calls: list[str], port: int | None, said: str) -> None:
    with pytest.raises(ClientError, match=said):
        new_service.add("alone", calls, port)


@pytest.mark.parametrize(
    ("name", "said"),
    [("payment", "called by order"), ("order", "not as new-service wrote"), ("alone", "no service")],
)
@pytest.mark.usefixtures("_writing_fails")
def test_what_is_called_was_changed_or_does_not_exist_is_not_removed(name: str, said: str) -> None:
    with pytest.raises(ClientError, match=said):
        new_service.remove(name)


def test_what_cannot_be_written_whole_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_service, "ROOT", tmp_path)
    (tmp_path / "services").mkdir()
    (tmp_path / "services.toml").write_text("[order]\n")
    present = files(tmp_path)
    texts = {"services/shipping/a.py": "a", "services.toml": "[shipping]\n", "services.toml/b.py": "b"}
    with pytest.raises(OSError, match=r"services\.toml"):
        new_service._write(texts)
    assert files(tmp_path) == present


def test_the_skeleton_has_everything_that_a_service_without_calls_lacks() -> None:
    """Else it would silently be left in."""
    text = "".join(path.read_text() for path in skeleton.files_in("skeleton"))
    assert [code for code in rules.CODE_OF_CALLS if code not in text] == []
    names = {path.name for path in skeleton.files_in("skeleton")}
    assert names.issuperset(rules.FILES_OF_CALLS)
