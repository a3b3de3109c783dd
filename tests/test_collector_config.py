"""otel-collector-config.yaml without a Collector: what its patterns mask, and that nothing passes beside them.

The patterns are Go's; here Python's `re` runs them. tests/stack has the Collector itself run them in every place.
"""

import json
import re
from typing import Any

import pytest

from tests.support.secrets_in_telemetry import FORMS, SECRET_KEYS, UNCHANGED, Form
from tests.test_compose_file import COLLECTOR

PIPELINES: dict[str, Any] = COLLECTOR["service"]["pipelines"]
REDACT: dict[str, Any] = COLLECTOR["processors"]["transform/redact"]
MASK: list[str] = REDACT["trace_statements"][1]["statements"]
STRING = r'"((?:\\.|[^\\"])*)"'
STATEMENT = re.compile(rf'replace_pattern\(cache\["text"\], {STRING}, {STRING}\)')
IN_PYTHON = {
    r"\pL": "a-zA-Z\u00aa-\u02ff\u0370-\u1fff\u3040-\ud7ff",
    r"\pN": "0-9",
    r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\p{Pd}": r"\-\u2010-\u2015",
}
"""Classes of characters that Python's `re` does not know."""


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of the configuration, compiled."""
    for go, python in IN_PYTHON.items():
        text = text.replace(go, python)
    return re.compile(text, re.ASCII)


def masks() -> list[tuple[re.Pattern[str], str]]:
    """Pattern and replacement of each statement that masks."""
    found = [STATEMENT.match(statement) for statement in MASK]
    strings = [[json.loads(f'"{text}"').replace("$$", "$") for text in each.groups()] for each in found if each]
    return [(pattern(go), re.sub(r"\$\{(\d)\}", r"\\g<\1>", replacement)) for go, replacement in strings]


def masked(given: Any) -> Any:
    """What is left of attributes."""
    text = json.dumps(given, ensure_ascii=False, separators=(",", ":"))
    for character in "&<>":  # as Go writes JSON
        text = text.replace(character, f"\\u{ord(character):04x}")
    for mask, replacement in masks():
        text = mask.sub(replacement, text)
    return json.loads(text)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_secret_is_masked_as_a_value_in_a_list_nested_and_as_a_key(form: Form) -> None:
    for text in (form.text, f"before {form.text}", f"{form.text}\nafter"):
        given = {"a": text, "b": ["x", text], "c": {"d": [{"e": text}]}, text: "f", "g": {text: 1}}
        left = masked(given)
        assert form.secret not in json.dumps(left, ensure_ascii=False).replace('\\"', '"')
        assert [type(each) for each in left.values()] == [type(each) for each in given.values()]
        assert left["b"][0] == "x"


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_what_has_the_name_of_a_secret_is_masked_whatever_it_is(key: str) -> None:
    assert masked({key: "a word", "b": 1}) == {key: "****", "b": 1}
    assert masked({key: ["a]", "word"], "b": 1}) == {key: ["****"], "b": 1}
    assert masked({key: 12345, "b": {key: {"a": "word"}}}) == {key: "****", "b": {key: "****"}}


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_is_no_secret_is_left_as_it_is(name: str) -> None:
    value = UNCHANGED[name]
    expected = str(value) if isinstance(value, int) and len(str(abs(value))) > 15 else value
    assert masked({name: value, "other": [value, "x"]}) == {name: expected, "other": [value, "x"]}


def test_all_places_are_masked_by_one_list() -> None:
    contexts = {
        "trace_statements": ["resource", "scope", "span", "spanevent"],
        "metric_statements": ["resource", "scope", "datapoint"],
        "log_statements": ["resource", "scope", "log"],
    }
    assert REDACT.keys() == contexts.keys()
    for signal, expected in contexts.items():
        groups = REDACT[signal]
        assert [group["context"] for group in groups] == [context for context in expected for _ in range(3)]
        assert all(group["statements"] == MASK for group in groups[1::3])


def test_everything_that_is_received_is_redacted_before_it_goes_anywhere() -> None:
    for pipeline in PIPELINES.values():
        if "otlp" in pipeline["receivers"]:
            assert pipeline["processors"][0] == "memory_limiter"
            assert "transform/redact" in pipeline["processors"]


def test_no_full_queue_makes_a_sender_send_again_what_was_counted() -> None:
    queues = {name for name, exporter in COLLECTOR["exporters"].items() if "sending_queue" in (exporter or {})}
    assert queues
    for pipeline in PIPELINES.values():
        if queues.intersection(pipeline["exporters"]):
            assert pipeline["processors"][-1] == "batch/take_over"
            assert queues.issuperset(pipeline["exporters"])
