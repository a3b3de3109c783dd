"""What notification-service reads from its environment."""

from app.config import DatabaseUrl
from app.config import Settings as ServiceSettings


class Settings(ServiceSettings):
    """The kit's settings."""

    database_url: DatabaseUrl = "sqlite:///notification.db"
