"""What is acknowledged is stored: through a full queue, a full disk, a lock, kill -9, and up to the retention cap."""

import os
import resource
import secrets
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from google.rpc.status_pb2 import Status

from waybill_explorer import store

from .conftest import Backend, free_ports, logs, metrics, span, spans, until

Launch = Callable[..., Backend]


def export(size: int = 0) -> bytes:
    """Encode one span with a new trace id and about `size` bytes of attributes."""
    return spans("service", span(secrets.token_bytes(16), attributes={"filler": "x" * size})).SerializeToString()


def stored_spans(backend: Backend) -> int:
    return int(backend.get("/api/stats")["spans"])


def locked(data: Path) -> sqlite3.Connection:
    """Hold the write lock as another process could."""
    db = sqlite3.connect(data / "telemetry.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    return db


def test_data_outlives_a_restart(launch: Launch) -> None:
    first = launch()
    first.send(spans("service", span(b"t" * 16)), logs("service", {"body": "hello"}))
    assert first.stop() == 0
    second = launch()
    second.send(spans("service", span(b"t" * 16, "late")))
    assert [len(t["spans"]) for t in second.get("/api/traces", service="service")] == [2]
    assert [r["body"] for r in second.get("/api/logs")] == ["hello"]


def test_what_was_acknowledged_is_there_after_kill_9(launch: Launch) -> None:
    backend = launch()
    acknowledged = 0

    def send_until_it_dies() -> int:
        taken = 0
        with pytest.raises((OSError, grpc.RpcError)):  # noqa: PT012
            while True:
                taken += backend.post("traces", export()).status_code == 200
        return taken

    with ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(send_until_it_dies) for _ in range(4)]
        until(lambda: stored_spans(backend) > 100)
        backend.kill()
        acknowledged = sum(sender.result() for sender in senders)
    with closing(sqlite3.connect(backend.data / "telemetry.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert acknowledged <= stored_spans(launch()) <= acknowledged + 4  # a last answer may not have been heard


def test_while_the_file_is_locked_exports_are_refused_and_reads_answered(launch: Launch) -> None:
    backend = launch()
    backend.post("traces", export())
    with closing(locked(backend.data)):
        refused = backend.post("traces", export())
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert "database is locked" in Status.FromString(refused.content).message
        with pytest.raises(grpc.RpcError) as error:
            backend.export("traces", export())
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        (details,) = (
            entry.value for entry in error.value.trailing_metadata() if entry.key == "grpc-status-details-bin"
        )
        assert Status.FromString(details).details[0].type_url.endswith("google.rpc.RetryInfo")
        assert stored_spans(backend) == 1
    assert backend.post("traces", export()).status_code == 200
    said = (backend.data / "stderr").read_text()
    assert said.count("cannot be written: database is locked. Exports are refused until it can.") == 1
    assert "can be written again" in said


def test_what_was_refused_is_not_stored_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender sends again what was refused, so the first copy must not turn up after all."""
    monkeypatch.setattr(store, "COMMIT_TIMEOUT", 0.05)
    store.prepare(tmp_path / "telemetry.db")
    writer = store.Writer(tmp_path / "telemetry.db", 2**20, 2**24)

    def acknowledged(body: str) -> bool:
        try:
            return writer.store("logs", logs("s", {"body": body}).SerializeToString(), store.Sender("test")) is None
        except store.Unavailable:
            return False

    with ThreadPoolExecutor(12) as pool:
        with closing(locked(tmp_path)):
            waiting = {f"{n}": pool.submit(acknowledged, f"{n}") for n in range(12)}
            until(lambda: any(answer.done() for answer in waiting.values()))
        answers = {body for body, answer in waiting.items() if answer.result()}
    writer.close()
    with closing(sqlite3.connect(tmp_path / "telemetry.db")) as db:
        assert {body for (body,) in db.execute("SELECT body FROM logs")} == answers
    assert len(answers) < 12


def test_a_full_queue_answers_503_at_once_and_loses_nothing(launch: Launch) -> None:
    backend = launch(WAYBILL_QUEUE_BYTES=10_000)
    with ThreadPoolExecutor(8) as pool:
        with closing(locked(backend.data)) as lock:
            waiting = [pool.submit(backend.post, "traces", export(4_000)) for _ in range(8)]
            until(lambda: sum(answer.done() for answer in waiting) == 6)
            lock.rollback()
        answers = [answer.result() for answer in waiting]
    assert sorted(answer.status_code for answer in answers) == [200, 200] + [503] * 6
    assert {a.headers["Retry-After"] for a in answers if a.status_code == 503} == {"1"}
    assert (stored_spans(backend), backend.get("/api/stats")["refused"]) == (2, 6)


def test_a_full_disk_is_said_and_nothing_taken_until_there_is_room(launch: Launch) -> None:
    backend = launch()
    (worker,) = backend.workers()
    assert backend.post("traces", export()).status_code == 200
    size = (backend.data / "telemetry.db-wal").stat().st_size
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    assert backend.post("traces", export(100_000)).status_code == 503
    assert "cannot be written" in (backend.data / "stderr").read_text()
    assert stored_spans(backend) == 1
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert backend.post("traces", export(100_000)).status_code == 200


def test_the_oldest_data_of_all_signals_goes_first_when_the_cap_is_reached(launch: Launch) -> None:
    cap = 2 * 2**20
    backend = launch(WAYBILL_RETENTION_BYTES=cap)
    request, found = metrics("old")
    found.add(name="old.metric").gauge.data_points.add(time_unix_nano=1, as_int=1)
    backend.send(spans("old", span(b"o" * 16)), logs("old", {"body": "old"}), request)
    ids = [secrets.token_bytes(16) for _ in range(60)]
    for trace_id in ids:
        backend.send(spans("new", span(trace_id, attributes={"filler": secrets.token_hex(40_000)})))
    stats = backend.get("/api/stats")
    assert cap / 2 < stats["bytes"] <= cap
    assert (backend.data / "telemetry.db").stat().st_size <= cap * 1.2
    kept = {trace["traceID"] for trace in backend.get("/api/summaries", service="new", limit=100)}
    assert kept == {trace_id.hex() for trace_id in ids[-len(kept) :]}
    assert backend.get("/api/services") == ["new"]
    assert backend.get("/api/logs", service="old") == backend.get("/api/instruments") == []
    with closing(sqlite3.connect(backend.data / "telemetry.db")) as db:
        for table in ("chunks", "matches"):
            orphans = f"SELECT count(*) FROM {table} WHERE trace NOT IN (SELECT id FROM traces)"
            assert db.execute(orphans).fetchone() == (0,)
        (oldest,) = db.execute("SELECT min(id) FROM traces").fetchone()
        segments = [row[0] for row in db.execute("SELECT DISTINCT segment FROM texts WHERE signal = 0 ORDER BY 1")]
        assert len([segment for segment in segments if segment < oldest]) <= 1  # that of the oldest trace
        assert db.execute("SELECT count(*) FROM texts WHERE signal = 1").fetchone() == (0,)


def test_a_taken_port_ends_it_with_one_line_that_names_the_variable(tmp_path: Path) -> None:
    options = {"OTLP_GRPC_PORT": "--grpc-port", "OTLP_HTTP_PORT": "--http-port", "TRACES_PORT": "--port"}
    for name, option in options.items():
        ports = dict(zip(options, map(str, free_ports(3)), strict=True))
        with socket.create_server(("127.0.0.1", int(ports[name]))):
            ended = run_to_end(ports | {"WAYBILL_DATA": str(tmp_path)})
        expected = (
            f"Port {ports[name]} cannot be used (Address already in use): "
            f"free it or choose another with {name} or {option}.\n"
        )
        assert (ended.returncode, ended.stderr) == (1, expected)


def test_a_file_that_is_no_database_ends_it_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "telemetry.db").write_bytes(b"not a database" * 100)
    ended = run_to_end({"WAYBILL_DATA": str(tmp_path)})
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "telemetry.db cannot be used as a database" in ended.stderr


def run_to_end(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "waybill_explorer"]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=20, check=False
    )
