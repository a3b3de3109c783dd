"""The provider that OTEL_PYTHON_*_PROVIDER=lean chooses."""

from opentelemetry.sdk._logs import LoggerProvider as OfficialLoggerProvider


class LoggerProvider(OfficialLoggerProvider):
    """The SDK's provider."""
