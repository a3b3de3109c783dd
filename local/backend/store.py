"""The SQLite file: its tables, its connections, and the one thread that writes to it.

A trace is kept as OTLP: each `chunks` row holds the ScopeSpans of one trace that arrived together from one resource.
`traces` has a summary of each trace and `matches` says which service and operation occur in which trace, when, for how
long at most and whether with an error, so a search reads an index instead of spans. Ids of traces, logs and points are
arrival times (see `Ingest.next_id`): "the oldest data", whatever the signal, is what has the lowest ids.
"""

import contextlib
import hashlib
import logging
import queue
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from local.backend.decode import BadData, parse_export
from local.backend.ingest import Ingest, Rejected

log = logging.getLogger(__name__)

VERSION = 1
SCHEMA = """
CREATE TABLE resources (id INTEGER PRIMARY KEY, service TEXT NOT NULL, used INTEGER NOT NULL,
    body BLOB NOT NULL UNIQUE);

CREATE TABLE traces (id INTEGER PRIMARY KEY, trace_id BLOB NOT NULL UNIQUE, start INTEGER NOT NULL,
    end INTEGER NOT NULL, spans INTEGER NOT NULL, errors INTEGER NOT NULL, root_rank INTEGER NOT NULL,
    root_service TEXT NOT NULL, root_name TEXT NOT NULL);
CREATE TABLE chunks (id INTEGER PRIMARY KEY, trace INTEGER NOT NULL, resource INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX chunks_of_trace ON chunks (trace);
CREATE TABLE operations (id INTEGER PRIMARY KEY, service TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (service, name));
CREATE TABLE matches (operation INTEGER, start INTEGER, trace INTEGER, longest INTEGER NOT NULL,
    failed INTEGER NOT NULL, PRIMARY KEY (operation, start, trace)) WITHOUT ROWID;

CREATE TABLE logs (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, service TEXT NOT NULL, severity INTEGER NOT NULL,
    level TEXT NOT NULL, body TEXT NOT NULL, trace_id BLOB, span_id BLOB, logger TEXT NOT NULL,
    attributes TEXT NOT NULL);
CREATE INDEX logs_by_time ON logs (time);
CREATE INDEX logs_by_service ON logs (service, time);
CREATE INDEX logs_of_trace ON logs (trace_id, time) WHERE trace_id IS NOT NULL;

CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, unit TEXT NOT NULL,
    description TEXT NOT NULL, monotonic INTEGER, delta INTEGER NOT NULL, resource INTEGER NOT NULL,
    scope TEXT NOT NULL, attributes TEXT NOT NULL, UNIQUE (name, type, delta, resource, scope, attributes));
CREATE TABLE points (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, time INTEGER NOT NULL, start INTEGER NOT NULL,
    value REAL, histogram BLOB, UNIQUE (series, time));
CREATE TABLE exemplars (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, time INTEGER NOT NULL, value REAL,
    trace_id BLOB, span_id BLOB, attributes TEXT NOT NULL, UNIQUE (series, time, value));
"""
GROUP_BYTES = 2 * 1024 * 1024
"""Exports that wait together are written in one transaction, up to this many bytes."""
COMMIT_TIMEOUT = 5.0
"""Seconds an export waits to be stored; OTLP senders give up after 10."""
REMEMBERED = 4096
"""How many stored exports are remembered, so that one sent again is not stored again."""


class UnusableStore(Exception):
    """The file is not one this version can use; the message says what to do."""


class Unavailable(Exception):
    """The export was not stored and can be sent again after `retry_after` seconds."""

    retry_after = 1


