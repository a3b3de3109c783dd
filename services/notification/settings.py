"""What notification-service reads from its environment."""

from pydantic import SecretStr

from app import config
from app.config import DatabaseUrl, ServiceSettings


class DatabaseSettings(config.DatabaseSettings):
    """Where the database is."""

    database_url: DatabaseUrl = SecretStr("sqlite:///notification.db")


class Settings(DatabaseSettings, ServiceSettings):
    """The kit's settings."""
