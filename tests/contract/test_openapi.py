"""Each service does what its OpenAPI document says, for whatever a fuzzer makes of it."""

from contextlib import suppress
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.conftest import RunningService
from tests.support.operations import operations

EXAMPLES = 12
"""Of each operation, valid and invalid; the same in each run."""

bounded = settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
load_all_checks()


@pytest.fixture
def document(service: RunningService) -> Any:
    """What a service says of itself."""
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


def strictly_valid(body: Any) -> Any:
    """The same body without what no schema can forbid: 1.0 for an integer, and one sku in two lines."""
    if isinstance(body, dict):
        return {name: strictly_valid(value) for name, value in body.items()}
    if isinstance(body, list):
        return list({line["sku"]: strictly_valid(line) for line in body}.values())
    return int(body) if isinstance(body, float) else body


def refused_by_a_rule(response: Response) -> bool:
    """Whether the domain said no to a request of the right form, such as to a card that is declined."""
    kind = response.json().get("type") if response.status_code >= 400 else None
    return kind not in (None, "about:blank", "tag:waybill.example,2026:invalid-request")


def test_the_document_is_openapi_3_1(service: RunningService, document: Any) -> None:
    raw = requests.get(f"{service.url}/openapi.json", timeout=60).json()
    assert raw["openapi"].startswith("3.1.")
    assert raw["info"]["title"] == service.app.import_name
    document.validate()


def test_the_operations_that_the_other_tests_call_are_those_of_the_document(
    service: RunningService, document: Any
) -> None:
    documented = {(result.ok().method.upper(), result.ok().path) for result in document.get_all_operations()}
    name = service.app.import_name.removesuffix("-service")
    assert {(operation.method, operation.template) for operation in operations(name)} == documented


@pytest.mark.parametrize("mode", GenerationMode)
def test_a_service_keeps_to_its_document(document: Any, mode: GenerationMode) -> None:
    operations = [result.ok() for result in document.get_all_operations()]
    assert operations
    for operation in operations:

        @bounded
        @given(case=operation.as_strategy(generation_mode=mode))
        def keeps_to_it(case: Case[Any]) -> None:
            if mode is GenerationMode.POSITIVE:
                case.body = strictly_valid(case.body)
            response = case.call()
            excluded: list[Any] = [positive_data_acceptance] if refused_by_a_rule(response) else []
            case.validate_response(response, excluded_checks=excluded)

        with suppress(Unsatisfiable):  # an operation that takes nothing cannot be called wrongly
            keeps_to_it()
