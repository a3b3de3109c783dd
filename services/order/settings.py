"""What order-service reads from its environment."""

from pathlib import Path

from pydantic import Field, SecretStr

from app import config
from app.config import DatabaseUrl, HttpUrl, ServiceSettings, TraceContextPolicy


class DatabaseSettings(config.DatabaseSettings):
    """Where the database is."""

    database_url: DatabaseUrl = SecretStr("sqlite:///order.db")


class Settings(DatabaseSettings, ServiceSettings):
    """The kit's settings and where its dependencies are."""

    inventory_url: HttpUrl
    payment_url: HttpUrl
    notification_url: HttpUrl
    incoming_trace_context: TraceContextPolicy = "page"
    """The public entry: any client can call it, and its own page begins traces."""
    recoveries: int = Field(default=4, ge=1, le=64)
    """Orders that one worker resumes at the same time. One alone falls behind after an outage under load."""
    notification_recoveries: int = Field(default=2, ge=1, le=64)
    """Notifications that one worker sends again at the same time, beside those orders and without delaying them."""
    page_folder: Path = Path("web/dist/storefront")
    """The built storefront, from where the service is started."""
    page_otlp_endpoint: HttpUrl | None = None
    """Where the storefront sends its own traces, OTLP/HTTP, as a browser reaches it; without it, it sends none."""
    page_traces_url: HttpUrl | None = None
    """Where a trace is shown, at /trace/<id>; without it, the storefront shows the id."""
