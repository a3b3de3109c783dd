"""Run an official instrumentor's own tests on the lean hooks: `python official_hooks.py LIBRARY SDIST`.

LIBRARY is flask, redis, requests or sqlalchemy, and SDIST the unpacked source distribution of its instrumentor; options
of pytest may follow. The tests run on the official instrumentor and on the lean one, first with the conventions that
each test chooses and then with the stable ones, which the hooks are for: tests that expect the old ones fail on both.
What only one of the two passes is printed.
"""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

NAMES = {
    "flask": "FlaskInstrumentor",
    "redis": "RedisInstrumentor",
    "requests": "RequestsInstrumentor",
    "sqlalchemy": "SQLAlchemyInstrumentor",
}


def pytest_configure() -> None:
    """Put the lean class where the tests import the official one from, and force the stable conventions."""
    library = os.environ.get("LEAN_HOOKS")
    if library:
        lean = getattr(importlib.import_module(f"waybill_lean.hooks.{library}"), NAMES[library])
        setattr(importlib.import_module(f"opentelemetry.instrumentation.{library}"), NAMES[library], lean)
    if os.environ.get("FORCE_STABLE"):
        from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability as Stability

        os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http,database"
        Stability._initialize()
        # The tests reset it.
        Stability._initialize = staticmethod(lambda: None)  # type: ignore[assignment]


def passed(library: str, folder: Path, lean: bool, stable: bool, options: list[str]) -> set[str]:
    """Return the names of the tests that pass."""
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(here.parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"LEAN_HOOKS": library if lean else "", "FORCE_STABLE": "1" if stable else ""}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        "-p",
        here.stem,
        "-q",
        "-rA",
        "tests",
    ]
    result = subprocess.run(
        [*command, *options],
        cwd=folder,
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"{'lean' if lean else 'official'}, {'stable' if stable else 'as the tests choose'}:", end=" ")
    print((result.stdout.strip().splitlines() or [result.stderr])[-1])
    return set(re.findall(r"^PASSED (\S+)", result.stdout, re.MULTILINE))


def main(library: str, folder: str, *options: str) -> int:
    """Print the results and the difference; return 1 if there is one."""
    different: set[str] = set()
    for stable in (False, True):
        official, lean = (passed(library, Path(folder), side, stable, [*options]) for side in (False, True))
        different |= official ^ lean
    print(*sorted(different) or ["Both pass the same tests."], sep="\n")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
