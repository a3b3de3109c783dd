"""What inventory-service reads from its environment."""

from pydantic import SecretStr

from app import config
from app.config import DatabaseUrl, RedisUrl, ServiceSettings


class DatabaseSettings(config.DatabaseSettings):
    """Where the database is."""

    database_url: DatabaseUrl = SecretStr("sqlite:///inventory.db")


class Settings(DatabaseSettings, ServiceSettings):
    """The kit's settings and where the cache is."""

    cache_url: RedisUrl = SecretStr("redis://127.0.0.1:6379/0")
