"""The provider that OTEL_PYTHON_*_PROVIDER=lean chooses."""

from opentelemetry.sdk.trace import TracerProvider as OfficialTracerProvider


class TracerProvider(OfficialTracerProvider):
    """The SDK's provider."""
