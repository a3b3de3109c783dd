"""The SQLite file: its tables, its connections, and the threads that decode exports and write them to it.

A trace is kept as OTLP: each `chunks` row holds the ScopeSpans of one trace that arrived together from one resource.
`traces` has a summary of each trace, `problems` its spans that did not succeed, and `matches` says which service and
operation occur in which trace, when, for how long at most and whether with an error, so a search reads an index instead
of spans. `spans` has a key of each span, so that one sent again is not stored again. Ids of traces, logs and points are
arrival times (see `Ingest.next_id`): "the oldest data", whatever the signal, is what has the lowest ids.
"""

import contextlib
import hashlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waybill_explorer.decode import BadData, TooLarge, parse_export
from waybill_explorer.ingest import MAX_ITEM, Batch, Ingest, Rejected
from waybill_explorer.logs import read_logs
from waybill_explorer.metrics import read_points
from waybill_explorer.retention import keep_under
from waybill_explorer.texts import MAX_BYTES
from waybill_explorer.traces import read_spans

log = logging.getLogger(__name__)

VERSION = 5
SCHEMA = """
CREATE TABLE resources (id INTEGER PRIMARY KEY, service TEXT NOT NULL, body BLOB NOT NULL UNIQUE);

CREATE TABLE traces (id INTEGER PRIMARY KEY, trace_id BLOB NOT NULL UNIQUE, start INTEGER NOT NULL,
    end INTEGER NOT NULL, spans INTEGER NOT NULL, errors INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0, problem TEXT NOT NULL DEFAULT '', root_rank INTEGER NOT NULL,
    root_service TEXT NOT NULL, root_name TEXT NOT NULL);
CREATE TABLE problems (trace INTEGER, key INTEGER, span_id BLOB NOT NULL, parent_id BLOB NOT NULL, own INTEGER NOT NULL,
    end INTEGER NOT NULL, is_told INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (trace, key)) WITHOUT ROWID;
CREATE TABLE chunks (id INTEGER PRIMARY KEY, trace INTEGER NOT NULL, resource INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX chunks_of_trace ON chunks (trace, resource);
CREATE TABLE spans (trace INTEGER, key INTEGER, PRIMARY KEY (trace, key)) WITHOUT ROWID;
CREATE TABLE operations (id INTEGER PRIMARY KEY, service TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (service, name));
CREATE TABLE matches (operation INTEGER, start INTEGER, trace INTEGER, longest INTEGER NOT NULL,
    failed INTEGER NOT NULL, PRIMARY KEY (operation, start, trace)) WITHOUT ROWID;

CREATE TABLE logs (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, service TEXT NOT NULL, severity INTEGER NOT NULL,
    level TEXT NOT NULL, body TEXT NOT NULL, trace_id BLOB, span_id BLOB, logger TEXT NOT NULL,
    attributes TEXT NOT NULL, resource INTEGER NOT NULL, rest BLOB NOT NULL);
CREATE INDEX logs_by_time ON logs (time, level, service);
CREATE INDEX logs_by_service ON logs (service, time, resource);
CREATE INDEX logs_of_trace ON logs (trace_id, time) WHERE trace_id IS NOT NULL;

CREATE TABLE texts (id INTEGER PRIMARY KEY, signal INTEGER NOT NULL, segment INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX texts_by_segment ON texts (signal, segment);

CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, unit TEXT NOT NULL,
    description TEXT NOT NULL, monotonic INTEGER, delta INTEGER NOT NULL, resource INTEGER NOT NULL,
    scope TEXT NOT NULL, attributes TEXT NOT NULL, UNIQUE (name, type, delta, resource, scope, attributes));
CREATE TABLE points (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, time INTEGER NOT NULL, start INTEGER NOT NULL,
    value REAL, histogram BLOB, UNIQUE (series, time));
CREATE TABLE exemplars (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, time INTEGER NOT NULL, value REAL,
    trace_id BLOB, span_id BLOB, attributes TEXT NOT NULL, UNIQUE (series, time, value));
"""
GROUP_ITEMS = 2_000
"""Exports that wait together are written in one transaction, up to this many items.

An export of more is written in parts, others in between: 20,000 traces of operations of their own take over a second.
"""
DECODED = 4
"""Exports that may be decoded before they are written; the others wait as bytes, which the queue's limit counts."""
COMMIT_TIMEOUT = 5.0
"""Seconds an export waits to be stored; OTLP senders give up after 10."""
RETRY_SECONDS = 30.0
"""For how long the same bytes from the same sender are taken for a retry whose answer got lost."""
REMEMBERED = 4096
READERS: dict[str, Callable[[Any, int], Batch]] = {"traces": read_spans, "logs": read_logs, "metrics": read_points}


