"""The same requests leave the same telemetry under the official parts and under the lean ones."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lean.tests.contract.items import Item, difference, items, totals
from lean.tests.receiver import receiving
from tests.support.servers import free_port

ROOT = Path(__file__).resolve().parents[3]

CONFIGURATIONS: dict[str, dict[str, str]] = {
    "defaults": {},
    "headers captured": {
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "X-Ask,Authorization,Host,.*agent",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": ".*",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": "X-Ask,Authorization",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE": "X-Answer,Set-Cookie",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS": "authorization,set-cookie",
        "OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS": "1",
        "OTEL_PYTHON_FLASK_EXCLUDED_URLS": "/excluded/2",
    },
    "small limits": {
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "12",
        "OTEL_SPAN_EVENT_COUNT_LIMIT": "1",
    },
    "not sampled by default": {"OTEL_TRACES_SAMPLER": "parentbased_always_off", "OTEL_PROPAGATORS": "tracecontext"},
}
PAIRS = [
    *(("lean", "lean", configuration) for configuration in CONFIGURATIONS),
    *(("official", "lean", "defaults"), ("lean", "official", "defaults")),
]
"""SDK, hooks and configuration that are compared with the official SDK and hooks."""


@pytest.fixture(scope="module")
def ports() -> str:
    return ",".join(str(free_port()) for _ in range(4))


@pytest.fixture(scope="module")
def probe(ports: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], Counter[Item]]:
    """Return the items that the probe leaves with (configuration, SDK, hooks); each is run once."""
    known: dict[tuple[str, str, str], Counter[Item]] = {}

    def run(configuration: str, sdk: str, hooks: str) -> Counter[Item]:
        key = (configuration, sdk, hooks)
        if key not in known:
            known[key] = _run(tmp_path_factory.mktemp("probe"), ports, configuration, sdk, hooks)
        return known[key]

    return run


def _run(folder: Path, ports: str, configuration: str, sdk: str, hooks: str) -> Counter[Item]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with receiving() as receiver:
        process = subprocess.run(
            [sys.executable, "-m", "lean.tests.contract.probe", sdk, hooks],
            cwd=folder,
            env={
                **inherited,
                "PYTHONPATH": f"{ROOT}:{ROOT / 'lean'}",
                "PYTHONHASHSEED": "0",
                "PROBE_PORTS": ports,
                "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http,
                "OTEL_SERVICE_NAME": "probe",
                **CONFIGURATIONS[configuration],
            },
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert process.returncode == 0, process.stderr[-5000:]
        return items(receiver.requests)


@pytest.mark.parametrize(("sdk", "hooks", "configuration"), PAIRS)
def test_the_probe_leaves_the_same_telemetry(
    probe: Callable[[str, str, str], Counter[Item]], sdk: str, hooks: str, configuration: str
) -> None:
    official, lean = probe(configuration, "official", "official"), probe(configuration, sdk, hooks)

    assert not difference(official, lean), totals(official)
    assert totals(official)["span"] > 100
