"""The JSON of skeleton-service's API; OpenAPI and validation both come from it."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from app.schemas import RequestBody, ResponseBody


class NotePath(BaseModel):
    """The note of a URL."""

    note_id: UUID


class NewNote(RequestBody):
    """What PUT /notes/{note_id} takes."""

    label: str = Field(pattern=r"^[a-z0-9-]{1,64}$", json_schema_extra={"example": "first-note"})


class NoteResponse(ResponseBody):
    """A note."""

    id: UUID
    label: str
    notification_version: str
    created_at: datetime