class UnusableStore(Exception):
    """The file is not one this version can use; the message says what to do."""


class Unavailable(Exception):
    """The export was not stored and can be sent again after `retry_after` seconds."""

    retry_after = 1


def prepare(path: Path) -> None:
    """Make the file and its tables where there are none; raises UnusableStore."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(path)
        with contextlib.closing(sqlite3.connect(path)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                # A chunk is some KiB: of pages of 4096, the default, a quarter would stay empty.
                db.execute("PRAGMA page_size=16384")
                db.execute("PRAGMA journal_mode=WAL")
                db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
            elif version != VERSION:
                raise UnusableStore(f"{path} was written by another version of the explorer: remove it and start again")
    except (sqlite3.Error, OSError) as error:
        raise UnusableStore(
            f"{path} cannot be used as a database ({error}): free it or remove it and start again"
        ) from error


def _make_private(path: Path) -> None:
    """Let only the owner read the file; SQLite gives -wal and -shm the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    for one in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if one.exists():
            one.chmod(0o600)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a read-only connection on one unchanging view of the data."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
        db.row_factory = sqlite3.Row
        db.execute("BEGIN")
        yield db


@dataclass(frozen=True)
class Sender:
    """Where an export came from: a host and what it speaks; the connection, if it carries one request at a time."""

    host: str
    connection: str = ""


@dataclass(eq=False)
class Export:
    """One OTLP request on its way to the file."""

    signal: str
    body: bytes
    sender: Sender
    size: int
    stored: Future[Rejected | None] = field(default_factory=Future)
    digest: bytes = b""
    batch: Batch | None = None
    parts: deque[Batch] = field(default_factory=deque)
    """What is still to be written of an export of more than GROUP_ITEMS."""

    def decode(self, item_limit: int) -> None:
        """Turn the body into a batch; raises BadData and TooLarge."""
        self.digest = hashlib.blake2b(self.body, digest_size=16, key=self.signal.encode()).digest()
        self.batch = READERS[self.signal](parse_export(self.signal, self.body), item_limit)
        parts = self.batch.parts(GROUP_ITEMS)
        if len(parts) > 1:
            self.parts.extend(parts)
        self.body = b""


@dataclass(frozen=True)
class Answered:
    """An export that is stored and may be sent again, because its answer may have got lost."""

    connection: str
    at: float
    rejected: Rejected | None

    def is_before(self, export: Export) -> bool:
        """Return whether an export of the same bytes is a retry of this one.

        Over HTTP/1.1 it is not if it came through the same connection: its sender has read the answer.
        """
        same_connection = bool(self.connection) and self.connection == export.sender.connection
        return not same_connection and time.monotonic() - self.at < RETRY_SECONDS


