"""What only the Collector itself can say of a second configuration: a recipe, or an extras file."""

import pytest

from local.settings import ROOT
from tests.stack.conftest import compose

VENDOR = (
    "-e",
    "VENDOR_OTLP_ENDPOINT=https://otlp.vendor.example",
    "-e",
    "VENDOR_OTLP_HEADERS={api-key: abc, x-org: waybill}",
)


@pytest.mark.parametrize(
    ("file", "environment"), [("docs/recipes/tail-sampling.yaml", ()), ("extras/vendor.collector.yaml", VENDOR)]
)
def test_the_collector_accepts_its_configuration_with_a_second_one(file: str, environment: tuple[str, ...]) -> None:
    files = ("--config", "/etc/otelcol-contrib/config.yaml", "--config", "/second.yaml")
    mount = f"{ROOT / file}:/second.yaml:ro"
    compose("run", "--rm", "--no-deps", *environment, "--volume", mount, "otel-collector", "validate", *files)
