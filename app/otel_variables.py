"""The standard OTEL_* variables: checked when the kit is imported, so that a bad value stops the start.

The specification lets an SDK warn and go on with the default; a service that silently samples, names or sends
something else than it was told is found out too late. A blank variable counts as unset.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

import os
import re
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Annotated, Any

from pydantic import AfterValidator, Field, FilePath, TypeAdapter, ValidationError

from .config import LogLevel, refuse_setting
from .problems import reason_of

SIGNALS = ("TRACES", "METRICS", "LOGS")


def _one_of(*choices: str) -> Any:
    def check(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return value

    return Annotated[str, AfterValidator(check)]


def _list_of(check_item: Callable[[str], None]) -> Any:
    def check(value: str) -> str:
        for item in value.split(","):
            check_item(item.strip())
        return value

    return Annotated[str, AfterValidator(check)]


def _check_endpoint(value: str) -> str:
    if not re.fullmatch(r"(https?://|unix:|dns:)\S+|[^\s/]+:\d+", value):
        raise ValueError("must be a URL such as http://127.0.0.1:4317, or host:port for gRPC")
    return value


def _check_pair(item: str) -> None:
    if item and not re.fullmatch(r"[^\s=,;\"]+\s*=.*", item):
        raise ValueError("must be name=value,name=value,...")


def _check_regex(item: str) -> None:
    try:
        re.compile(item)
    except re.error as error:
        raise ValueError(f"must be regular expressions, separated by commas: {error}") from None


def _check_propagator(item: str) -> None:
    installed = entry_points(group="opentelemetry_propagator").names
    if item.lower() != "none" and item not in installed:
        raise ValueError(f"must be a list of: {', '.join(sorted(installed))}, none")


def _provider(signal: str) -> Any:
    def check(value: str) -> str:
        installed = entry_points(group=f"opentelemetry_{signal}_provider").names
        if value not in installed:
            raise ValueError(f"must be one of: {', '.join(sorted(installed))}")
        return value

    return Annotated[str, AfterValidator(check)]


def _check_convention(item: str) -> None:
    conventions = ("http", "http/dup", "database", "database/dup", "gen_ai_latest_experimental")
    if item not in conventions:
        raise ValueError(f"must be a list of: {', '.join(conventions)}")


Boolean = _one_of("true", "false")
Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=1)]
Milliseconds = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Pairs = _list_of(_check_pair)
Regexes = _list_of(_check_regex)
Endpoint = Annotated[str, AfterValidator(_check_endpoint)]

EXPORTER = {
    "ENDPOINT": Endpoint,
    "HEADERS": Pairs,
    # The SDK for Python takes seconds where the specification says milliseconds.
    "TIMEOUT": Seconds,
    "COMPRESSION": _one_of("gzip", "deflate", "none"),
    "CERTIFICATE": FilePath,
    "CLIENT_KEY": FilePath,
    "CLIENT_CERTIFICATE": FilePath,
    "INSECURE": Boolean,
}
BATCH = {"SCHEDULE_DELAY": Milliseconds, "EXPORT_TIMEOUT": Milliseconds, "MAX_QUEUE_SIZE": Size}
LIMITS = (
    *("ATTRIBUTE_COUNT", "ATTRIBUTE_VALUE_LENGTH", "SPAN_ATTRIBUTE_COUNT", "SPAN_ATTRIBUTE_VALUE_LENGTH"),
    *("SPAN_EVENT_COUNT", "SPAN_LINK_COUNT", "EVENT_ATTRIBUTE_COUNT", "LINK_ATTRIBUTE_COUNT"),
    *("LOGRECORD_ATTRIBUTE_COUNT", "LOGRECORD_ATTRIBUTE_VALUE_LENGTH"),
)
HEADERS = ("SERVER_REQUEST", "SERVER_RESPONSE", "CLIENT_REQUEST", "CLIENT_RESPONSE", "SANITIZE_FIELDS")

PROVIDERS = {f"OTEL_PYTHON_{signal.upper()}_PROVIDER": _provider(signal) for signal in ("tracer", "meter", "logger")}

VARIABLES: dict[str, Any] = {
    "OTEL_SDK_DISABLED": Boolean,
    "OTEL_SERVICE_NAME": str,
    "OTEL_RESOURCE_ATTRIBUTES": Pairs,
    "OTEL_LOG_LEVEL": LogLevel,
    "OTEL_PROPAGATORS": _list_of(_check_propagator),
    "OTEL_TRACES_SAMPLER": _one_of(
        *("always_on", "always_off", "traceidratio"),
        *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
    ),
    "OTEL_TRACES_SAMPLER_ARG": Annotated[float, Field(ge=0, le=1)],
    # Which exporters and protocols there are is looked up when they are loaded: telemetry.py.
    **{f"OTEL_{signal}_EXPORTER": str for signal in SIGNALS},
    **{f"OTEL_EXPORTER_OTLP_{part}PROTOCOL": str for part in ("", *(f"{signal}_" for signal in SIGNALS))},
    **{
        f"OTEL_EXPORTER_OTLP_{part}{name}": kind
        for part in ("", *(f"{signal}_" for signal in SIGNALS))
        for name, kind in EXPORTER.items()
    },
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": _one_of("cumulative", "delta", "lowmemory"),
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": _one_of(
        "explicit_bucket_histogram", "base2_exponential_bucket_histogram"
    ),
    **{f"OTEL_{queue}_{name}": kind for queue in ("BSP", "BLRP") for name, kind in BATCH.items()},
    **{f"OTEL_{queue}_MAX_EXPORT_BATCH_SIZE": Size for queue in ("BSP", "BLRP")},
    "OTEL_METRIC_EXPORT_INTERVAL": Milliseconds,
    "OTEL_METRIC_EXPORT_TIMEOUT": Milliseconds,
    "OTEL_METRICS_EXEMPLAR_FILTER": _one_of("always_on", "always_off", "trace_based"),
    **{f"OTEL_{limit}_LIMIT": Count for limit in LIMITS},
    "OTEL_SEMCONV_STABILITY_OPT_IN": _list_of(_check_convention),
    **PROVIDERS,
    "OTEL_PYTHON_EXCLUDED_URLS": Regexes,
    "OTEL_PYTHON_FLASK_EXCLUDED_URLS": Regexes,
    "OTEL_PYTHON_REQUESTS_EXCLUDED_URLS": Regexes,
    **{f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_{headers}": Regexes for headers in HEADERS},
}


def check_variables() -> None:
    """Stop the start at the first variable with a value that is not documented; normalize the others."""
    for variable, kind in VARIABLES.items():
        value = os.environ.pop(variable, "").strip()
        if not value:
            continue
        try:
            os.environ[variable] = str(TypeAdapter(kind).validate_python(value))
        except ValidationError as error:
            refuse_setting(variable, reason_of(error.errors(include_url=False, include_input=False)[0]))
    for queue in ("BSP", "BLRP"):
        batch, limit = f"OTEL_{queue}_MAX_EXPORT_BATCH_SIZE", f"OTEL_{queue}_MAX_QUEUE_SIZE"
        if int(os.environ.get(batch, "512")) > int(os.environ.get(limit, "2048")):
            refuse_setting(batch, f"must not be larger than {limit} (512 and 2048 when unset)")
    _spell_out_compression()
    held_back.update({name: os.environ.pop(name) for name in PROVIDERS if name in os.environ})


held_back: dict[str, str] = {}
"""The names of providers, out of the environment until telemetry.py has set them. Where the API finds one, it makes the
provider as soon as a module gets a tracer: without resource, views and exporters, and there is no second chance."""


def give_back() -> None:
    """Put the names of providers back into the environment, for the processes that this one starts."""
    os.environ.update(held_back)


def _spell_out_compression() -> None:
    """Replace the general variable by those of the signals, and "none" by nothing: the gRPC exporter refuses it."""
    general = os.environ.pop("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    for signal in SIGNALS:
        variable = f"OTEL_EXPORTER_OTLP_{signal}_COMPRESSION"
        compression = os.environ.pop(variable, general)
        if compression.lower() != "none":
            os.environ[variable] = compression
