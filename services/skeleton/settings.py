"""What skeleton-service reads from its environment."""

from pydantic import SecretStr

from app import config
from app.config import DatabaseUrl, HttpUrl, ServiceSettings


class DatabaseSettings(config.DatabaseSettings):
    """Where the database is."""

    database_url: DatabaseUrl = SecretStr("sqlite:///skeleton.db")


class Settings(DatabaseSettings, ServiceSettings):
    """The kit's settings and those of this service."""

    notification_url: HttpUrl
