"""One registry of services: a wrong entry is named, a generated part is fresh, and no place is left out."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.generate import (
    PARTS,
    alembic_sections,
    compose_databases,
    compose_proxy,
    compose_services,
    database_names,
    pages_ready,
    proxied_pages,
    renewed,
)
from local.registry import FILE, REGISTRY, SERVICES, Service, read, start_order
from local.settings import ROOT
from tests.support.fifth_service import NAME, copy_with_a_fifth_service, run, without_the_entry
from tests.support.service_places import missing, places


@pytest.mark.parametrize(("file", "part"), PARTS, ids=lambda value: value)
def test_a_generated_part_is_fresh(file: str, part: str) -> None:
    text = (ROOT / file).read_text()
    assert text == renewed(text, file, part), "run `make generate`"


def test_each_place_that_must_know_a_service_knows_every_service() -> None:
    assert missing() == []


def test_a_service_starts_after_those_that_it_calls() -> None:
    for name in SERVICES:
        assert all(SERVICES.index(called) < SERVICES.index(name) for called in REGISTRY[name].calls)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("[Fifth]\nport = 8084", "[Fifth] name: "),
        ("[fifth]", "[fifth] port: Field required"),
        ("[fifth]\nport = 0", "[fifth] port: "),
        ("[fifth]\nport = 8084\ncach = true", "[fifth] cach: "),
        ("[fifth]\nport = 8084\ncalls = ['stock']", "[fifth] calls stock, which has no entry"),
        ("[fifth]\nport = 8083", "notification and fifth have the same port 8083"),
        ("[fifth]\nport = 8084\ncalls = ['skeleton']", "[fifth] calls skeleton, which is in no stack"),
    ],
)
def test_a_wrong_entry_is_named_with_what_is_wrong(entry: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "services.toml"
    file.write_text(f"{FILE.read_text()}\n{entry}\n")
    with pytest.raises(ValueError, match=re.escape(f"services.toml: {said}")):
        read(file)


def test_services_that_call_each_other_are_named() -> None:
    called_back = REGISTRY["payment"].model_copy(update={"calls": ("order",)})
    with pytest.raises(ValueError, match=r"order.* call each other in a circle"):
        start_order({**REGISTRY, "payment": called_back})


def test_a_service_is_given_what_its_entry_says_and_nothing_else() -> None:
    plain = Service(name=NAME, port=8084, database=False)
    rich = Service(name=NAME, port=8084, calls=("payment",), cache=True, page="Points", memory=96)
    given = ("DATABASE_URL:", "CACHE_URL:", "PAYMENT_URL:", "PAGE_TRACES_URL:", "valkey:")
    for service, has in ((plain, False), (rich, True)):
        block = compose_services({NAME: service, "payment": REGISTRY["payment"]}).partition("payment-service:\n")[0]
        assert {what: what in block for what in given} == dict.fromkeys(given, has)
        assert f"mem_limit: {service.memory}m" in block
        for proxied in (compose_proxy, pages_ready, proxied_pages):
            assert (f"{NAME}-service" in proxied({NAME: service})) is has
    assert NAME not in alembic_sections({NAME: plain}) + database_names({NAME: plain}) + compose_databases(
        {NAME: plain}
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a fifth service, as a reader adds one."""
    return copy_with_a_fifth_service(tmp_path_factory.mktemp("fifth") / "copy")


def reported(copy: Path) -> str:
    """Return what the copy says of its own places."""
    result = run(copy, "-m", "tests.support.service_places")
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis")
"""Without the plugin whose import would take most of the time."""
CHECKS = (
    "tests/test_architecture.py::test_each_service_is_one_name_in_three_folders",
    "tests/test_architecture.py::test_a_service_keeps_its_files_where_every_service_has_them",
    "tests/test_compose_file.py",
    "tests/test_registry.py::test_a_generated_part_is_fresh",
    "tests/test_telemetry_registry.py::test_a_generated_file_is_fresh",
    "tests/test_registry.py::test_each_place_that_must_know_a_service_knows_every_service",
)
COVERED_BY = (
    "tests/contract/test_bad_input.py",
    "tests/contract/test_errors.py",
    "tests/contract/test_openapi.py",
    "tests/test_declared_telemetry.py",
    "tests/test_migrations.py",
    "tests/test_score.py",
)
"""The files whose tests run for each service."""


def test_a_fifth_service_passes_the_checks_without_another_edit(copy: Path) -> None:
    result = run(copy, *PYTEST, *CHECKS)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_fifth_service_is_covered_by_every_test_that_runs_for_each_service(copy: Path) -> None:
    collected = run(copy, *PYTEST, "--collect-only", *COVERED_BY).stdout
    tests = re.findall(rf"^(\S+\.py)::.*\[.*{NAME}.*\]$", collected, re.MULTILINE)
    assert set(tests) == set(COVERED_BY), collected


def without_lines(pattern: str) -> Callable[[str], str]:
    """Return what removes the lines of a text that match."""
    return lambda text: "".join(line for line in text.splitlines(keepends=True) if not re.search(pattern, line))


def replacing(old: str, new: str) -> Callable[[str], str]:
    """Return what replaces a part of a text that must be there once."""

    def edit(text: str) -> str:
        assert text.count(old) == 1, old
        return text.replace(old, new)

    return edit


