"""What a child process says: kept whole in a file that cannot fill a disk, shown as one readable line each."""

import json
import logging
import re
from collections import deque
from collections.abc import Callable
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from rich.text import Text

MAX_BYTES = 5_000_000
MAX_LINE = 64 * 1024
LEVELS = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class ProcessLog(RotatingFileHandler):
    """`<name>.log` and the `<name>.log.1` before it, 5 MB each, with the last lines in memory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8", errors="replace")
        self.tail: deque[str] = deque(maxlen=15)
        self.lines = 0
        """How many were kept so far."""

    def follow(self, stream: IO[str], show: Callable[[str], None]) -> None:
        """Keep and `show` each line of `stream` until it ends; lines over 64 KiB are cut in pieces."""
        with stream:
            while piece := stream.readline(MAX_LINE):
                line = piece.rstrip("\n")
                self.tail.append(line)
                self.lines += 1
                self.handle(logging.makeLogRecord({"msg": line}))
                show(line)

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop what a full disk does not take: a process must not wait for its own log."""


def pretty(name: str, style: str, line: str) -> Text:
    """Return one log line as time, service, level, message and short trace id; what is not JSON stays as it is."""
    prefix = Text(f"{name:<20} ", style=style)
    try:
        record = json.loads(line)
        time = datetime.fromisoformat(record["timestamp"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
        level, message = str(record["level"]), str(record["message"])
    except (ValueError, TypeError, KeyError):
        return prefix + Text(_printable(line))
    text = Text.assemble((f"{time} ", "dim"), prefix, (f"{level:<8} ", LEVELS.get(level, "")), _printable(message))
    if record.get("trace_id"):
        text.append(f"  {_printable(str(record['trace_id'])[:8])}", style="dim")
    if record.get("exc_info"):
        text.append(f"\n{_printable(str(record['exc_info']))}", style="red")
    return text


def _printable(text: str) -> str:
    """Replace what a terminal would obey: a message may hold what a client sent."""
    return CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text)
