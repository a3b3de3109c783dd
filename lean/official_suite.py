"""Run the official SDK's own tests on the lean providers: `python official_suite.py SDIST [pytest options]`.

SDIST is the unpacked source distribution of opentelemetry-sdk (`pip download --no-deps --no-binary :all:`), or of an
official exporter or instrumentor. Python needs waybill-lean, what the tests import (opentelemetry-test-utils,
opentelemetry-exporter-otlp) and pytest. The tests run twice, on the official providers and on the lean ones; what only
the lean ones fail is printed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import opentelemetry.sdk._logs
import opentelemetry.sdk._logs._internal
import opentelemetry.sdk.metrics
import opentelemetry.sdk.metrics._internal
import opentelemetry.sdk.trace


def pytest_configure() -> None:
    """Put the lean providers where the tests import the official ones from."""
    if os.environ.get("LEAN_PROVIDERS") != "1":
        return
    from waybill_lean.logs import LoggerProvider
    from waybill_lean.metrics import MeterProvider
    from waybill_lean.trace import TracerProvider

    for module, provider in (
        (opentelemetry.sdk.trace, TracerProvider),
        (opentelemetry.sdk.metrics, MeterProvider),
        (opentelemetry.sdk.metrics._internal, MeterProvider),
        (opentelemetry.sdk._logs, LoggerProvider),
        (opentelemetry.sdk._logs._internal, LoggerProvider),
    ):
        setattr(module, provider.__name__, provider)


def run(folder: Path, lean: bool, options: list[str]) -> tuple[str, set[str]]:
    """Return pytest's last line and the names of the tests that failed."""
    here = Path(__file__).resolve()
    environment = os.environ | {"LEAN_PROVIDERS": "1" if lean else "0", "PYTHONPATH": str(here.parent)}
    command = [sys.executable, "-m", "pytest", "-p", here.stem, "-q", "-rfE", "tests", *options]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    lines = result.stdout.strip().splitlines() or [result.stderr]
    return lines[-1], set(re.findall(r"^(?:FAILED|ERROR) (\S+)", result.stdout, re.MULTILINE))


def main(folder: str, *options: str) -> int:
    """Print both results and the difference; return 1 if there is one."""
    failed: dict[bool, set[str]] = {}
    for lean in (False, True):
        last, failed[lean] = run(Path(folder), lean, [*options])
        print(f"{'lean' if lean else 'official'}: {last}")
    only_lean = sorted(failed[True] - failed[False])
    print(*only_lean or ["No test fails on the lean providers alone."], sep="\n")
    return 1 if only_lean else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
