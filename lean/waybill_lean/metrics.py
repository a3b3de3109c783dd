"""The provider that OTEL_PYTHON_*_PROVIDER=lean chooses."""

from opentelemetry.sdk.metrics import MeterProvider as OfficialMeterProvider


class MeterProvider(OfficialMeterProvider):
    """The SDK's provider."""
