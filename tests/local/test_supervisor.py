"""The supervisor, run in a process of its own on small services."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local import data_folder
from local.processes import ProcessSpec
from local.supervisor import Supervisor
from tests.support import processes
from tests.support.waiting import CAP, until

HERE = Path(__file__).parent


class Stack:
    """The supervisor under test: its specs, its folder, its terminal."""

    def __init__(self, folder: Path, specs: tuple[ProcessSpec, ...], limits: dict[str, float]) -> None:
        self.data = folder / "data"
        self.terminal = folder / f"terminal-{time.monotonic_ns()}"
        with self.terminal.open("w") as output:
            command = small_stack(self.data, specs, **limits)
            self.process = processes.start(command, stdout=output, stderr=subprocess.STDOUT)

    @property
    def output(self) -> str:
        return self.terminal.read_text()

    @property
    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = json.loads((self.data / "processes.json").read_text())
        return pids

    def up(self) -> "Stack":
        until(lambda: "first order" in self.output or self.process.poll() is not None)
        assert "first order" in self.output, self.output
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=CAP)


NewStack = Callable[..., Stack]
NewSpec = Callable[..., ProcessSpec]


def small_stack(data: Path, specs: tuple[ProcessSpec, ...], **limits: float) -> list[str]:
    described = json.dumps([dataclasses.asdict(spec) for spec in specs])
    return [sys.executable, str(HERE / "small_stack.py"), str(data), described, json.dumps(limits)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[NewStack]:
    stacks: list[Stack] = []

    def make(*specs: ProcessSpec, **limits: float) -> Stack:
        stacks.append(Stack(tmp_path, specs, limits))
        return stacks[-1]

    yield make
    for each in stacks:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def service(tmp_path: Path) -> NewSpec:
    def spec(name: str, manner: str = "", **fields: object) -> ProcessSpec:
        port = free_port()
        row: dict[str, object] = {
            "name": name,
            "command": (sys.executable, str(HERE / "small_service.py"), str(port), name, manner),
            "ready": f"http://127.0.0.1:{port}/readyz",
            "ports": {f"{name.upper()}_PORT": port},
            "environment": {"FOLDER": str(tmp_path)},
            "links": {name: f"http://127.0.0.1:{port}/"},
        }
        return ProcessSpec(**row | fields)  # type: ignore[arg-type]

    return spec


@pytest.fixture
def gunicorn(service: NewSpec) -> ProcessSpec:
    port = free_port()
    command = (sys.executable, "-m", "gunicorn", "--no-control-socket", "-w", "2", "-b", f"127.0.0.1:{port}")
    return service(
        "order",
        command=(*command, "--pythonpath", str(HERE), "small_service:app"),
        ready=f"http://127.0.0.1:{port}/",
        ports={"ORDER_PORT": port},
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_ctrl_c_stops_each_process_before_those_it_depends_on(
    stack: NewStack, service: NewSpec, tmp_path: Path
) -> None:
    order = service("order", depends_on=("inventory", "backend"))
    running = stack(service("backend"), service("inventory", depends_on=("backend",)), order).up()

    assert running.stop(signal.SIGINT) == 0
    assert (tmp_path / "stopped").read_text().split() == ["order", "inventory", "backend"]
    assert not (running.data / "processes.json").exists()


def test_the_terminal_shows_links_and_readable_log_lines_and_the_file_keeps_them_raw(
    stack: NewStack, service: NewSpec
) -> None:
    order = service("order")
    running = stack(order).up()
    running.stop()

    assert order.links["order"] in running.output
    line = next(line for line in running.output.splitlines() if "few left" in line)
    assert line.split()[1:] == ["order", "WARNING", "few", "left", "0af76519"]
    assert '"message": "few left"' in (running.data / "logs" / "order.log").read_text()


def test_kill_9_of_the_supervisor_leaves_no_process_not_even_a_gunicorn_worker(
    stack: NewStack, service: NewSpec, gunicorn: ProcessSpec
) -> None:
    running = stack(service("backend", "deaf"), gunicorn).up()
    supervisor = psutil.Process(running.process.pid)
    # The guard, the backend, gunicorn's master and its two workers.
    until(lambda: len(supervisor.children(recursive=True)) == 5)
    children = supervisor.children(recursive=True)

    running.process.kill()

    until(lambda: not any(alive(child) for child in children))


def test_a_guard_that_is_killed_is_replaced_and_guards_the_same_processes(stack: NewStack, service: NewSpec) -> None:
    running = stack(service("backend"), service("order")).up()
    (guard,) = (child for child in psutil.Process(running.process.pid).children() if child.name() == "sh")
    guard.kill()
    until(lambda: guard.pid not in {child.pid for child in psutil.Process(running.process.pid).children()})
    children = psutil.Process(running.process.pid).children()
    assert len(children) == 3

    running.process.kill()

    until(lambda: not any(alive(child) for child in children))


def test_a_killed_process_is_started_again_without_its_old_workers(stack: NewStack, gunicorn: ProcessSpec) -> None:
    running = stack(gunicorn).up()
    first = running.pids["order"]
    workers = psutil.Process(first).children()

    os.kill(first, signal.SIGKILL)

    until(lambda: running.output.count("order is ready") == 2)
    assert "order died (killed by SIGKILL)" in running.output
    assert running.pids["order"] != first
    assert gunicorn.ready is not None
    with urllib.request.urlopen(gunicorn.ready) as response:
        assert int(response.read()) not in {worker.pid for worker in workers}
    assert running.stop() == 0


def test_a_process_that_cannot_start_again_is_given_up_and_the_others_stay(
    stack: NewStack, service: NewSpec, tmp_path: Path
) -> None:
    running = stack(service("inventory"), service("payment", "broken-later")).up()
    (tmp_path / "broken").touch()
    os.kill(running.pids["payment"], signal.SIGKILL)

    until(lambda: "given up" in running.output)

    assert running.output.count("payment died (exit status 1)") == 5
    assert "PAYMENT_PORT is not a number" in running.output
    until(lambda: list(running.pids) == ["inventory"])
    assert running.stop() == 0


def test_a_process_that_does_not_stop_in_time_is_killed_and_a_second_ctrl_c_does_not_wait(
    stack: NewStack, service: NewSpec
) -> None:
    order, backend = service("order", "deaf", depends_on=("backend",)), service("backend", "deaf")
    running = stack(order, backend, STOP_IDLE_SECONDS=1).up()
    deaf = running.pids.values()
    running.process.send_signal(signal.SIGINT)
    until(lambda: "and it has done nothing for 1 s: killed" in running.output)

    assert running.stop(signal.SIGINT) == 0
    assert "backend did not stop" not in running.output
    assert not any(psutil.pid_exists(pid) for pid in deaf)


def test_a_second_stack_on_the_same_data_folder_is_refused_and_so_is_its_removal(
    stack: NewStack, service: NewSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    first = stack(service("order")).up()

    assert Supervisor([service("payment")], first.data).run() == 1
    assert f"A local stack already runs on {first.data} (pid {first.process.pid})" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="already runs"):
        data_folder.remove(first.data)
    assert first.stop() == 0


def test_a_process_that_dies_before_it_is_ready_stops_everything_and_shows_why(
    service: NewSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Supervisor([service("inventory"), service("payment", "broken")], tmp_path / "data").run() == 1

    output = capsys.readouterr().out
    assert "payment died (exit status 1)" in output
    assert "| PAYMENT_PORT is not a number" in output


def test_a_row_that_is_a_command_has_ended_before_the_next_row_starts(
    service: NewSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch = ProcessSpec("touch", (sys.executable, "-c", f"open({str(tmp_path / 'broken')!r}, 'w').close()"), ready=None)

    assert Supervisor([touch, service("payment", "broken-later")], tmp_path / "data").run() == 1
    assert "payment died (exit status 1)" in capsys.readouterr().out


def test_a_command_that_fails_shows_why_and_the_next_row_does_not_start(
    service: NewSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate = ProcessSpec("migrations", (sys.executable, "-c", "raise SystemExit('no such database')"), ready=None)

    assert Supervisor([migrate, service("order", "broken")], tmp_path / "data").run() == 1
    output = capsys.readouterr().out
    assert "migrations died (exit status 1)" in output
    assert "| no such database" in output
    assert "order died" not in output


def test_every_taken_port_is_named_with_its_holder_and_the_variable_that_moves_it(
    service: NewSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order, payment = service("order"), service("payment")
    cache = service("cache", ports={"CACHE_PORT": payment.ports["PAYMENT_PORT"]})
    with socket.create_server(("127.0.0.1", order.ports["ORDER_PORT"])):
        assert Supervisor([order, payment, cache], tmp_path / "data").run() == 1

    output = capsys.readouterr().out
    assert f"port {order.ports['ORDER_PORT']} is used by pid {os.getpid()} " in output
    assert "set ORDER_PORT to move it" in output
    assert "is asked for by PAYMENT_PORT and CACHE_PORT" in output


def test_a_data_folder_that_cannot_be_made_is_named_without_a_traceback(
    service: NewSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    data = tmp_path / "file" / "data"

    assert Supervisor([service("order")], data).run() == 1
    assert capsys.readouterr().out.startswith(f"Cannot write in the data folder {data}: Not a directory")


def test_a_full_disk_is_named_without_a_traceback(service: NewSpec, tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *small_stack(tmp_path / "data", (service("order"),))]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=CAP)

    assert ended.returncode == 1
    assert ended.stdout.startswith(f"Cannot write in the data folder {tmp_path / 'data'}: File too large")
    assert not ended.stderr


def test_a_process_that_is_slow_to_start_is_awaited_and_it_is_said_what_is_awaited(
    stack: NewStack, service: NewSpec, tmp_path: Path
) -> None:
    limits = {"SAY_AFTER_SECONDS": 0.2, "START_IDLE_SECONDS": 1.5}
    running = stack(service("payment"), service("order", "late"), **limits)

    until(lambda: running.output.count("still starting: order (running for ") >= 2)
    until(lambda: "order is running, but for 1.5 s it has done nothing" in running.output)
    assert "Is what it waits for available" in running.output
    assert "still starting: payment" not in running.output.partition("payment is ready")[2]
    (tmp_path / "go").touch()

    assert running.up().stop() == 0
    assert str(running.data / "logs" / "order.log") in running.output


def test_a_process_that_makes_progress_may_take_its_time_to_stop(
    stack: NewStack, service: NewSpec, tmp_path: Path
) -> None:
    running = stack(service("order", "tidy"), STOP_IDLE_SECONDS=1.5, SAY_AFTER_SECONDS=0.5).up()

    assert running.stop() == 0
    assert (tmp_path / "stopped").read_text().split() == ["order"]
    assert "still stopping: order" in running.output
    assert "did not stop" not in running.output


HUNG_QUICKLY = {"HUNG_SECONDS": 1, "LIVE_SECONDS": 0.05, "TIMEOUT_SECONDS": 0.2}


def test_a_hung_process_is_killed_and_started_again(stack: NewStack, service: NewSpec) -> None:
    payment = service("payment")
    running = stack(dataclasses.replace(payment, live=payment.ready), service("order"), **HUNG_QUICKLY).up()
    hung = running.pids["payment"]

    os.kill(hung, signal.SIGSTOP)

    until(lambda: running.output.count("payment is ready") == 2)
    assert "payment hangs (no response to " in running.output
    assert running.pids["payment"] != hung
    assert running.output.count("order is ready") == 1
    assert running.stop() == 0


def test_a_process_that_fails_its_health_checks_but_works_is_overloaded_and_not_killed(
    stack: NewStack, service: NewSpec
) -> None:
    payment = service("payment", "overloaded")
    running = stack(dataclasses.replace(payment, live=payment.ready), **HUNG_QUICKLY).up()

    # At 0.25 s a check, these are more checks than would have it killed, over a longer time.
    until(lambda: "request 15 is still queued" in running.output)

    assert "hangs" not in running.output
    assert running.output.count("payment is ready") == 1


def test_only_the_owner_can_read_what_the_stack_writes_whatever_the_umask(stack: NewStack, service: NewSpec) -> None:
    order = service("order")
    sqlite = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA journal_mode=WAL')"
    held = f"{sqlite}; db.execute('CREATE TABLE t (x)'); sys.argv = sys.argv[2:]; import small_service as s; "
    command = ("-c", f"{held}s.main(int(sys.argv[1]), sys.argv[2])")
    data = Path(order.environment["FOLDER"]) / "data"
    data_folder.create(data)
    (data / "telemetry.db").touch(mode=0o644)  # left by an earlier stack
    environment = {**order.environment, "PYTHONPATH": str(HERE)}
    row = (sys.executable, *command, str(data / "order.db"), *order.command[1:4])
    running = stack(dataclasses.replace(order, command=row, environment=environment)).up()

    modes = {path.name: path.stat().st_mode & 0o777 for path in (data, *data.rglob("*"))}

    assert {"order.db-wal", "order.db-shm", "order.log", "lock", "processes.json", "telemetry.db"} <= modes.keys()
    folders = {"data": 0o700, "logs": 0o700}
    assert modes == dict.fromkeys(modes, 0o600) | folders
    assert running.stop() == 0


def test_names_that_would_merge_the_services_are_dropped_and_it_is_said_once(
    stack: NewStack, service: NewSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "my-app")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=my-app,team=tea")

    running = stack(service("order"), service("payment")).up()

    assert running.stop() == 0
    text = "Ignored for the services: OTEL_SERVICE_NAME=my-app, service.name in OTEL_RESOURCE_ATTRIBUTES"
    assert running.output.count(text) == 1


def test_a_service_that_dev_runs_is_left_out_until_that_ends(stack: NewStack, service: NewSpec, tmp_path: Path) -> None:
    order, payment = service("order"), service("payment")
    running = stack(order, payment).up()
    with data_folder.taken_over(running.data, "order"):
        until(lambda: running.pids.keys() == {"payment"})
        assert (tmp_path / "stopped").read_text() == "order\n"
        with pytest.raises(SystemExit, match="`waybill dev` runs order"):
            data_folder.remove(running.data)
    until(lambda: running.pids.keys() == {"order", "payment"})
    assert running.stop() == 0

    with data_folder.taken_over(running.data, "order"), socket.create_server(("127.0.0.1", order.ports["ORDER_PORT"])):
        again = stack(order, payment).up()
        assert again.pids.keys() == {"payment"}
        with pytest.raises(SystemExit, match="already runs order"), data_folder.taken_over(running.data, "order"):
            pass
        assert again.stop() == 0
