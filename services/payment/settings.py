"""What payment-service reads from its environment."""

from pydantic import Field, SecretStr

from app import config
from app.config import DatabaseUrl, ServiceSettings


class DatabaseSettings(config.DatabaseSettings):
    """Where the database is."""

    database_url: DatabaseUrl = SecretStr("sqlite:///payment.db")


class Settings(DatabaseSettings, ServiceSettings):
    """The kit's settings and the pace of the simulated card processor."""

    processor_latency_ms: float = Field(default=60.0, ge=0, le=2000)
    """The median time of the simulated card processor."""
