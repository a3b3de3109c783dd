"""What is compared: the variables and the launcher of each variant."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from sys import executable


@dataclass(frozen=True)
class Variant:
    """How the services are started: what they get beside the environment of the local stack."""

    title: str
    environment: Mapping[str, str] = field(default_factory=dict)
    launcher: tuple[str, ...] = ()
    """The program that starts gunicorn."""
    application: str = "services.{}:create_app()"
    entry_point: tuple[str, str] | None = None
    """Group and name of what must be installed."""

    @property
    def installed(self) -> bool:
        """Whether its packages are."""
        return self.entry_point is None or bool(entry_points(group=self.entry_point[0], name=self.entry_point[1]))

    def sampling(self, share: float) -> "Variant":
        """Return this variant with a share of the traces."""
        sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": str(share)}
        environment = {**self.environment, **sampler}
        return replace(self, title=f"{self.title}, {share * 100:g} %", environment=environment)


NONE = Variant("none", {"OTEL_SDK_DISABLED": "true"})
STOCK = Variant(
    "stock",
    launcher=(str(Path(executable).with_name("opentelemetry-instrument")),),
    application="bench.telemetry.stock:create_app('{}')",
    entry_point=("opentelemetry_distro", "distro"),
)
OFFICIAL = Variant("official")
LEAN = Variant(
    "lean",
    {f"OTEL_PYTHON_{signal}_PROVIDER": "lean" for signal in ("TRACER", "METER", "LOGGER")},
    entry_point=("opentelemetry_tracer_provider", "lean"),
)
VARIANTS = {
    "none": NONE,
    "stock": STOCK,
    "stock-10": STOCK.sampling(0.1),
    "official": OFFICIAL,
    "official-10": OFFICIAL.sampling(0.1),
    "lean": LEAN,
    "lean-10": LEAN.sampling(0.1),
}
"""By the names that --variants takes. The first that is compared is what the ratios refer to."""


@dataclass(frozen=True)
class Case:
    """A column of the table."""

    title: str
    variant: Variant
    workers: int = 1
    """gunicorn workers per service."""
    stored: int = 0
    """Orders that are in the databases already."""
