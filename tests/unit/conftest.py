"""Rules that need no server and no file: these tests use no fixture of another file, and run in seconds."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
BUILT_IN = {"request", "monkeypatch", "capsys", "caplog"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a fixture that another file defines, before it is set up."""
    for item in items:
        if not isinstance(item, pytest.Function) or FOLDER not in item.path.parents:
            continue
        own = {name for name in item.fixturenames if hasattr(item.module, name)}
        parameters = set(item.callspec.params) if hasattr(item, "callspec") else set()
        foreign = set(item.fixturenames) - own - parameters - BUILT_IN
        if foreign:
            raise pytest.UsageError(f"{item.nodeid} uses {', '.join(foreign)}: move it out of tests/unit")