class Writer:
    """Takes exports from a bounded queue and answers each once its transaction is committed.

    One thread decodes and one writes, so an export that takes long to decode does not hold a transaction open.
    """

    def __init__(self, path: Path, queue_bytes: int, retention_bytes: int) -> None:
        self.path = path
        self.queue_bytes = queue_bytes
        self.retention_bytes = retention_bytes
        self.waiting_bytes = 0
        self.refused = 0
        self.item_limit = min(MAX_ITEM, retention_bytes // 16)
        self._ingest: Ingest | None = None
        self._trouble = ""
        self._closed = False
        self._lock = threading.Lock()
        self._received: queue.SimpleQueue[Export | None] = queue.SimpleQueue()
        self._decoded: queue.Queue[Export | None] = queue.Queue(DECODED)
        self._answered: OrderedDict[tuple[str, bytes], Answered] = OrderedDict()
        self._threads = [
            threading.Thread(target=self._decode, name="store-decoder", daemon=True),
            threading.Thread(target=self._run, name="store-writer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def store(
        self,
        signal: str,
        body: bytes,
        sender: Sender,
        when_gone: Callable[[Callable[[], Any]], Any] = lambda _: None,
    ) -> Rejected | None:
        """Store one export in protobuf and return once it is committed, with what was refused of it.

        `when_gone` registers what is to be called when the sender no longer waits. Raises BadData and TooLarge when
        the export cannot be stored, Unavailable when it is not (yet) stored and may be sent again.
        """
        export = Export(signal, body, sender, len(body))
        with self._lock:
            full = self.waiting_bytes > 0 and self.waiting_bytes + export.size > self.queue_bytes
            if full or self._closed:
                self.refused += 1
                raise Unavailable("the queue is full" if full else "the explorer is stopping")
            self.waiting_bytes += export.size
            self._received.put(export)
        when_gone(export.stored.cancel)
        try:
            return self._outcome(export)
        except (BadData, TooLarge, Unavailable):
            self.refused += 1
            raise

    def _outcome(self, export: Export) -> Rejected | None:
        try:
            return export.stored.result(COMMIT_TIMEOUT)
        except TimeoutError:
            # Canceled, it is never written: a sender that is told to try again must not be stored twice.
            if export.stored.cancel():
                raise Unavailable(f"not stored within {COMMIT_TIMEOUT:.0f} s") from None
            return export.stored.result()  # it is being written right now
        except CancelledError:
            raise Unavailable("the sender no longer waits") from None

    def close(self) -> None:
        """Refuse what comes, write what was accepted, close the file."""
        with self._lock:
            self._closed = True
            self._received.put(None)
        for thread in self._threads:
            thread.join()

    def _decode(self) -> None:
        while export := self._received.get():
            try:
                if not export.stored.cancelled():
                    export.decode(self.item_limit)
            except Exception as error:
                if not isinstance(error, BadData | TooLarge):
                    log.exception("an export could not be decoded")
                    error = BadData(f"the export could not be decoded: {error!r}")
                if export.stored.set_running_or_notify_cancel():
                    export.stored.set_exception(error)
            if export.batch is None:
                self._release([export])
            else:
                self._decoded.put(export)
        self._decoded.put(None)

    def _release(self, exports: list[Export]) -> None:
        with self._lock:
            self.waiting_bytes -= sum(export.size for export in exports)

    def _run(self) -> None:
        large: deque[Export] = deque()
        while True:
            exports = self._next_group(wait=not large)
            if not exports and not large:
                break
            # What its sender no longer waits for is left out; from here on it cannot be canceled.
            claimed = [export for export in exports if export.stored.set_running_or_notify_cancel()]
            large.extend(export for export in claimed if export.parts)
            self._write([export for export in claimed if not export.parts])
            if large and self._write_part(large[0]):
                exports.append(large.popleft())
            self._release([export for export in exports if export not in large])
            self._keep_under()
        self._disconnect()

    def _next_group(self, wait: bool) -> list[Export]:
        group: list[Export] = []
        items = 0
        while items < GROUP_ITEMS and ((wait and not group) or not self._decoded.empty()):
            export = self._decoded.get()
            if export is None:
                self._decoded.put(None)  # the end stays in sight
                break
            group.append(export)
            items += 0 if export.parts else len(export.batch or ())
        return group

    def _write_part(self, export: Export) -> bool:
        """Write the next part of a large export; tell whether it is done with, stored or not."""
        part = Export(export.signal, b"", export.sender, 0, digest=export.digest)
        part.batch = export.parts.popleft()
        is_last = not export.parts
        self._write([part], is_whole=False)
        if error := part.stored.exception():
            export.stored.set_exception(error)
            return True
        if is_last and export.batch:
            export.stored.set_result(export.batch.rejected if export.batch.rejected.count else None)
        return is_last

    def _write(self, exports: list[Export], is_whole: bool = True) -> None:
        if not exports:
            return
        answered: dict[tuple[str, bytes], Answered] = {}
        try:
            ingest = self._connect()
            ingest.db.execute("BEGIN IMMEDIATE")
            new, answers = self._not_answered(exports, answered, is_whole)
            for first, *others in new.values():
                first.joined(others).write(ingest) if others else first.write(ingest)
            ingest.db.execute("COMMIT")
        except sqlite3.Error as error:
            self._say_once(f"{self.path} cannot be written: {error}. Exports are refused until it can.")
            self._disconnect()
            for export in exports:
                export.stored.set_exception(Unavailable(f"{self.path.name} cannot be written: {error}"))
            return
        except Exception as error:
            self._disconnect()
            if len(exports) == 1:
                log.exception("an export could not be stored")
                exports[0].stored.set_exception(BadData(f"the export could not be stored: {error!r}"))
                return
            for export in exports:
                self._write([export], is_whole)
            return
        self._say_once("")
        self._remember(answered)
        for export, answer in zip(exports, answers, strict=True):
            export.stored.set_result(answer)

    def _not_answered(
        self, exports: list[Export], answered: dict[tuple[str, bytes], Answered], is_whole: bool
    ) -> tuple[dict[str, list[Batch]], list[Rejected | None]]:
        """Return by signal what is to be written of some exports, and the answer to each of them."""
        new: dict[str, list[Batch]] = {}
        answers = []
        for export in exports:
            batch = export.batch
            if batch is None:
                raise AssertionError("only decoded exports get here")
            key = (export.sender.host, export.digest)
            earlier = (answered.get(key) or self._answered.get(key)) if is_whole else None
            if earlier and earlier.is_before(export):
                answers.append(earlier.rejected)
                continue
            new.setdefault(export.signal, []).append(batch)
            rejected = batch.rejected if batch.rejected.count else None
            answers.append(rejected)
            if batch.is_dated and is_whole:
                answered[key] = Answered(export.sender.connection, time.monotonic(), rejected)
        return new, answers

    def _remember(self, answered: dict[tuple[str, bytes], Answered]) -> None:
        self._answered.update(answered)
        while len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)

    def _keep_under(self) -> None:
        try:
            if self._ingest:
                keep_under(self._ingest, self.retention_bytes)
        except sqlite3.Error as error:
            self._say_once(f"the oldest data cannot be dropped: {error}")
            self._disconnect()

    def _connect(self) -> Ingest:
        if self._ingest is None:
            # mode=rw: a file that was removed is an error, not a reason to make an empty one.
            db = sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True, timeout=1.0, isolation_level=None)
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA cache_size=-16000")
            db.execute("PRAGMA wal_autocheckpoint=1024")
            db.execute("PRAGMA journal_size_limit=16777216")
            self._ingest = Ingest(db, min(MAX_BYTES, self.retention_bytes // 64))
        return self._ingest

    def _disconnect(self) -> None:
        """Close the connection, which rolls back what is open; the next one starts without the ids that never were."""
        if self._ingest is not None:
            self._ingest.db.close()
            self._ingest = None

    def _say_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error(trouble) if trouble else log.warning("%s can be written again", self.path)
            self._trouble = trouble
