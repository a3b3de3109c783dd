"""`waybill lab path`: each step fails on the untouched service, passes on the model solution, and names a mistake."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labs.path import later_checks
from labs.path.cli import judge
from labs.path.findings import Finding, Report
from labs.path.workspace import Workspace
from local.health import responds
from tests.labs.small_shop import small_shop
from tests.support import processes
from tests.support.waiting import until

Space = Callable[[int], Workspace]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One stack for all of these tests."""
    with small_shop(tmp_path_factory.mktemp("shop")) as space:
        yield space


@pytest.fixture
def untouched(shop: Workspace, tmp_path: Path) -> Workspace:
    """A learner's folder with the untouched service."""
    space = replace(shop, folder=tmp_path / "work" / "gift")
    space.create()
    return space


@pytest.fixture
def solved(untouched: Workspace) -> Space:
    """Puts the model solution of a step into the learner's folder."""

    def solve(step: int) -> Workspace:
        untouched.solve(step)
        return untouched

    return solve


def edit(space: Workspace, name: str, old: str, new: str) -> None:
    """Make a mistake in a file."""
    text = space.file(name)
    assert text.count(old) == 1, (name, old)
    (space.folder / name).write_text(text.replace(old, new))


def wrong(report: Report) -> dict[str, Finding]:
    """What a report finds wrong, by title."""
    return {finding.title: finding for finding in report.findings if not finding.ok}


def passes(report: Report) -> bool:
    """Whether a step is passed; shows what is wrong otherwise."""
    assert wrong(report) == {}
    return report.state == "passed"


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_the_untouched_service_passes_no_step(untouched: Workspace, step: int) -> None:
    report = judge(untouched, step)
    assert report.state == "failed"
    arrival = "Metrics arrive" if step == 4 else "Spans arrive for the probe"
    assert list(wrong(report)) == [arrival]
    assert wrong(report)[arrival].expected
    assert wrong(report)[arrival].read


@pytest.mark.parametrize("step", [2, 3, 4, 5])
def test_the_model_solution_passes_its_step(solved: Space, step: int) -> None:
    report = judge(solved(step), step)
    assert passes(report)
    assert report.traces


def test_a_guess_is_all_that_the_first_step_lacks(untouched: Workspace) -> None:
    assert list(wrong(judge(untouched, 0))) == ["Your guess is written down"]
    (untouched.folder / "guess.txt").write_text("Database\n")
    assert passes(judge(untouched, 0))


def test_zero_code_instrumentation_shows_whether_the_guess_was_right(solved: Space) -> None:
    space = solved(1)
    (space.folder / "guess.txt").write_text("database\n")
    report = judge(space, 1)
    assert passes(report)
    (note,) = report.notes
    assert note.startswith("You guessed `database`: wrong. shop ")


def test_a_missing_name_is_found_with_where_it_goes(solved: Space) -> None:
    space = solved(1)
    edit(space, "run", "export OTEL_SERVICE_NAME=gift-service\n", "")
    finding = wrong(judge(space, 1))["All of it says service.name gift-service"]
    assert finding.seen.startswith("unknown_service")
    assert "OTEL_SERVICE_NAME" in finding.expected


def test_a_command_that_does_not_start_shows_its_last_lines(solved: Space) -> None:
    space = solved(1)
    edit(space, "run", "exec opentelemetry-instrument", "exec opentelemetry-instrumentation")
    finding = wrong(judge(space, 1))["gift-service starts"]
    assert "status 127" in finding.seen
    assert "opentelemetry-instrumentation" in finding.seen


def test_an_endpoint_in_code_is_found_by_where_the_spans_went(solved: Space) -> None:
    space = solved(2)
    edit(space, "tracing.py", "OTLPSpanExporter()", f'OTLPSpanExporter(endpoint="http://{space.otlp}")')
    assert "explorer" in wrong(judge(space, 2))["Spans arrive for the probe"].seen


def test_each_mistake_in_tracing_gets_its_own_message(solved: Space) -> None:
    space = solved(2)
    processor = "    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))\n"
    edit(space, "tracing.py", processor, processor * 2)
    edit(space, "tracing.py", "Resource.create({", "Resource({")
    edit(space, "tracing.py", ', "service.version": "1.0.0"', "")
    edit(space, "tracing.py", "instrument(engine=engine)", "instrument()")
    edit(space, "run", "exec gunicorn", "gunicorn")
    found = wrong(judge(space, 2))
    assert set(found) == {
        "The resource has a version",
        "The resource also has what OTEL_RESOURCE_ATTRIBUTES says",
        "INSERT and SELECT are spans",
        "No span came twice",
        "The last spans are sent when the process is stopped by SIGTERM",
    }
    assert found["INSERT and SELECT are spans"].seen.startswith("only `connect`")
    assert "with the same id" in found["No span came twice"].seen
    assert "`exec`" in found["The last spans are sent when the process is stopped by SIGTERM"].expected


def test_spans_that_sigterm_loses_are_missed(solved: Space) -> None:
    space = solved(2)
    edit(
        space, "run", 'gunicorn --no-control-socket --bind "127.0.0.1:$PORT" gift:app', "flask --app gift run -p $PORT"
    )
    found = wrong(judge(space, 2))
    assert list(found) == ["The last spans are sent when the process is stopped by SIGTERM"]
    assert "gunicorn" in found.popitem()[1].expected


def test_two_layers_of_instrumentation_are_found(solved: Space) -> None:
    space = solved(2)
    edit(space, "run", "exec gunicorn", "exec opentelemetry-instrument gunicorn")
    finding = wrong(judge(space, 2))["The code sets up the SDK"]
    assert "opentelemetry-instrument" in finding.seen


