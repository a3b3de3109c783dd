"""What the lean instrumentors have in common: one state with the official ones, and when they step aside."""

import logging
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, ClassVar

from opentelemetry.context import (
    _SUPPRESS_HTTP_INSTRUMENTATION_KEY,
    _SUPPRESS_INSTRUMENTATION_KEY,
    Context,
)
from opentelemetry.instrumentation._semconv import (
    _get_semconv_opt_in_modes,
    _OpenTelemetryStabilitySignalType,
    _StabilityMode,
)
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.utils import _SUPPRESS_INSTRUMENTATION_KEY_PLAIN
from opentelemetry.instrumentation.version import __version__ as official_version
from opentelemetry.trace import Span, Status, StatusCode
from packaging.specifiers import SpecifierSet

_logger = logging.getLogger(__name__)

OFFICIAL_VERSION = "0.66b1"
"""The version of the official instrumentors that the hooks reproduce."""

STABLE = {
    _OpenTelemetryStabilitySignalType.HTTP: _StabilityMode.HTTP,
    _OpenTelemetryStabilitySignalType.DATABASE: _StabilityMode.DATABASE,
}


class LeanInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """An instrumentor in the place of an official one.

    Both have one state: whichever is called second warns that the library is instrumented already, and either of them
    can uninstrument it.
    """

    library: ClassVar[str]
    """The name of the instrumented library's distribution."""
    versions: ClassVar[str]
    """The versions of the library that the hooks know, as in a requirement."""
    signals: ClassVar[tuple[_OpenTelemetryStabilitySignalType, ...]]
    options: ClassVar[frozenset[str]]
    """The options of instrument() that the hooks know."""
    replaces: ClassVar[type[BaseInstrumentor]]
    """The official instrumentor."""
    is_lean = False
    """Whether the hooks are in place, and not the official ones."""

    def __init_subclass__(cls) -> None:
        # BaseInstrumentor keeps the singleton in a class attribute, which a subclass would inherit.
        cls._instance = None

    @property
    def _is_instrumented_by_opentelemetry(self) -> bool:
        return bool(self.replaces()._is_instrumented_by_opentelemetry)

    @_is_instrumented_by_opentelemetry.setter
    def _is_instrumented_by_opentelemetry(self, value: bool) -> None:
        self.replaces()._is_instrumented_by_opentelemetry = value

    def _instrument(self, **kwargs: Any) -> Any:
        if self.steps_aside(kwargs):
            return self.replaces()._instrument(**kwargs)
        self.is_lean = True
        return self._instrument_lean(**kwargs)

    def _instrument_lean(self, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _uninstrument(self, **kwargs: Any) -> None:
        self.replaces()._uninstrument(**kwargs)
        self.is_lean = False

    @classmethod
    def steps_aside(cls, options: Mapping[str, Any]) -> bool:
        """Return whether the official instrumentor is to do the work, and log why."""
        reason = cls._reason_to_step_aside(options)
        if reason:
            _logger.warning("The official instrumentor of %s is used, not the lean hooks: %s", cls.library, reason)
        return reason is not None

    @classmethod
    def _reason_to_step_aside(cls, options: Mapping[str, Any]) -> str | None:
        if official_version != OFFICIAL_VERSION:
            return f"they reproduce version {OFFICIAL_VERSION} of it, and {official_version} is installed"
        installed = version(cls.library)
        if not SpecifierSet(cls.versions).contains(installed):
            return f"they know {cls.library} {cls.versions}, and {installed} is installed"
        for signal, mode in _get_semconv_opt_in_modes(cls.signals).items():
            if mode is not STABLE[signal]:
                value = os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "")
                return f"they need OTEL_SEMCONV_STABILITY_OPT_IN=http,database, and it is {value!r}"
        unknown = sorted(name for name, value in options.items() if name not in cls.options and value)
        return f"they do not support {', '.join(unknown)}" if unknown else None


def instrumentation_enabled(context: Context) -> bool:
    """Return whether suppress_instrumentation() is not in effect."""
    return not (context.get(_SUPPRESS_INSTRUMENTATION_KEY) or context.get(_SUPPRESS_INSTRUMENTATION_KEY_PLAIN))


def http_instrumentation_enabled(context: Context) -> bool:
    """Return whether neither suppress_instrumentation() nor suppress_http_instrumentation() is in effect."""
    return instrumentation_enabled(context) and not context.get(_SUPPRESS_HTTP_INSTRUMENTATION_KEY)


def run_hook(hook: Callable[..., object], *arguments: object) -> None:
    """Call the hook of a user; what it raises is logged and does not reach the application."""
    try:
        hook(*arguments)
    except Exception:
        _logger.warning("Exception raised by hook %r", hook, exc_info=True)


def record_error(span: Span, error: BaseException) -> None:
    """Record an exception that leaves the span, as opentelemetry.trace.use_span does."""
    # Those that are no Exception, such as GeneratorExit, are no errors.
    if not (isinstance(error, Exception) and span.is_recording()):
        return
    try:
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
    except Exception:
        _logger.warning("An exception of %r could not be recorded", type(error), exc_info=True)
