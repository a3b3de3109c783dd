"""Typed settings from the environment; a bad value stops the start with one clear line."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from .problems import reason_of

# gunicorn gives up immediately on this exit status (Arbiter.APP_LOAD_ERROR); on any other it would start
# the worker again, and fail again, indefinitely.
EXIT_BAD_SETTING = 4


def _database_url(value: SecretStr) -> SecretStr:
    try:
        url = make_url(value.get_secret_value())
    except ArgumentError:
        raise ValueError("not a database URL; try sqlite:///service.db or postgresql://user@host/name") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ValueError(f"{url.drivername!r} is not supported; use sqlite or postgresql")
    if url.drivername == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("SQLite needs a file: in memory, each connection would have a database of its own")
    return SecretStr(url.render_as_string(hide_password=False))


def _redis_url(value: SecretStr) -> SecretStr:
    if not re.match(r"rediss?://", value.get_secret_value()):
        raise ValueError("not a Redis URL; try redis://127.0.0.1:6379/0")
    return value


MAX_BODY = 64 * 1024
"""Bytes; a longer request body is answered 413."""

DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
"""Secrets, since either URL may hold a password: `repr(settings)` and errors do not show it."""
LogLevel = Annotated[
    Literal["NOTSET", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL"],
    BeforeValidator(lambda value: str(value).strip().upper()),
]
"""The names that `logging` knows, in any case."""
TraceContextPolicy = Literal["accept", "page", "link"]
"""What becomes of the trace context that a request brings, see ServiceSettings.incoming_trace_context."""
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^/?#\s]+$", description="scheme, host and port; no path")]


def _host_names(value: str | tuple[str, ...]) -> tuple[str, ...]:
    names = [name.strip().lower() for name in value.split(",")] if isinstance(value, str) else value
    for name in filter(None, names):
        if not re.fullmatch(r"\*|\.?[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]", name):
            raise ValueError("not names separated by commas; write them without scheme and port: api.example,10.0.0.7")
    return tuple(filter(None, names))


HostNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_host_names)]


class Settings(BaseSettings):
    """The base of all settings: each field is an environment variable, or a file of that name in SECRETS_DIR."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)


class ServerSettings(Settings):
    """What a process of a service needs before it loads the service: see gunicorn_conf.py."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, gt=0, lt=65536)
    web_concurrency: int = Field(default=1, ge=1, le=64)
    """gunicorn workers: processes."""
    threads: int = Field(default=8, ge=1, le=256)
    """Requests that one worker serves at the same time; also the size of its connection pools."""
    max_connection_age: float = Field(default=30, gt=0)
    """Seconds after which a response ends its connection, more or less: a client that keeps connections, as our own
    do, would never use a replica that was added later."""
    log_level: LogLevel = "INFO"
    log_format: Literal["json", "console"] = "json"
    """`json` for machines; `console` for a person at a terminal, in color unless NO_COLOR is set."""


class ServiceSettings(ServerSettings):
    """What every service reads; a service inherits it and adds its own settings."""

    allowed_hosts: HostNames = ()
    """Host names the service answers for besides loopback's, separated by commas; `.example.com` includes subdomains.
    `*` turns the check off: only behind a proxy that makes it."""
    incoming_trace_context: TraceContextPolicy = "accept"
    """`accept`, for services whose callers are trusted: the caller's trace, sampling decision and baggage are kept.
    `link`, for services that anybody can call: a trace of its own, with a link to the caller's.
    `page`: as `link`, but a request of the service's own page continues the trace that began in the browser."""


class DatabaseSettings(Settings):
    """What a service with a database reads too, and migrations read alone."""

    database_url: DatabaseUrl


SettingsT = TypeVar("SettingsT", bound=Settings)


def load_settings(settings: type[SettingsT]) -> SettingsT:
    """Read `settings` from the environment; exit with a line that names the variable if one is bad.

    A secret can be a file in the folder SECRETS_DIR instead, e.g. `/run/secrets/database_url`. The variable wins.
    """
    secrets = os.environ.get("SECRETS_DIR") or None
    if secrets is not None and not Path(secrets).is_dir():
        refuse_setting("SECRETS_DIR", "there is no such folder")
    try:
        return settings(_secrets_dir=secrets)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        state = "missing" if first["type"] == "missing" else "bad"
        refuse_setting(str(first["loc"][0]).upper(), reason_of(first), state)


def refuse_setting(variable: str, reason: str, state: str = "bad") -> NoReturn:
    """Stop the start for an environment variable. The value is not printed: it may hold a password."""
    print(f"{state} setting {variable}: {reason}", file=sys.stderr)  # noqa: T201
    raise SystemExit(EXIT_BAD_SETTING)
