"""Secrets in every form, sent to the Collector in every place where OTLP has text: none comes out, and the rest does.

A second Collector of the same image and configuration prints what it would send.
"""

import json
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local.settings import HOST, ROOT
from tests.stack.conftest import ARRIVAL_TIMEOUT
from tests.support.otlp_json import (
    LISTS,
    WITH_ATTRIBUTES,
    WITH_TEXT,
    Json,
    attributes,
    entry,
    link,
    places,
    record,
    resource,
    span,
    value,
)
from tests.support.secrets_in_telemetry import FORMS, SECRET_KEYS, UNCHANGED
from tests.support.servers import free_port
from tests.support.waiting import until

ADDITION = Path(__file__).with_name("print_everything.yaml")
CONFIGURATION = "/etc/otelcol-contrib/config.yaml"
HOLDERS = [(signal, holder) for signal, makers in WITH_ATTRIBUTES.items() for holder in makers]
PLAIN = [(signal, holder) for signal, holder in HOLDERS if holder not in ("link", "body", "list as body")]
OURS = "order-service"


class Collector:
    """One that prints what reaches its exporters."""

    def __init__(self, port: int, output: Path) -> None:
        self._url = f"http://{HOST}:{port}"
        self._output = output

    def output(self, since: int) -> str:
        """What it has printed since so many bytes."""
        with self._output.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="ignore")

    def ready(self) -> bool:
        """Whether it accepts telemetry."""
        try:
            return requests.post(f"{self._url}/v1/logs", json={}, timeout=10).ok
        except requests.ConnectionError:
            return False

    def send(self, signal: str, entries: list[Json]) -> None:
        """Export them in one request."""
        response = requests.post(f"{self._url}/v1/{signal}", json={LISTS[signal]: entries}, timeout=60)
        assert response.ok, response.text

    def printed(self, signal: str, entries: list[Json]) -> str:
        """Send this, and return what it prints of it."""
        since, mark = self._output.stat().st_size, uuid.uuid4().hex[:8]
        self.send(signal, entries)
        self.send(signal, [WITH_TEXT[signal]["scope name"](f"end {mark}")])
        until(lambda: f"end {mark}" in self.output(since), ARRIVAL_TIMEOUT)
        return self.output(since).partition(f"end {mark}")[0]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A second one, which the stack does not know."""
    port, output = free_port(), tmp_path_factory.mktemp("collector") / "output"
    name = f"redaction-{uuid.uuid4().hex[:8]}"
    options = ("--name", name, "--no-deps", "-T", "--publish", f"{HOST}:{port}:4318")
    files = ("--config", CONFIGURATION, "--config", "/addition.yaml")
    mount = f"{ADDITION}:/addition.yaml:ro"
    command = ["docker", "compose", "run", *options, "--volume", mount, "otel-collector", *files]
    with output.open("wb") as file, subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file):
        try:
            started = Collector(port, output)
            until(started.ready, ARRIVAL_TIMEOUT)
            yield started
        finally:
            subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


def leaks(output: str, secrets: set[str]) -> list[str]:
    """Each secret that is in the output, with what is around it."""
    return [
        output[max(0, found.start() - 60) : found.end() + 20]
        for secret in secrets
        for found in re.finditer(re.escape(secret), output)
    ]


@pytest.mark.parametrize(
    ("signal", "place", "put"), [pytest.param(*each, id=f"{each[0]}: {each[1]}") for each in places()]
)
def test_no_form_of_a_secret_passes_in_this_place(
    collector: Collector, signal: str, place: str, put: Callable[[str], Json]
) -> None:
    """Each form alone, and each behind a text that says which one it is."""
    marked = [put(f"c{number} {form.text}") for number, form in enumerate(FORMS)]
    output = collector.printed(signal, [*marked, *(put(form.text) for form in FORMS)])
    assert leaks(output, {form.secret for form in FORMS}) == []
    if not place.startswith("link"):  # a link of an unknown sender does not pass at all
        assert {int(number) for number in re.findall(r"\bc(\d+)\b", output)} >= {*range(len(FORMS))}
        assert output.count("****") >= len(FORMS)


@pytest.mark.parametrize(("signal", "holder"), HOLDERS)
def test_what_has_the_name_of_a_secret_does_not_pass(collector: Collector, signal: str, holder: str) -> None:
    canary = "just a word"
    values: list[Any] = [canary, ["x", canary], [f"a]{canary}", "b"], {"a": canary}, {"a": [{"b": canary}]}]
    given = [{key: value} for key in SECRET_KEYS for value in values]
    put = WITH_ATTRIBUTES[signal][holder]
    output = collector.printed(signal, [put(each) for item in given for each in (item, {"in": item, "beside": "it"})])
    assert leaks(output, {canary}) == []


def as_printed(value: Any) -> str:
    """A value as the debug exporter prints it: kind and text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    kinds = {bool: "Bool", int: "Int", float: "Double", list: "Slice", dict: "Map"}
    return f"Str({value})" if isinstance(value, str) else f"{kinds[type(value)]}({text})"


