"""How to send an app's telemetry to the explorer: the same words in the terminal and on the page."""

LANGUAGES = {
    "Python": "pip install opentelemetry-distro opentelemetry-exporter-otlp && opentelemetry-bootstrap -a install"
    " && opentelemetry-instrument python app.py",
    "Node": "npm install @opentelemetry/api @opentelemetry/auto-instrumentations-node"
    " && node --require @opentelemetry/auto-instrumentations-node/register app.js",
    "Java": "java -javaagent:opentelemetry-javaagent.jar -jar app.jar",
    "Go": "exporter, err := otlptracehttp.New(ctx) // go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp",
}
"""What an app of each language runs, or contains, once the variables below are set."""


def variables(otlp_url: str) -> dict[str, str]:
    """Return the environment variables that every OpenTelemetry SDK reads, for OTLP over HTTP."""
    return {
        "OTEL_SERVICE_NAME": "my-app",
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }


def export_command(otlp_url: str) -> str:
    """Return the shell's command that sets the variables."""
    return " ".join(["export", *(f"{name}={value}" for name, value in variables(otlp_url).items())])


def as_text(otlp_url: str) -> str:
    """Return the instructions for a terminal: the variables, then one line for each language."""
    lines = [f"  {language:<8}{command}" for language, command in LANGUAGES.items()]
    return "\n".join(["Send any app's telemetry here:", f"  {export_command(otlp_url)}", *lines])
