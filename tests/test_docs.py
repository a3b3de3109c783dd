"""Documents stay true: every command, path, link and port that they name exists."""

import re
from collections.abc import Iterator
from fnmatch import filter as filter_names
from pathlib import Path
from typing import Any

import pytest
import typer
from dotenv import dotenv_values

from local.cli import app
from local.registry import ALL
from tests.project_texts import ROOT, documents, sources

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([\w./-]+):(?!=)", MAKEFILE, re.MULTILINE))
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
PASS_ON = ("dead-letters",)
"""Commands whose options are those of another program."""
OPTIONAL = "labs"
"""A folder that can be removed, with the commands `fault` and `lab`: what documents say of it is checked only if it is
there."""
HAS_OPTIONAL = (ROOT / OPTIONAL / "cli.py").exists()
OPTIONAL_COMMANDS = () if HAS_OPTIONAL else ("fault", "lab")
PORTS = {
    *dotenv_values(ROOT / ".env").values(),
    *(str(service.port) for service in ALL.values()),
    *re.findall(r"\b8889\b", (ROOT / "prometheus.yml").read_text()),
}
BUILT = ("web/dist", "dist", "explorer/waybill_explorer/static", ".venv", ".waybill", ".screenshots", "node_modules")
"""What `make` or a stack creates."""
NAMES = {path.name for path in sources()}
SUFFIXES = "py|md|ya?ml|toml|tsx?|css|json|sql|ini|sh"


def code(text: str) -> Iterator[str]:
    """Yield what a document shows as code: the lines of its fenced blocks, then its inline spans."""
    fence = re.compile(r"^ *```.*?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    for block in fence.findall(text):
        yield from block.splitlines()
    yield from (span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", fence.sub("", text)))


def quoted(text: str) -> Iterator[str]:
    """Yield what a source shows as code in a comment, an error or a page: its spans in backticks."""
    return (span for span in re.findall(r"`((?:make|waybill) [^`\n]+)`", text))


def wrong_commands(snippet: str) -> Iterator[str]:
    """Yield each `make X` and `waybill X --option` that does not exist."""
    snippet = snippet.partition("#")[0]
    for target in re.findall(r"(?:^|[;&|] *|\d )make ((?:[A-Z]+=\S+ )*[\w./-]+)", snippet):
        if target.split()[-1] not in TARGETS:
            yield f"make {target}"
    for name, rest in re.findall(r"(?:^|[;&|] *|/)waybill ([a-z-]+)([^;&|]*)", snippet):
        options = set(re.findall(r"(?<=\s)--[a-z-]+", rest))
        if name in OPTIONAL_COMMANDS:
            continue
        if name not in COMMANDS or (name not in PASS_ON and options - _options(COMMANDS[name])):
            yield f"waybill {name}{rest}"


def _options(command: Any) -> set[str]:
    """Return the options of a command and of those below it."""
    own = {option for parameter in command.params for option in parameter.opts}
    return own.union(*(_options(below) for below in getattr(command, "commands", {}).values()))


def wrong_paths(snippet: str, folder: Path) -> Iterator[str]:
    """Yield each path that is neither in the project nor in the document's folder; a bare name may be anywhere."""
    if not re.fullmatch(rf"[\w.*-]+(/[\w.*-]+)+/?|[\w*-]+/|[\w.*-]*\w\.({SUFFIXES})", snippet):
        return
    if snippet.removeprefix("../").startswith(BUILT if HAS_OPTIONAL else (*BUILT, f"{OPTIONAL}/")):
        return
    if re.fullmatch(r"\w+/\w+|[\w-]+(\.[\w-]+)+/.*", snippet):  # such as application/json, go.example.org/module
        return
    if not any(
        next(base.glob(snippet.rstrip("/")), None) for base in (ROOT, folder, folder / "src")
    ) and not filter_names(NAMES, snippet):
        yield snippet


def wrong_links(text: str, folder: Path) -> Iterator[str]:
    """Yield each relative link and picture whose file, or whose heading, does not exist."""
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    for link in (one or other for one, other in links):
        path, _, anchor = link.partition("#")
        target = folder / path
        headings = anchors(target.read_text() if path else text) if anchor and target.exists() else {anchor}
        optional = not HAS_OPTIONAL and target.resolve().is_relative_to(ROOT / OPTIONAL)
        if not re.match(r"https?:", link) and not optional and not (target.exists() and anchor in headings):
            yield link


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def wrong_ports(text: str) -> Iterator[str]:
    """Yield each port of this machine that neither `.env` nor Prometheus' configuration has."""
    for port in re.findall(r"(?:127\.0\.0\.1|localhost):(\d+)|\bports? (\d{4,5})\b", text):
        if (number := port[0] or port[1]) not in PORTS:
            yield number


@pytest.fixture(params=[str(path.relative_to(ROOT)) for path in documents()])
def document(request: pytest.FixtureRequest) -> Path:
    """Each document in turn."""
    path: Path = ROOT / request.param
    return path


def test_every_command_path_link_and_port_of_a_document_exists(document: Path) -> None:
    text, folder = document.read_text(), document.parent
    wrong = [
        *(found for snippet in code(text) for found in (*wrong_commands(snippet), *wrong_paths(snippet, folder))),
        *wrong_links(text, folder),
        *wrong_ports(text),
    ]
    assert wrong == []


def test_every_command_that_an_error_a_comment_or_a_page_names_exists() -> None:
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in sources()
        for snippet in quoted(path.read_text())
        for found in wrong_commands(snippet)
    }
    assert wrong == {}


def test_what_does_not_exist_is_found() -> None:
    assert list(wrong_commands("make demo && make migrate")) == ["make migrate"]
    assert list(wrong_commands(".venv/bin/waybill order --size red")) == ["waybill order --size red"]
    assert list(wrong_commands("waybill migrations")) == ["waybill migrations"]
    assert list(wrong_paths("app/no_such.py", ROOT)) == ["app/no_such.py"]
    assert list(wrong_links("[a](README.md#no-such-heading) [b](no-such.md)", ROOT)) == [
        "README.md#no-such-heading",
        "no-such.md",
    ]
    assert list(wrong_ports("http://127.0.0.1:8080/ and localhost:9999")) == ["9999"]