@pytest.mark.parametrize(("signal", "holder"), PLAIN)
def test_what_is_no_secret_passes_unchanged(collector: Collector, signal: str, holder: str) -> None:
    put = WITH_ATTRIBUTES[signal][holder]
    output = collector.printed(signal, [put({name: value}) for name, value in UNCHANGED.items()])
    assert [name for name, value in UNCHANGED.items() if f"-> {name}: {as_printed(value)}\n" not in output] == []


def test_a_body_that_is_no_secret_passes_unchanged(collector: Collector) -> None:
    output = collector.printed("logs", [entry("logs", record(body=value(each))) for each in UNCHANGED.values()])
    assert [each for each in UNCHANGED.values() if f"Body: {as_printed(each)}\n" not in output] == []


@pytest.mark.parametrize(
    ("signal", "place"), [(signal, place) for signal, texts in WITH_TEXT.items() for place in texts]
)
def test_a_text_that_is_no_secret_passes_unchanged(collector: Collector, signal: str, place: str) -> None:
    texts = [text for text in UNCHANGED.values() if isinstance(text, str)]
    output = collector.printed(signal, [WITH_TEXT[signal][place](text) for text in texts])
    if place != "link's trace state":
        assert [text for text in texts if text not in output] == []


def test_beside_a_secret_texts_and_lists_pass_unchanged_and_numbers_keep_their_value(collector: Collector) -> None:
    given = {"card": ["4111111111111111", "x"], **UNCHANGED}
    output = collector.printed("traces", [entry("traces", span(attributes=attributes(given)))])
    assert '-> card: Slice(["****","x"])\n' in output
    for name, each in UNCHANGED.items():
        if type(each) is not int:
            expected = as_printed(each)
        elif len(str(abs(each))) < 16:
            expected = f"Double({each})"
        else:
            expected = f"Str({each})"
        assert f"-> {name}: {expected}\n" in output


def test_numbers_of_cards_do_not_pass_alone_or_in_lists(collector: Collector) -> None:
    given = {
        "one": 4111111111111111,
        "some": [7, 5555555555554444],
        "deep": {"of": [2223003122003222], "to": 4222222222222},
    }
    output = collector.printed("traces", [entry("traces", span(attributes=attributes(given)))])
    numbers = {"4111111111111111", "5555555555554444", "2223003122003222", "4222222222222"}
    assert leaks(output, numbers) == []
    assert '-> some: Slice(["****"])\n' in output


def test_a_place_that_cannot_be_read_does_not_pass(collector: Collector) -> None:
    """JSON has no NaN, so that what is beside it cannot be looked at."""
    given = [*attributes({"card": ["4111111111111111"]}), {"key": "ratio", "value": {"doubleValue": "NaN"}}]
    name = "charge 4111111111111111"
    output = collector.printed("traces", [entry("traces", span(name=name, attributes=given))])
    assert leaks(output, {"4111111111111111"}) == []
    assert "redaction.failed" in output


def test_links_of_our_services_pass_and_those_of_others_do_not(collector: Collector) -> None:
    ours, others = link(), link(attributes=attributes({"note": "ada at home"}))
    entries = [
        entry("traces", span(links=[ours]), of=resource(OURS)),
        entry("traces", span(links=[others])),
    ]
    output = collector.printed("traces", entries)
    assert ours["traceId"] in output
    assert ours["spanId"] in output
    assert others["traceId"] not in output
    assert "ada at home" not in output
