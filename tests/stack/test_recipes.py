"""What only the Collector itself can say of a recipe."""

from local.settings import ROOT
from tests.stack.conftest import compose


def test_the_collector_accepts_its_configuration_with_tail_sampling() -> None:
    recipe = ROOT / "docs" / "recipes" / "tail-sampling.yaml"
    files = ("--config", "/etc/otelcol-contrib/config.yaml", "--config", "/tail-sampling.yaml")
    mount = f"{recipe}:/tail-sampling.yaml:ro"
    compose("run", "--rm", "--no-deps", "--volume", mount, "otel-collector", "validate", *files)
