"""The storefront's types are those of the API that it calls."""

from tools.api_types import TYPES, rendered


def test_the_storefront_s_types_are_made_from_the_openapi_document() -> None:
    assert TYPES.read_text() == rendered(), "order-service's API has changed: run make api-types, then make lint"
