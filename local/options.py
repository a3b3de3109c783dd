"""What the commands take: options that several commands share, and the parsers of their values."""

import re
from collections.abc import Callable
from typing import Annotated, Any

import typer

from local.containers import ContainerSettings
from local.registry import SERVICES
from local.settings import HOST, LocalSettings, read_settings
from waybill_explorer.client import ClientError

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def pairs(text: list[str], number: Callable[[str], float], example: str) -> dict[str, Any]:
    """Parse `["A=1", "B=2"]` to `{"A": 1, "B": 2}`; a name without a number counts 1.

    Raise a ClientError that shows `example`.
    """
    found: dict[str, Any] = {}
    for item in text:
        name, _, value = item.partition("=")
        try:
            found[name] = found.get(name, 0) + number(value or "1")
        except ValueError as error:
            raise ClientError(f"{item!r} is not of the form {example}") from error
        if not name or not 0 < found[name] < float("inf"):
            raise ClientError(f"{item!r} is not of the form {example}")
    return found


def seconds(text: object) -> float:
    """Parse `500ms`, `30s`, `2m`, `1h` or plain seconds to seconds. Raise typer.BadParameter."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", str(text).strip())
    if not match:
        raise typer.BadParameter(f"{text!r} is not a duration: write 500ms, 30s, 2m or 1h")
    return float(match[1]) * UNITS[match[2] or "s"]


def service_name(text: str) -> str:
    """Return the name of a service of the registry. Raise typer.BadParameter."""
    if text not in SERVICES:
        raise typer.BadParameter(f"there is no service {text!r}. Name one of {', '.join(SERVICES)}.")
    return text


def base_url(text: str) -> str:
    """Parse `127.0.0.1:8080` or a whole URL to a base that paths are appended to."""
    return (text if "://" in text else f"http://{text}").rstrip("/")


def _url_option(name: str, variable: str, what: str, settings: type[LocalSettings] = LocalSettings) -> Any:
    """Return an option whose default is this machine's port of that variable."""

    def here() -> str:
        return f"http://{HOST}:{getattr(read_settings(settings), variable.lower())}"

    help = f"Base URL of {what}."
    return typer.Option(
        name, parser=base_url, metavar="URL", default_factory=here, show_default=f"{variable} here", help=help
    )


Api = Annotated[str, _url_option("--api", "ORDER_PORT", "order-service")]
Traces = Annotated[str, _url_option("--traces", "TRACES_PORT", "the trace backend or a Jaeger")]
Loki = Annotated[
    str, _url_option("--loki", "LOKI_PORT", "the Loki that has the logs of a Jaeger's traces", ContainerSettings)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Everything = Annotated[bool, typer.Option("--all", help="Print every span, even deep and repeated ones.")]
Query = Annotated[
    list[str] | None,
    typer.Argument(metavar="QUERY", help="In quotes, such as `service:order duration>500ms`.", show_default="all"),
]
QUERY = {"ignore_unknown_options": True}
"""Settings of a command with a query, whose terms may begin with a dash."""
Since = Annotated[str, typer.Option(metavar="DURATION", help="How far back: 10m, 2h, 7d.")]
