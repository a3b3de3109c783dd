"""The operations of each service with a request that it accepts, from its OpenAPI document."""

import uuid
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any

from flask_openapi3 import OpenAPI

from tests.support.tested_services import TESTED

ORDER_ID = "0b9f8e2a-6d3c-4f1e-9a57-3c1d2e4f5a6b"


@dataclass(frozen=True)
class Operation:
    """An operation with a request that it accepts."""

    service: str
    method: str
    template: str
    """The path of the document, such as /items/{sku}."""
    path: str
    """The path of the request, such as /items/TEA-SENCHA."""
    takes_body: bool
    body: dict[str, Any]
    """Empty if it takes none, or an object without fields."""

    def about(self, order_id: uuid.UUID) -> "Operation":
        """Return the same request about another order, if it is about one."""
        return replace(self, path=self.path.replace(ORDER_ID, str(order_id)))


@cache
def operations(service: str) -> tuple[Operation, ...]:
    """Return the operations of a service; raise ValueError that names a field without an example."""
    app = OpenAPI(service, doc_ui=False)
    app.register_api(import_module(f"services.{service}.routes").blueprint)
    document = app.api_doc
    return tuple(
        _operation(service, document, method, template, details)
        for template, methods in document["paths"].items()
        for method, details in methods.items()
    )


def _operation(
    service: str, document: dict[str, Any], method: str, template: str, details: dict[str, Any]
) -> Operation:
    where = f"{service}-service {method.upper()} {template}"
    path = template
    for parameter in details.get("parameters") or []:
        if parameter["in"] == "path":
            value = _example(parameter["schema"], document, f"{where}: {parameter['name']}")
            path = path.replace(f"{{{parameter['name']}}}", str(value))
    body = details.get("requestBody")
    schema = body["content"]["application/json"]["schema"] if body else None
    example = _example(schema, document, where) if schema else {}
    return Operation(service, method.upper(), template, path, takes_body=bool(body), body=example)


def _example(schema: dict[str, Any], document: dict[str, Any], where: str) -> Any:
    """Return a value that the schema allows: its example, or what follows from its type."""
    if "$ref" in schema:
        return _example(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, where)
    if "example" in schema:
        return schema["example"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        names = schema.get("required") or fields
        return {name: _example(fields[name], document, f"{where}: {name}") for name in names}
    if schema.get("type") == "array":
        return [_example(schema["items"], document, where)]
    if schema.get("type") == "integer":
        return int(schema.get("minimum", 1))
    if schema.get("format") == "uuid":
        return ORDER_ID
    raise ValueError(f"{where} has no example. Give the field json_schema_extra={{'example': ...}} in schemas.py.")


def with_a_body() -> list[Operation]:
    """Return every operation of every service that takes a body."""
    return [operation for service in TESTED for operation in operations(service) if operation.takes_body]
