"""Base classes of the JSON bodies of every service."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    """A request body or a part of one: unknown fields are refused, and values are not converted between types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ResponseBody(BaseModel):
    """A response body or a part of one, read from the attributes of a domain object: only declared fields are sent."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, source: object) -> dict[str, Any]:
        """Return the JSON of `source`."""
        return cls.model_validate(source).model_dump(mode="json")
