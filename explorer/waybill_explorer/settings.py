"""Settings of the explorer, read from the environment; options of the command line win."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl, BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

HOST = "127.0.0.1"

Port = Annotated[int, Field(gt=0, lt=65536)]
Color = Annotated[int, Field(ge=1, le=8)]


class Link(BaseModel):
    """A link in the page's header and in its empty views."""

    title: str
    url: AnyHttpUrl


class Settings(BaseSettings):
    """Ports (1-65535), the data folder, the limits, and what the page is told about the apps it shows."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    otlp_grpc_port: Port = 4317
    otlp_http_port: Port = 4318
    traces_port: Port = 16686
    waybill_data: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default=Path(".waybill-explorer"), validate_default=True
    )
    """The folder of the SQLite file; a new one is readable by its owner only."""
    waybill_retention_bytes: int = Field(2**30, ge=2**20)
    """The oldest telemetry is removed beyond this."""
    waybill_queue_bytes: int = Field(32 * 2**20, gt=0)
    """Exports are refused (503) while this much waits to be written."""
    waybill_cors_origins: str = "http://127.0.0.1:* http://localhost:*"
    """Origins, separated by spaces, whose pages may send telemetry."""
    waybill_allowed_hosts: str = ""
    """Host names (patterns with *), separated by spaces, that are accepted in addition to loopback's."""
    waybill_links: tuple[Link, ...] = ()
    """JSON: `[{"title": "The shop", "url": "http://127.0.0.1:8080/"}]`."""
    waybill_colors: dict[str, Color] = {}
    """JSON: the color (1-8) of a service by its name; other services get one of the remaining colors."""

    waybill_extensions: str = ""
    """Extensions of the server, separated by spaces: `package.module:function` (see extensions.py)."""

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.waybill_data / "telemetry.db"

    @property
    def page_url(self) -> str:
        """The address of the page and of the read API."""
        return f"http://{HOST}:{self.traces_port}"

    @property
    def otlp_url(self) -> str:
        """The address that takes OTLP over HTTP."""
        return f"http://{HOST}:{self.otlp_http_port}"
