"""Problems are declared by class keywords."""

from http import HTTPStatus

import pytest

from app.problems import ProblemError


class SoldOut(ProblemError, name="sold-out", status=HTTPStatus.CONFLICT, title="Sold out"):
    """Nothing is left."""


class TemporarilySoldOut(SoldOut, title="Sold out for now"):
    """More arrives tomorrow."""


@pytest.mark.parametrize(("kind", "title"), [(SoldOut, "Sold out"), (TemporarilySoldOut, "Sold out for now")])
def test_a_subclass_inherits_the_keywords_that_it_does_not_state(kind: type[ProblemError], title: str) -> None:
    error = kind("0 left")
    assert (error.name, error.status, error.title, error.detail) == ("sold-out", 409, title, "0 left")
