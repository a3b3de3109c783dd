"""Tests that need an interpreter of their own, since an instrumentor changes its library for the whole process."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STABLE = {"OTEL_SEMCONV_STABILITY_OPT_IN": "http,database"}


def fresh_process(**environment: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Run a test in a new process with these variables and no other OTEL_*; warnings are errors there, too."""

    def decorate(test: Callable[[], None]) -> Callable[[], None]:
        @wraps(test)
        def wrapper() -> None:
            inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
            code = f"from {test.__module__} import {test.__name__} as test; test.__wrapped__()"
            result = subprocess.run(
                [sys.executable, "-W", "error", "-c", code],
                cwd=ROOT,
                env={**inherited, "PYTHONPATH": f"{ROOT}:{ROOT / 'lean'}", **STABLE, **environment},
                capture_output=True,
                text=True,
                timeout=240,
            )
            assert result.returncode == 0, result.stdout + result.stderr

        return wrapper

    return decorate
