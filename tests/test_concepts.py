"""docs/concepts.md keeps its form: each concept in five sentences, with something to look at and a command.

That the commands, paths and links exist is checked by test_docs.py, as for all documents.
"""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.project_texts import ROOT
from waybill_explorer.api import READERS, USAGE

TEXT = (ROOT / "docs" / "concepts.md").read_text()
CONCEPTS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
TELEMETRY = (ROOT / "docs" / "telemetry.md").read_text()


def sentences(paragraph: str) -> list[str]:
    """Split a paragraph; a dot inside of code ends nothing."""
    return re.split(r"(?<=[.!?])\s+", re.sub(r"`[^`]*`", "code", paragraph.strip()))


def test_the_nine_concepts_are_there() -> None:
    assert list(CONCEPTS) == [
        *("Span", "Context", "Propagation", "Baggage", "Resource"),
        *("Instrument", "Exemplar", "Sampling", "Temporality"),
    ]


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_concept_has_five_sentences_something_to_look_at_and_a_command(concept: str) -> None:
    paragraph, _, rest = CONCEPTS[concept].strip().partition("\n\n")
    assert len(sentences(paragraph)) == 5
    blocks = re.findall(r"^```(\w*)\n(.*?)\n```", rest, re.MULTILINE | re.DOTALL)
    (command,) = (text for language, text in blocks if language == "sh")
    assert "<picture>" in rest or len(blocks) == 2
    assert re.search(r"\bwaybill |\bmake |\bcurl |gunicorn", command)


def test_every_name_of_telemetry_on_the_page_is_one_that_waybill_emits() -> None:
    names = {
        *re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", TEXT),
        *re.findall(r'"(?:name|key)": "([^"]+)"', TEXT),
    }
    assert {"orders.active", "orders.processing_time", "service.version"} <= names
    assert [name for name in names if f"`{name}`" not in TELEMETRY] == []


def test_every_query_on_the_page_is_one_of_the_read_api() -> None:
    urls = [urlsplit(f"http://{found}") for found in re.findall(r"localhost:16686(?:/[^']*)", TEXT)]
    assert len(urls) >= 4
    routes = [re.sub(r"<\w+>", "<id>", route) for route in READERS]
    for url in urls:
        assert url.path in routes
        usage = next(line for line in USAGE.splitlines() if f"{url.path.removesuffix('/<id>')}" in line)
        assert all(f"{parameter}=" in usage for parameter in parse_qs(url.query))
