"""The services that skeleton-service calls, never while a transaction is open."""

from pydantic import BaseModel, ConfigDict, Field

from app.http_client import ServiceClient
from services.skeleton.settings import Settings


class ResponseBody(BaseModel):
    """The part of a response that is used; no type is guessed, and other fields are ignored."""

    model_config = ConfigDict(strict=True)


class Info(ResponseBody):
    """What an OpenAPI document says of its service."""

    version: str = Field(max_length=32)


class Document(ResponseBody):
    """The OpenAPI document of a service."""

    info: Info


class Clients:
    """Calls raise the DependencyUnavailable, DependencyRefused or InvalidResponse of app.dependency_errors."""

    def __init__(self, settings: Settings) -> None:
        def client(name: str, url: str) -> ServiceClient:
            return ServiceClient(name, url, pool_size=settings.threads)

        self._notification = client("notification-service", settings.notification_url)

    def notification_version(self) -> str:
        """Return the version of notification-service."""
        return self._notification.call("GET", "/openapi.json", Document).info.version
