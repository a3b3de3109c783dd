"""What a process says, in its file and on the terminal."""

import io
import json
from pathlib import Path

import pytest

from local.process_log import MAX_BYTES, ProcessLog, pretty


def test_a_log_cannot_fill_the_disk_and_keeps_the_newest_lines(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "order.log")
    lines = [f"{number} {'x' * 60_000}\n" for number in range(300)]

    log.follow(io.StringIO("".join(lines)), lambda _: None)
    log.close()

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["order.log", "order.log.1"]
    assert all(file.stat().st_size <= MAX_BYTES for file in files)
    assert files[0].read_text().endswith(lines[-1])
    assert [line.split()[0] for line in log.tail] == [str(number) for number in range(285, 300)]


def test_a_line_that_never_ends_is_kept_in_pieces(tmp_path: Path) -> None:
    shown: list[str] = []
    log = ProcessLog(tmp_path / "order.log")

    log.follow(io.StringIO("x" * 200_000), shown.append)
    log.close()

    assert [len(piece) for piece in shown] == [65_536, 65_536, 65_536, 3_392]


def test_a_json_line_is_shown_with_its_exception_beneath() -> None:
    record = {"timestamp": "2026-11-22T21:47:09.123Z", "level": "ERROR", "message": "failed", "exc_info": "KeyError"}

    text = pretty("order-service", "cyan", json.dumps(record)).plain

    assert text.split()[1:] == ["order-service", "ERROR", "failed", "KeyError"]


@pytest.mark.parametrize(
    "line", ["[INFO] Booting worker", "17", "[1]", "{}", '{"timestamp": 1}', '{"message": "m"', ""]
)
def test_a_line_of_another_form_is_shown_as_it_is(line: str) -> None:
    assert pretty("order-service", "cyan", line).plain == f"{'order-service':<20} {line}"


def test_a_message_cannot_command_the_terminal() -> None:
    record = {"timestamp": "2026-11-22T21:47:09.123Z", "level": "INFO", "message": "\x1b]0;owned\x07"}

    assert "\x1b" not in pretty("order-service", "cyan", json.dumps(record)).plain
    assert "\x1b" not in pretty("order-service", "cyan", "\x1b[2J").plain
