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

HERE = Path(__file__).parent


class Stack:
    """The supervisor under test: its specs, its folder, its terminal."""

    def __init__(self, folder: Path, specs: tuple[ProcessSpec, ...]) -> None:
        self.data = folder / "data"
        self.terminal = folder / f"terminal-{time.monotonic_ns()}"
        with self.terminal.open("w") as output:
            command = small_stack(self.data, specs)
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

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
        return self.process.wait(timeout=10)


def small_stack(data: Path, specs: tuple[ProcessSpec, ...]) -> list[str]:
    described = json.dumps([dataclasses.asdict(spec) for spec in specs])
    return [sys.executable, str(HERE / "small_stack.py"), str(data), described]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    stacks: list[Stack] = []

    def make(*specs: ProcessSpec) -> Stack:
        stacks.append(Stack(tmp_path, specs))
        return stacks[-1]

    yield make
    for each in stacks:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def service(tmp_path: Path) -> Callable[..., ProcessSpec]:
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
def gunicorn(service: Callable[..., ProcessSpec]) -> ProcessSpec:
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


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_ctrl_c_stops_each_process_before_those_it_depends_on(stack, service, tmp_path) -> None:
    order = service("order", depends_on=("inventory", "backend"))
    running = stack(service("backend"), service("inventory", depends_on=("backend",)), order).up()

    assert running.stop(signal.SIGINT) == 0
    assert (tmp_path / "stopped").read_text().split() == ["order", "inventory", "backend"]
    assert not (running.data / "processes.json").exists()


def test_the_terminal_shows_links_and_readable_log_lines_and_the_file_keeps_them_raw(stack, service) -> None:
    order = service("order")
    running = stack(order).up()
    running.stop()

    assert order.links["order"] in running.output
    line = next(line for line in running.output.splitlines() if "few left" in line)
    assert line.split()[1:] == ["order", "WARNING", "few", "left", "0af76519"]
    assert '"message": "few left"' in (running.data / "logs" / "order.log").read_text()


def test_kill_9_of_the_supervisor_leaves_no_process_not_even_a_gunicorn_worker(stack, service, gunicorn) -> None:
    running = stack(service("backend", "deaf"), gunicorn).up()
    supervisor = psutil.Process(running.process.pid)
    # The guard, the backend, gunicorn's master and its two workers.
    until(lambda: len(supervisor.children(recursive=True)) == 5)
    children = supervisor.children(recursive=True)

    running.process.kill()

    until(lambda: not any(alive(child) for child in children), seconds=3)


def test_a_guard_that_is_killed_is_replaced_and_guards_the_same_processes(stack, service) -> None:
    running = stack(service("backend"), service("order")).up()
    (guard,) = (child for child in psutil.Process(running.process.pid).children() if child.name() == "sh")
    guard.kill()
    until(lambda: guard.pid not in {child.pid for child in psutil.Process(running.process.pid).children()})
    children = psutil.Process(running.process.pid).children()
    assert len(children) == 3

    running.process.kill()

    until(lambda: not any(alive(child) for child in children), seconds=3)


def test_a_killed_process_is_started_again_without_its_old_workers(stack, gunicorn) -> None:
    running = stack(gunicorn).up()
    first = running.pids["order"]
    workers = psutil.Process(first).children()

    os.kill(first, signal.SIGKILL)

    until(lambda: running.output.count("order is ready") == 2)
    assert "order died (killed by SIGKILL)" in running.output
    assert running.pids["order"] != first
    with urllib.request.urlopen(gunicorn.ready) as response:
        assert int(response.read()) not in {worker.pid for worker in workers}
    assert running.stop() == 0


def test_a_process_that_cannot_start_again_is_given_up_and_the_others_stay(stack, service, tmp_path) -> None:
    running = stack(service("inventory"), service("payment", "broken-later")).up()
    (tmp_path / "broken").touch()
    os.kill(running.pids["payment"], signal.SIGKILL)

    until(lambda: "given up" in running.output)

    assert running.output.count("payment died (exit status 1)") == 5
    assert "PAYMENT_PORT is not a number" in running.output
    until(lambda: list(running.pids) == ["inventory"])
    assert running.stop() == 0


