"""What payment-service reads from its environment."""

from pydantic import Field

from app.config import DatabaseUrl
from app.config import Settings as ServiceSettings


class Settings(ServiceSettings):
    """The kit's settings and the pace of the simulated card processor."""

    database_url: DatabaseUrl = "sqlite:///payment.db"
    processor_latency_ms: float = Field(default=60.0, ge=0, le=2000)
    """The median time of the simulated card processor."""
