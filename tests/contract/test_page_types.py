"""The pages' types are those of the APIs that they call."""

from pathlib import Path

import pytest

from tools.api_types import FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_page_s_types_are_made_from_the_api_s_own_description(path: Path) -> None:
    assert path.read_text() == FILES[path](), "the API has changed: run make api-types, then make lint"
