"""Settings of the local stack, read from the environment and from `.env` (the environment wins)."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationError, create_model
from pydantic_settings import BaseSettings, SettingsConfigDict

from local.registry import DATABASES, REGISTRY
from waybill_explorer.client import ClientError

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

Port = Annotated[int, Field(gt=0, lt=65536)]

_FIELDS: dict[str, Any] = {
    **{f"{name}_port": Port for name in REGISTRY},
    # A SQLAlchemy URL such as postgresql+psycopg://...; by default a SQLite file in the data folder.
    **{f"{name}_database_url": (str | None, None) for name in DATABASES},
}
_ServiceSettings = create_model("_ServiceSettings", __base__=BaseSettings, **_FIELDS)


class LocalSettings(_ServiceSettings):
    """Ports (1-65535), the data folder and the databases of the local stack.

    Each service of the registry adds `<name>_port` and, if it has a database, `<name>_database_url`.
    """

    model_config = SettingsConfigDict(env_file=ROOT / ".env", env_ignore_empty=True, extra="ignore")

    cache_port: Port
    otlp_grpc_port: Port
    otlp_http_port: Port
    traces_port: Port
    waybill_data: Annotated[Path, AfterValidator(Path.absolute)] = ROOT / ".waybill"
    """Where every file of the local stack lives; one command removes it."""

    def port(self, service: str) -> int:
        """Return the port of a service, by its folder's name."""
        port: int = getattr(self, f"{service}_port")
        return port

    def database_url(self, service: str) -> str:
        """Return the database of a service, by its folder's name."""
        url: str | None = getattr(self, f"{service}_database_url")
        return url or f"sqlite:///{self.waybill_data}/{service}.db"

    def ports(self) -> dict[str, int]:
        """Return each port by the variable that moves it."""
        return {name.upper(): port for name, port in self if name.endswith("_port")}

    def as_environment(self) -> dict[str, str]:
        """Return these settings as the variables from which a child process reads the same ones."""
        return {name.upper(): str(value) for name, value in self.model_dump(exclude_none=True).items()}


SettingsT = TypeVar("SettingsT", bound=LocalSettings)


def read_settings(kind: type[SettingsT]) -> SettingsT:
    """Return settings of a kind. Raise a ClientError that names the variable."""
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        raise ClientError(f"{'.'.join(map(str, first['loc'])).upper()}: {first['msg']}") from error
