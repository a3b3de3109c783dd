"""The distribution as others use it."""

import pytest
from opentelemetry.util._importlib_metadata import entry_points


@pytest.mark.parametrize("signal", ["tracer", "meter", "logger"])
def test_a_provider_named_lean_is_found_as_the_api_finds_it(signal: str) -> None:
    (found,) = entry_points(group=f"opentelemetry_{signal}_provider", name="lean")
    assert found.load().__module__.startswith("waybill_lean.")
