"""What the JSON of every service has in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Request(BaseModel):
    """A part of a request body: unknown fields are refused and no type is guessed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class View(BaseModel):
    """A part of an answer, read from the attributes of a domain object: only what is named here gets out."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, source: object) -> dict[str, Any]:
        """Return the JSON of `source`."""
        return cls.model_validate(source).model_dump(mode="json")
