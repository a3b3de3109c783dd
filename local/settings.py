"""Settings of the local stack, read from the environment and from `.env` (the environment wins)."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

Port = Annotated[int, Field(gt=0, lt=65536)]


class LocalSettings(BaseSettings):
    """Ports (1-65535), the data folder and the databases of the local stack."""

    model_config = SettingsConfigDict(env_file=ROOT / ".env", env_ignore_empty=True, extra="ignore")

    order_port: Port
    inventory_port: Port
    payment_port: Port
    notification_port: Port
    cache_port: Port
    otlp_grpc_port: Port
    otlp_http_port: Port
    traces_port: Port
    waybill_data: Annotated[Path, AfterValidator(Path.absolute)] = ROOT / ".waybill"
    """Where every file of the local stack lives; one command removes it."""
    order_database_url: str | None = None
    """A SQLAlchemy URL such as postgresql+psycopg://...; by default a SQLite file in the data folder."""
    inventory_database_url: str | None = None
    payment_database_url: str | None = None
    notification_database_url: str | None = None

    def database_url(self, service: str) -> str:
        """Give the database of a service, by its folder's name."""
        url: str | None = getattr(self, f"{service}_database_url")
        return url or f"sqlite:///{self.waybill_data}/{service}.db"

    def ports(self) -> dict[str, int]:
        """Give each port by the variable that moves it."""
        return {name.upper(): port for name, port in self if name.endswith("_port")}

    def as_environment(self) -> dict[str, str]:
        """Give these settings as the variables from which a child process reads the same ones."""
        return {name.upper(): str(value) for name, value in self.model_dump(exclude_none=True).items()}
