"""Durations are written by one rule: the page's, whose cases are read here too."""

import json
from pathlib import Path

import pytest

from waybill_explorer.durations import duration_text

CASES = Path(__file__).parents[2] / "web" / "src" / "shared" / "durations.json"


@pytest.mark.parametrize(("us", "text"), json.loads(CASES.read_text()))
def test_a_duration_is_written_as_on_the_page(us: float, text: str) -> None:
    assert duration_text(us) == text
