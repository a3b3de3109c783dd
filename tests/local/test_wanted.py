"""The supervisor brings the processes to a wanted state and back, on small services."""

import sys
import time
from pathlib import Path

import psutil

from local import wanted
from local.processes import ProcessSpec
from local.wanted import Wanted, WantedProcess
from tests.local.test_supervisor import NewSpec, NewStack, Stack, gunicorn, service, stack
from tests.support.waiting import until

__all__ = ["gunicorn", "service", "stack"]  # fixtures
LONG = 3600


def want(
    running: Stack,
    processes: dict[str, WantedProcess],
    *,
    identity: str = "one",
    seconds: float = LONG,
    undo: tuple[tuple[str, ...], ...] = (),
) -> None:
    state = Wanted(id=identity, ends_at=time.time() + seconds, says="one is other", off="-", processes=processes)
    wanted.write(running.data, state.model_copy(update={"undo": undo}))


def in_force(running: Stack, identity: str) -> None:
    def reached() -> bool:
        assert running.process.poll() is None, running.output
        state = wanted.state(running.data)
        return bool(state and state.id == identity and not state.waiting)

    until(reached)


def environment(running: Stack, name: str) -> dict[str, str]:
    return psutil.Process(running.pids[name]).environ()


def another(spec: ProcessSpec) -> dict[str, WantedProcess]:
    return {spec.name: WantedProcess(command=spec.command, ready=spec.ready, environment=spec.environment)}


def test_only_the_process_that_is_to_differ_is_replaced_and_returns_to_the_table(
    stack: NewStack, service: NewSpec
) -> None:
    running = stack(service("inventory"), service("payment")).up()
    before = running.pids

    want(running, {"payment": WantedProcess(environment={"PACE": "slow"})})
    in_force(running, "one")

    assert running.pids["inventory"] == before["inventory"]
    assert running.pids["payment"] != before["payment"]
    assert environment(running, "payment")["PACE"] == "slow"

    wanted.write(running.data, None)
    in_force(running, "")

    assert running.pids["inventory"] == before["inventory"]
    assert "PACE" not in environment(running, "payment")
    assert running.stop() == 0


def test_a_new_name_is_one_more_process_which_goes_with_the_file(stack: NewStack, service: NewSpec) -> None:
    running = stack(service("inventory")).up()

    want(running, another(service("report")))
    in_force(running, "one")
    report = psutil.Process(running.pids["report"])
    wanted.write(running.data, None)
    in_force(running, "")

    assert list(running.pids) == ["inventory"]
    assert not report.is_running()


def test_the_same_processes_under_another_id_are_not_replaced(stack: NewStack, service: NewSpec) -> None:
    running = stack(service("inventory")).up()
    changed = {"inventory": WantedProcess(environment={"PACE": "slow"})}
    want(running, changed)
    in_force(running, "one")
    before = running.pids

    want(running, changed, identity="two")
    in_force(running, "two")

    assert running.pids == before


def test_a_process_takes_the_port_of_another_that_moves(stack: NewStack, service: NewSpec, tmp_path: Path) -> None:
    payment, hidden = service("payment"), service("payment")
    running = stack(payment).up()

    moved = WantedProcess(command=hidden.command, ready=hidden.ready)
    proxy = WantedProcess(command=payment.command, ready=payment.ready, environment={"FOLDER": str(tmp_path)})
    want(running, {"payment": moved, "proxy": proxy})
    in_force(running, "one")
    assert sorted(running.pids) == ["payment", "proxy"]

    wanted.write(running.data, None)
    in_force(running, "")
    assert psutil.Process(running.pids["payment"]).cmdline() == list(payment.command)


def test_at_the_end_of_its_time_the_file_is_removed_and_what_is_no_process_undone(
    stack: NewStack, service: NewSpec, tmp_path: Path
) -> None:
    running = stack(service("inventory")).up()
    undo = ((sys.executable, "-c", f"open({str(tmp_path / 'undone')!r}, 'w').close()"),)
    want(running, {"inventory": WantedProcess(environment={"PACE": "slow"})}, seconds=3, undo=undo)

    until(lambda: (tmp_path / "undone").exists())
    in_force(running, "")

    assert not wanted.file(running.data).exists()
    assert "PACE" not in environment(running, "inventory")


def test_a_stack_that_stops_or_was_killed_leaves_nothing_wanted_for_the_next(
    stack: NewStack, service: NewSpec, tmp_path: Path
) -> None:
    spec = service("inventory")
    killed = stack(spec).up()
    undo = ((sys.executable, "-c", f"open({str(tmp_path / 'undone')!r}, 'a').write('x')"),)
    want(killed, {"inventory": WantedProcess(environment={"PACE": "slow"})}, undo=undo)
    in_force(killed, "one")
    children = psutil.Process(killed.process.pid).children(recursive=True)
    killed.process.kill()
    killed.process.wait()
    psutil.wait_procs(children)

    running = stack(spec).up()
    in_force(running, "")
    assert (tmp_path / "undone").read_text() == "x"
    assert "PACE" not in environment(running, "inventory")

    want(running, {}, undo=undo)
    in_force(running, "one")
    assert running.stop() == 0
    assert (tmp_path / "undone").read_text() == "xx"
    assert not wanted.file(running.data).exists()
    assert wanted.state(running.data) is None


def test_a_process_that_cannot_start_so_is_reported_with_its_error_and_starts_again_as_in_the_table(
    stack: NewStack, service: NewSpec
) -> None:
    payment = service("payment")
    running = stack(payment).up()

    want(running, {"payment": WantedProcess(command=(*payment.command[:-1], "broken"))})

    def given_up() -> str:
        state = wanted.state(running.data)
        return state.given_up.get("payment", "") if state else ""

    assert "PAYMENT_PORT is not a number" in until(given_up)
    wanted.write(running.data, None)
    in_force(running, "")
    assert "payment" in running.pids


def test_a_file_that_cannot_be_read_changes_nothing(stack: NewStack, service: NewSpec) -> None:
    running = stack(service("inventory")).up()
    before = running.pids

    wanted.file(running.data).write_text("{")

    until(lambda: "cannot be used" in running.output)
    assert running.pids == before


def test_what_is_killed_on_a_replacement_leaves_no_worker_behind(stack: NewStack, gunicorn: ProcessSpec) -> None:
    running = stack(gunicorn, STOP_IDLE_SECONDS=0).up()
    workers = psutil.Process(running.pids["order"]).children()

    want(running, {"order": WantedProcess(environment={"PACE": "slow"})})
    in_force(running, "one")

    assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]