def prepare(path: Path) -> None:
    """Make the file and its tables where there are none; raises UnusableStore."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                # A chunk is some KiB: of pages of 4096, the default, a quarter would stay empty.
                db.execute("PRAGMA page_size=16384")
                db.execute("PRAGMA journal_mode=WAL")
                db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
            elif version != VERSION:
                raise UnusableStore(
                    f"{path} was written by another version of the local backend: remove it and start again"
                )
    except (sqlite3.Error, OSError) as error:
        raise UnusableStore(
            f"{path} cannot be used as a database ({error}): free it or remove it and start again"
        ) from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a read-only connection on one unchanging view of the data."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
        db.row_factory = sqlite3.Row
        db.execute("BEGIN")
        yield db


@dataclass
class Export:
    """One OTLP request on its way to the file."""

    signal: str
    body: bytes
    is_json: bool
    stored: Future[Rejected | None] = field(default_factory=Future)
    digest: bytes = b""

    def __post_init__(self) -> None:
        self.digest = hashlib.blake2b(self.body, digest_size=16, key=f"{self.signal} {self.is_json}".encode()).digest()


class Writer:
    """The only writer: takes exports from a bounded queue and answers each once its transaction is committed."""

    def __init__(self, path: Path, queue_bytes: int, retention_bytes: int) -> None:
        self.path = path
        self.queue_bytes = queue_bytes
        self.retention_bytes = retention_bytes
        self.waiting_bytes = 0
        self.refused = 0
        self._ingest: Ingest | None = None
        self._trouble = ""
        self._closed = False
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[Export | None] = queue.SimpleQueue()
        self._seen: OrderedDict[bytes, Rejected | None] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def store(self, signal: str, body: bytes, is_json: bool = False) -> Rejected | None:
        """Store one export and return once it is committed, with what was refused of it.

        Raises BadData when it cannot be read, Unavailable when it is not (yet) stored and may be sent again.
        """
        export = Export(signal, body, is_json)
        with self._lock:
            full = self.waiting_bytes > 0 and self.waiting_bytes + len(body) > self.queue_bytes
            if full or self._closed:
                self.refused += 1
                raise Unavailable("the queue is full" if full else "the local backend is stopping")
            self.waiting_bytes += len(body)
            self._queue.put(export)
        try:
            return export.stored.result(COMMIT_TIMEOUT)
        except TimeoutError:
            self.refused += 1
            raise Unavailable(f"not stored within {COMMIT_TIMEOUT:.0f} s") from None
        except (BadData, Unavailable):
            self.refused += 1
            raise

    def close(self) -> None:
        """Refuse what comes, write what was accepted, close the file."""
        with self._lock:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while exports := self._next_group():
            self._write(exports)
            with self._lock:
                self.waiting_bytes -= sum(len(export.body) for export in exports)
        self._disconnect()

    def _next_group(self) -> list[Export]:
        group: list[Export] = []
        size = 0
        while size < GROUP_BYTES and (not group or not self._queue.empty()):
            export = self._queue.get()
            if export is None:
                if group:
                    self._queue.put(None)
                break
            group.append(export)
            size += len(export.body)
        return group

    def _write(self, exports: list[Export]) -> None:
        try:
            ingest = self._connect()
            ingest.db.execute("BEGIN IMMEDIATE")
            answers: dict[bytes, Rejected | BadData | None] = {}
            for export in exports:
                if export.digest not in answers:
                    answers[export.digest] = self._add(ingest, export)
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
                self._write([export])
            return
        self._say_once("")
        for export in exports:
            answer = answers[export.digest]
            if isinstance(answer, BadData):
                export.stored.set_exception(answer)
            else:
                self._remember(export.digest, answer)
                export.stored.set_result(answer)
        try:
            ingest.keep_under(self.retention_bytes)
        except sqlite3.Error as error:
            self._say_once(f"the oldest data cannot be dropped: {error}")
            self._disconnect()

    def _add(self, ingest: Ingest, export: Export) -> Rejected | BadData | None:
        if export.digest in self._seen:  # a sender that missed the answer sends the same bytes again
            return self._seen[export.digest]
        try:
            return ingest.add(parse_export(export.signal, export.body, export.is_json))
        except BadData as error:
            return error

    def _remember(self, digest: bytes, rejected: Rejected | None) -> None:
        self._seen[digest] = rejected
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def _connect(self) -> Ingest:
        if self._ingest is None:
            # mode=rw: a file that somebody removed is an error, not a reason to make an empty one.
            db = sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True, timeout=1.0, isolation_level=None)
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA cache_size=-16000")
            db.execute("PRAGMA wal_autocheckpoint=1024")
            db.execute("PRAGMA journal_size_limit=16777216")
            self._ingest = Ingest(db)
        return self._ingest

    def _disconnect(self) -> None:
        """Closing rolls back what is open, and the next connection starts without the ids that never were."""
        if self._ingest is not None:
            self._ingest.db.close()
            self._ingest = None

    def _say_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error(trouble) if trouble else log.warning("%s can be written again", self.path)
            self._trouble = trouble
