"""Each recipe has a page that shows its code as it is, in the same five parts, and a row in the index."""

import re
from pathlib import Path

import pytest

from tools.recipes import FOLDER, code_files, fresh, pages, shown

INDEX = (FOLDER / "README.md").read_text()
PARTS = ["The code", "What changes in telemetry", "What it costs", "How to remove it"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_a_page_shows_its_code_as_it_is(page: Path) -> None:
    assert page.read_text() == fresh(page), "run `make generate`"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_a_page_says_when_how_and_at_what_cost(page: Path) -> None:
    text = page.read_text()
    assert "**When you need it.**" in text
    assert re.findall(r"^## (.+)", text, re.MULTILINE) == PARTS


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_the_index_has_a_row_with_the_lines_of_the_code(page: Path) -> None:
    row = re.search(rf"^\| \[[^]]+\]\({page.name}\) \|.*\| (\d+) \|$", INDEX, re.MULTILINE)
    assert row, f"no row for {page.name}"
    assert int(row[1]) == sum(len((FOLDER / name).read_text().splitlines()) for name in shown(page.read_text()))


def test_all_code_is_shown_on_one_page() -> None:
    names = [name for page in pages() for name in shown(page.read_text())]
    assert sorted(names) == [path.name for path in code_files()]
