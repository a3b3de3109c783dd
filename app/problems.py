"""Refusals with a name: raised anywhere, mapped to an HTTP answer once, in app.errors."""

from http import HTTPStatus

from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails

CONTENT_TYPE = "application/problem+json"


class InvalidField(BaseModel):
    """One field of a request that was refused, e.g. `lines.0.quantity`, and why."""

    field: str
    reason: str


class Problem(BaseModel):
    """The body of every error (RFC 9457, https://www.rfc-editor.org/rfc/rfc9457.html)."""

    type: str = Field(description="`about:blank`, or `urn:problem:` and the problem's name")
    title: str
    status: int
    detail: str
    trace_id: str | None = Field(description="32 hex digits; open the trace of this very request with it")
    errors: list[InvalidField] | None = Field(default=None, description="what is wrong, field by field")


class ProblemError(Exception):
    """Something the caller may be told and can act on; inherit, and set the three class attributes."""

    name: str
    """Last part of the problem's type, https://www.rfc-editor.org/rfc/rfc9457.html#name-type"""
    status: HTTPStatus
    title: str

    def __init__(self, detail: str, errors: list[InvalidField] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


def reason_of(error: ErrorDetails) -> str:
    """Why pydantic refused a value, without the words it puts before those of our own validators."""
    return error["msg"].removeprefix("Value error, ")