def test_a_process_that_does_not_stop_in_time_is_killed_and_a_second_ctrl_c_does_not_wait(stack, service) -> None:
    running = stack(service("order", "deaf", depends_on=("backend",)), service("backend", "deaf")).up()
    deaf = running.pids.values()
    running.process.send_signal(signal.SIGINT)
    until(lambda: "order did not stop within 1 s: killed" in running.output)

    assert running.stop(signal.SIGINT) == 0
    assert "backend did not stop" not in running.output
    assert not any(psutil.pid_exists(pid) for pid in deaf)


def test_a_second_stack_on_the_same_data_folder_is_refused_and_so_is_its_removal(stack, service, capsys) -> None:
    first = stack(service("order")).up()

    assert Supervisor([service("payment")], first.data).run() == 1
    assert f"A local stack already runs on {first.data} (pid {first.process.pid})" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="already runs"):
        data_folder.remove(first.data)
    assert first.stop() == 0


def test_a_process_that_dies_before_it_is_ready_stops_everything_and_shows_why(service, tmp_path, capsys) -> None:
    assert Supervisor([service("inventory"), service("payment", "broken")], tmp_path / "data").run() == 1

    output = capsys.readouterr().out
    assert "payment died (exit status 1)" in output
    assert "| PAYMENT_PORT is not a number" in output


def test_a_row_that_is_a_command_has_ended_before_the_next_row_starts(service, tmp_path, capsys) -> None:
    touch = ProcessSpec("touch", (sys.executable, "-c", f"open({str(tmp_path / 'broken')!r}, 'w').close()"), ready=None)

    assert Supervisor([touch, service("payment", "broken-later")], tmp_path / "data").run() == 1
    assert "payment died (exit status 1)" in capsys.readouterr().out


def test_a_command_that_fails_shows_why_and_the_next_row_does_not_start(service, tmp_path, capsys) -> None:
    migrate = ProcessSpec("migrations", (sys.executable, "-c", "raise SystemExit('no such database')"), ready=None)

    assert Supervisor([migrate, service("order", "broken")], tmp_path / "data").run() == 1
    output = capsys.readouterr().out
    assert "migrations died (exit status 1)" in output
    assert "| no such database" in output
    assert "order died" not in output


def test_every_taken_port_is_named_with_its_holder_and_the_variable_that_moves_it(service, tmp_path, capsys) -> None:
    order, payment = service("order"), service("payment")
    cache = service("cache", ports={"CACHE_PORT": payment.ports["PAYMENT_PORT"]})
    with socket.create_server(("127.0.0.1", order.ports["ORDER_PORT"])):
        assert Supervisor([order, payment, cache], tmp_path / "data").run() == 1

    output = capsys.readouterr().out
    assert f"port {order.ports['ORDER_PORT']} is taken by pid {os.getpid()} " in output
    assert "set ORDER_PORT to move it" in output
    assert "is asked for by PAYMENT_PORT and CACHE_PORT" in output


def test_a_data_folder_that_cannot_be_made_is_named_without_a_traceback(service, tmp_path, capsys) -> None:
    (tmp_path / "file").touch()
    data = tmp_path / "file" / "data"

    assert Supervisor([service("order")], data).run() == 1
    assert capsys.readouterr().out.startswith(f"Cannot write in the data folder {data}: Not a directory")


def test_a_full_disk_is_named_without_a_traceback(service, tmp_path) -> None:
    command = ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *small_stack(tmp_path / "data", (service("order"),))]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=10)

    assert ended.returncode == 1
    assert ended.stdout.startswith(f"Cannot write in the data folder {tmp_path / 'data'}: File too large")
    assert not ended.stderr
