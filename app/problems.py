"""Refusals with a name: raised anywhere, mapped to an HTTP response once, in errors.py."""

from http import HTTPStatus
from typing import ClassVar

from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "tag:waybill.example,2026:"
"""What a problem's type begins with. A `tag:` URI (RFC 4151) is unique without a page behind it, as RFC 9457, 3.1.1 has
it; `urn:problem:` would be an unregistered namespace. Put your own domain here."""


class InvalidField(BaseModel):
    """One field of a request that was refused, e.g. `lines.0.quantity`, and why."""

    field: str
    reason: str


class Problem(BaseModel):
    """The body of every error (RFC 9457, https://www.rfc-editor.org/rfc/rfc9457.html)."""

    type: str = Field(description=f"`about:blank`, or `{TYPE_PREFIX}` and the problem's name")
    title: str
    status: int
    detail: str
    trace_id: str | None = Field(description="32 hex digits; open the trace of this very request with it")
    errors: list[InvalidField] | None = Field(default=None, description="what is wrong, field by field")


class ProblemError(Exception):
    """A refusal that the caller can act on, declared by class keywords that a subclass inherits.

    class OutOfStock(ProblemError, name="out-of-stock", status=HTTPStatus.CONFLICT, title="Out of stock"): ...
    """

    name: ClassVar[str]
    """The end of the problem's type; clients compare it."""
    status: ClassVar[HTTPStatus]
    title: ClassVar[str]

    def __init_subclass__(
        cls, *, name: str | None = None, status: HTTPStatus | None = None, title: str | None = None
    ) -> None:
        """Keep the keywords as attributes of the class."""
        super().__init_subclass__()
        for attribute, value in (("name", name), ("status", status), ("title", title)):
            if value is not None:
                setattr(cls, attribute, value)

    def __init__(self, detail: str, errors: list[InvalidField] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


def reason_of(error: ErrorDetails) -> str:
    """Why pydantic refused a value, without the words it puts before those of our own validators."""
    return error["msg"].removeprefix("Value error, ")
