"""A slice of `make fuzz`: whatever is sent, services and explorer keep their promises about how they refuse it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.local_stack import LocalStack
from tools.fuzz import explorer, services
from tools.fuzz.__main__ import fuzzed_stack
from tools.fuzz.findings import Findings

NUMBER = 300
SEED = 1
STALL_SECONDS = 15.0
"""A slow machine is no failure; `make fuzz` measures."""


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with fuzzed_stack() as running:
        yield running


@pytest.mark.parametrize("fuzz", [services.fuzz, explorer.fuzz], ids=["services", "explorer"])
def test_nothing_that_is_sent_brings_a_5xx_a_stall_or_a_death(fuzz: Callable[..., Any], stack: LocalStack) -> None:
    findings = Findings()
    fuzz(stack, NUMBER, SEED, findings, lambda _done: None, STALL_SECONDS)
    assert not findings.failures, findings.text()
