"""A file of telemetry as the JSON values in it: one document, or a value on each line; plain or in gzip."""

import codecs
import gzip
import re
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

MAX_FILE = 256 * 2**20
"""Bytes of a file, before and after it is decompressed."""
MAX_VALUE = 32 * 2**20
"""Bytes of a document or of a line: decoded it takes ten times the memory."""
IN_MEMORY = 2**20
CHUNK = 2**16
SPLIT_IT = "write one trace on each line, or split the file"
GZIP = b"\x1f\x8b"


class BadFile(Exception):
    """The file cannot be imported; the message says why and what to do."""


class FileTooLarge(BadFile):
    """The file, or one value in it, has more bytes than can be read."""


@dataclass(frozen=True, slots=True)
class Value:
    """A JSON value of a file, or the problem of a line that is none.

    `place` says where it is, as in "line 3", or nothing for a whole document. `begin` and `end` are the shares (0 to 1)
    of the file before and after it.
    """

    place: str
    content: Any
    problem: str
    begin: float
    end: float


def spool(stream: IO[bytes], folder: Path) -> IO[bytes]:
    """Keep a request's body, on disk if it is large, so that it can be read while a response is sent.

    Raise FileTooLarge. The temporary file has no name and goes with its last handle.
    """
    file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(folder))  # noqa: SIM115 - the caller closes it
    size = 0
    while chunk := stream.read(CHUNK):
        size += len(chunk)
        if size > MAX_FILE:
            file.close()
            raise FileTooLarge(f"a file may have {MAX_FILE // 2**20} MiB: split it, for example with `split -l`")
        file.write(chunk)
    file.seek(0)
    return file


def read_values(file: IO[bytes]) -> Iterator[Value]:
    """Yield the values of a file in their order. Raise BadFile where no more can be read."""
    size = max(1, file.seek(0, 2))
    file.seek(0)
    is_gzip = file.read(2) == GZIP
    file.seek(0)
    if not is_gzip:
        yield from _Reader(file, file, size).values()
        return
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as plain:
            yield from _Reader(plain, file, size).values()
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(f"the file is not whole gzip: {error}") from error


class _Reader:
    """Reads `plain`; `source`, of `size` bytes, is what it is decompressed from, and says how far it has come."""

    def __init__(self, plain: Any, source: IO[bytes], size: int) -> None:
        self.plain = plain
        self.source = source
        self.size = size
        self.read = 0
        self.number = 0

    def values(self) -> Iterator[Value]:
        line = self._line()
        while line is not None and not line.strip():
            line = self._line()
        if line is None:
            raise BadFile("the file is empty")
        if self.number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > MAX_VALUE or _may_be_whole(line):
            yield from self._lines(line)
        else:
            yield self._document(line)

    def _document(self, first: bytes) -> Value:
        body = b"\n" * (self.number - 1) + first + self.plain.read(MAX_VALUE + 1)
        if len(body) > MAX_VALUE:
            raise FileTooLarge(f"one JSON document may have {MAX_VALUE // 2**20} MiB: {SPLIT_IT}")
        try:
            return Value("", from_json(body), "", 0.0, 1.0)
        except ValueError as error:
            raise BadFile(f"the file is not JSON: {error}") from error

    def _lines(self, line: bytes | None) -> Iterator[Value]:
        begin, number = 0.0, self.number
        while line is not None:
            end = self.source.tell() / self.size
            following = self._line()
            if line.strip():
                is_all = number == 1 and following is None
                yield self._value(line, "" if is_all else f"line {number:,}", begin, end)
            begin, number, line = end, self.number, following

    def _value(self, line: bytes, place: str, begin: float, end: float) -> Value:
        if len(line) > MAX_VALUE:
            return Value(place, None, f"it has more than {MAX_VALUE // 2**20} MiB: {SPLIT_IT}", begin, end)
        try:
            return Value(place, from_json(line), "", begin, end)
        except ValueError as error:
            why = re.sub(r"^(.*) at line 1 (column \d+)$", r"\2: it is not JSON: \1", str(error))
            return Value(place, None, why, begin, end)

    def _line(self) -> bytes | None:
        """Return the next line, of a longer one than MAX_VALUE the beginning; None after the last."""
        line = bytes(self.plain.readline(MAX_VALUE + 1))
        self.read += len(line)
        rest = line
        while len(rest) > MAX_VALUE and not rest.endswith(b"\n"):
            rest = bytes(self.plain.readline(MAX_VALUE + 1))
            self.read += len(rest)
        if self.read > MAX_FILE:
            raise FileTooLarge(f"the file has more than {MAX_FILE // 2**20} MiB uncompressed: split it")
        self.number += 1
        return line or None


def _may_be_whole(line: bytes) -> bool:
    """Return whether a file's first line is a value of its own, not the beginning of a document of many lines."""
    text = line.strip()
    return (text[:1], text[-1:]) in ((b"{", b"}"), (b"[", b"]"))
