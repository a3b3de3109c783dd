"""What inventory-service reads from its environment."""

from pydantic import Field

from app.config import DatabaseUrl
from app.config import Settings as ServiceSettings


class Settings(ServiceSettings):
    """The kit's settings and where the cache is."""

    database_url: DatabaseUrl = "sqlite:///inventory.db"
    cache_url: str = Field(default="redis://127.0.0.1:6379/0", pattern=r"^rediss?://")