OTHERS = f"for name in SERVICES if name != '{NAME}'"
REMOVALS: dict[str, tuple[str, Callable[[str], str] | None]] = {
    "services.toml": ("services.toml", without_the_entry),
    "services/<name>/": (f"services/{NAME}/telemetry.py", None),
    "migrations/<name>/": (f"migrations/{NAME}/0001_tables.py", None),
    "tests/<name>/": (f"tests/{NAME}/test_notes.py", None),
    ".env (ports)": (".env", without_lines(f"^{NAME.upper()}_PORT=")),
    "migrations/alembic.ini (sections)": ("migrations/alembic.ini", without_lines(NAME)),
    "postgres/databases.sql (databases)": ("postgres/databases.sql", replacing(f",{NAME}", "")),
    "docker-compose.yml (services)": ("docker-compose.yml", without_lines(f"^  {NAME}-service:")),
    "docker-compose.yml (databases)": ("docker-compose.yml", without_lines(f"{NAME.upper()}_DATABASE_URL")),
    "docker-compose.yml (proxy)": ("docker-compose.yml", without_lines(rf"^ +{NAME}-service: \{{condition")),
    "haproxy/haproxy.cfg (readiness)": ("haproxy/haproxy.cfg", without_lines(rf"nbsrv\({NAME}-")),
    "haproxy/haproxy.cfg (pages)": ("haproxy/haproxy.cfg", without_lines(f"^backend {NAME}-")),
    "prometheus/pipeline.yaml (services with telemetry)": (
        "prometheus/pipeline.yaml",
        without_lines(f"absent.*{NAME}-service"),
    ),
    "prometheus/pipeline.yaml (memory limits)": ("prometheus/pipeline.yaml", without_lines(f"job: {NAME}-service")),
    "kubernetes/base/migrations.yaml (databases)": (
        "kubernetes/base/migrations.yaml",
        without_lines(f"{NAME}-database"),
    ),
    "kubernetes/overlays/local/kustomization.yaml (databases)": (
        "kubernetes/overlays/local/kustomization.yaml",
        without_lines(f"{NAME}-database"),
    ),
    "kubernetes/overlays/production/databases.yaml (databases)": (
        "kubernetes/overlays/production/databases.yaml",
        without_lines(f"{NAME}-database"),
    ),
    "kubernetes/base/services/kustomization.yaml": (
        "kubernetes/base/services/kustomization.yaml",
        replacing(f", {NAME}", ""),
    ),
    "kubernetes/base/services/<name>/": (f"kubernetes/base/services/{NAME}/kustomization.yaml", None),
    "README.md (table of services)": ("README.md", without_lines(f"{NAME}-service")),
    "docs/telemetry.md": ("docs/telemetry.md", without_lines(f"^## {NAME}-service")),
    "local/processes.py": ("local/processes.py", replacing("for name in SERVICES)", f"{OTHERS})")),
    "local/processes.py (migrations)": (
        "local/processes.py",
        replacing("for name in DATABASES}", f"for name in DATABASES if name != '{NAME}'}}"),
    ),
    "local/doctor.py": ("local/doctor.py", replacing("for name in SERVICES)\n", f"{OTHERS})\n")),
    "local/doctor.py (traces)": ("local/doctor.py", replacing("for name in SERVICES\n", f"{OTHERS}\n")),
    "local/containers.py": (
        "local/containers.py",
        replacing("if service.page},\n", f"if service.page and service.name != '{NAME}'}},\n"),
    ),
    "tests/support/local_stack.py": (
        "tests/support/local_stack.py",
        replacing("for service in SERVICES),", f"for service in SERVICES if service != '{NAME}'),"),
    ),
}
"""Place -> the file of the copy and how the service goes from it; None removes the file."""


def test_each_place_is_tested_below() -> None:
    assert REMOVALS.keys() == places().keys()


@pytest.fixture(scope="module")
def report_without_an_entry(copy: Path) -> str:
    """What is said of a service that has its folders and all else, and no entry."""
    with removed(copy, ["services.toml"]):
        return reported(copy)


@pytest.fixture(scope="module")
def report_without_the_rest(copy: Path) -> str:
    """What is said of a service that has an entry, and is removed from every other place."""
    with removed(copy, [place for place in REMOVALS if place != "services.toml"]):
        return reported(copy)


@contextmanager
def removed(copy: Path, from_places: list[str]) -> Iterator[None]:
    """Take the fifth service away from these places of the copy for a while."""
    whole = {copy / REMOVALS[place][0]: (copy / REMOVALS[place][0]).read_text() for place in from_places}
    for place in from_places:
        file, remove = REMOVALS[place]
        if remove is None:
            (copy / file).unlink()
        else:
            (copy / file).write_text(remove((copy / file).read_text()))
    try:
        yield
    finally:
        for path, text in whole.items():
            path.write_text(text)


@pytest.mark.parametrize("place", REMOVALS)
def test_a_service_that_a_place_does_not_know_is_named_with_the_place(
    place: str, report_without_an_entry: str, report_without_the_rest: str
) -> None:
    report = report_without_an_entry if place == "services.toml" else report_without_the_rest
    assert f"{NAME} is missing in {place}\n" in report
