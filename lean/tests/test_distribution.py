"""The distribution as others use it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from opentelemetry.util._importlib_metadata import entry_points

from waybill_lean._aside import TESTED_SDK


@pytest.mark.parametrize("signal", ["tracer", "meter", "logger"])
def test_a_provider_named_lean_is_found_as_the_api_finds_it(signal: str) -> None:
    (found,) = entry_points(group=f"opentelemetry_{signal}_provider", name="lean")
    assert found.load().__module__.startswith("waybill_lean.")


def test_the_api_makes_a_lean_provider_of_the_variable() -> None:
    code = """
from opentelemetry import _logs, metrics, trace
for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()):
    print(type(provider).__module__)
print(type(trace.get_tracer("t").start_span("a")).__module__)
"""
    names = {f"OTEL_PYTHON_{signal}_PROVIDER": "lean" for signal in ("TRACER", "METER", "LOGGER")}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | names, capture_output=True, text=True, check=True
    )
    modules = ["waybill_lean.trace", "waybill_lean.metrics", "waybill_lean.logs", "waybill_lean.trace"]
    assert (ran.stdout.split(), ran.stderr) == (modules, "")


def test_the_pinned_sdk_is_the_one_that_was_compared() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert f"opentelemetry-sdk=={TESTED_SDK}" in project["dependencies"]