def test_each_mistake_in_spans_gets_its_own_message(solved: Space) -> None:
    space = solved(3)
    edit(space, "gift.py", '{"gift.budget": budget}', '{"gift.budget": str(budget)}')
    edit(space, "gift.py", '@tracer.start_as_current_span("choose_gift")\n', "")
    edit(space, "gift.py", "        choice = choose_gift(read_catalog(), budget)\n", CAUGHT)
    found = wrong(judge(space, 3))
    assert set(found) == {
        "gift.budget is the budget, as a number",
        "choose_gift is under suggest_gift",
        "suggest_gift has status ERROR then",
        "The exception is an event of the span",
    }
    assert found["gift.budget is the budget, as a number"].seen.endswith("(str)")


CAUGHT = """        try:
            choice = choose_gift(read_catalog(), budget)
        except ValueError:
            return {}, 500
"""


def test_each_mistake_in_metrics_gets_its_own_message(solved: Space) -> None:
    space = solved(4)
    edit(space, "gift.py", "(time.perf_counter() - start) * 1000", "time.perf_counter() - start")
    edit(space, "gift.py", "        active.add(-1)\n", "")
    edit(space, "gift.py", '        status = "success"\n', '        status = "success"\n        active.add(-1)\n')
    edit(space, "gift.py", '{"status": status}', '{"status": status, "budget": request.args["budget"]}')
    found = wrong(judge(space, 4))
    assert set(found) == {
        "gifts.active is back at 0",
        "It has no attribute whose values grow with the traffic",
        "The slow request is in the bucket of its time",
        "The buckets tell slow from fast",
    }
    assert found["gifts.active is back at 0"].seen == "5"
    assert found["The buckets tell slow from fast"].seen.startswith("all requests are in (0, 5] ms")


def test_a_record_that_goes_twice_is_counted(solved: Space) -> None:
    space = solved(5)
    instrumentor = "from opentelemetry.instrumentation.logging import LoggingInstrumentor\n"
    edit(space, "logs.py", "from opentelemetry.sdk._logs import", f"{instrumentor}from opentelemetry.sdk._logs import")
    edit(space, "logs.py", "    root = logging", "    LoggingInstrumentor().instrument()\n    root = logging")
    edit(space, "logs.py", "if context.is_valid:", "if True:")
    found = wrong(judge(space, 5))
    assert found["The record came over OTLP, once"].seen == "2 records"
    assert "0000" in found["A line outside any span has no ids"].seen


def test_the_untouched_collector_file_and_a_service_that_does_not_send_there_fail(untouched: Workspace) -> None:
    found = wrong(judge(untouched, 6))
    assert set(found) == {
        "Every exporter exists",
        "`environment` is set on all three signals",
        "The processors are in order",
        "gift-service sends to the Collector",
    }
    assert found["Every exporter exists"].seen.startswith("loki: ")
    assert found["`environment` is set on all three signals"].seen == "not on metrics, logs"


def test_the_collector_step_is_passed_by_a_collector_only(solved: Space) -> None:
    report = judge(solved(6), 6)
    assert wrong(report) == {}
    assert report.state == ("passed" if shutil.which(later_checks.COLLECTOR) else "not done")


def test_one_trace_id_leads_to_two_backends(solved: Space) -> None:
    space = solved(7)
    assert list(wrong(judge(space, 7))) == ["The second backend runs"]
    second = processes.start(["/bin/sh", "second"], cwd=space.folder, stdout=subprocess.DEVNULL)
    try:
        page = f"http://127.0.0.1:{space.ports()['page']}/healthz"
        until(lambda: second.poll() is None and responds(page, 10))
        assert passes(judge(space, 7))
        space.solve(5)
        assert list(wrong(judge(space, 7))) == ["The spans of gift-service are in the second backend"]
    finally:
        second.terminate()
        second.wait()


def test_an_exemplar_that_the_learner_has_found_is_known(solved: Space) -> None:
    space = solved(8)
    found = wrong(judge(space, 8))
    assert list(found) == ["You have found one yourself"]
    lines, _ = until(lambda: later_checks.p99(space))
    slowest = next(exemplar for line in lines for exemplar in line["exemplars"])
    (space.folder / "slowest.txt").write_text(slowest["trace_id"])
    assert passes(judge(space, 8))


def test_an_entry_that_trusts_no_caller_links_to_the_trace(tmp_path: Path) -> None:
    with small_shop(tmp_path, incoming_trace_context="page") as space:
        space.create()
        space.solve(1)
        report = judge(space, 1)
        assert passes(report)
        assert len(report.traces) == 2
        assert "INCOMING_TRACE_CONTEXT" in report.notes[0]


def test_what_is_replaced_is_kept(untouched: Workspace) -> None:
    (untouched.folder / "mine.py").write_text("mine")
    kept = untouched.solve(4)
    assert kept is not None
    assert (kept / "mine.py").read_text() == "mine"
    assert not (untouched.folder / "mine.py").exists()
    assert (untouched.folder / "metrics.py").exists()
    untouched.reset(2)
    assert sorted(path.name for path in untouched.folder.glob("*.py")) == ["gift.py"]


def test_a_step_is_passed_once(untouched: Workspace) -> None:
    assert untouched.next_step() == 0
    untouched.mark_passed(0)
    at = untouched.passed()
    time.sleep(0.01)
    untouched.mark_passed(0)
    assert untouched.passed() == at
    assert untouched.next_step() == 1
