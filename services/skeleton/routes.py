"""HTTP <-> Python for notes, nothing else."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import svcs
from flask_openapi3 import APIBlueprint
from werkzeug.exceptions import NotFound

from app.database import read_session, write_session
from app.errors import problem_responses
from services.skeleton import use_cases
from services.skeleton.clients import Clients
from services.skeleton.models import Note
from services.skeleton.schemas import NewNote, NotePath, NoteResponse

blueprint = APIBlueprint("notes", __name__)


@blueprint.put(
    "/notes/<uuid:note_id>",
    responses={
        200: NoteResponse,
        201: NoteResponse,
        **problem_responses(400, 404, 409, 413, 415, 422, 502, 503),
    },
)
def put_note(path: NotePath, body: NewNote) -> tuple[dict[str, Any], int]:
    """Keep a note. 201 if this request recorded it, 200 if it was recorded before."""
    note, created = use_cases.keep_note(write_session(), svcs.flask.get(Clients), note_from_json(path, body))
    return NoteResponse.of(note), HTTPStatus.CREATED if created else HTTPStatus.OK


@blueprint.get("/notes/<uuid:note_id>", responses={200: NoteResponse, **problem_responses(404, 422, 503)})
def read_note(path: NotePath) -> dict[str, Any]:
    """Return one note."""
    note = use_cases.get_note(read_session(), path.note_id)
    if note is None:
        raise NotFound(f"There is no note {path.note_id}.")
    return NoteResponse.of(note)


def note_from_json(path: NotePath, body: NewNote) -> Note:
    """Return the note that the request describes."""
    return Note(id=path.note_id, label=body.label, created_at=datetime.now(UTC))
