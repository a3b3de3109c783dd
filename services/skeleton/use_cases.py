"""Keeping notes, each once."""

import uuid

from sqlalchemy.orm import Session

from app.database import insert_once
from services.skeleton.clients import Clients
from services.skeleton.models import Note, NoteDiffers
from services.skeleton.telemetry import notes, tracer


def keep_note(session: Session, clients: Clients, note: Note) -> tuple[Note, bool]:
    """Record the note; return it, and whether this call recorded it. Raise NoteDiffers."""
    with tracer.start_as_current_span("keep_note", attributes={"skeleton.note.id": str(note.id)}) as span:
        note.notification_version = clients.notification_version()
        kept, created = _record(session, note)
        outcome = "created" if created else "known"
        span.set_attribute("skeleton.outcome", outcome)
    notes.add(1, {"skeleton.outcome": outcome})
    return kept, created


def get_note(session: Session, note_id: uuid.UUID) -> Note | None:
    """Return the note, None if there is none."""
    with session.begin():
        return session.get(Note, note_id)


def _record(session: Session, note: Note) -> tuple[Note, bool]:
    with session.begin():
        if insert_once(session, note):
            return note, True
        known = session.get_one(Note, note.id)
    if known.label != note.label:
        raise NoteDiffers(f"note {note.id} has another label")
    return known, False
