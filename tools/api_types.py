"""Rebuild the TypeScript types of the APIs that the pages call: `python -m tools.api_types`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter

from waybill_explorer.log_queries import LogFacets, LogHistogram, LogJson
from waybill_explorer.suggestions import Suggestions
from waybill_explorer.tree_json import TreeJson

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web" / "src"
BANNER = "// Written by `make api-types` from {}; a test keeps it fresh.\n\n"
SETTINGS = {
    "DATABASE_URL": "postgresql+psycopg://localhost/unused",
    "INVENTORY_URL": "http://localhost",
    "PAYMENT_URL": "http://localhost",
    "NOTIFICATION_URL": "http://localhost",
    "OTEL_SDK_DISABLED": "true",
}
DOCUMENT = "import json, services.order; print(json.dumps(services.order.create_app().api_doc))"


def order_api() -> str:
    """Return the types of order-service's API; it runs in a process of its own, because it sets up telemetry."""
    return _typescript("order-service's OpenAPI document", _output(sys.executable, "-c", DOCUMENT))


def tree_api() -> str:
    """Return the types of a trace as the explorer's page gets it."""
    schema = TypeAdapter(TreeJson).json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas = schema.pop("$defs") | {TreeJson.__name__: schema}
    return _typescript("the explorer's tree_json.py", json.dumps({"components": {"schemas": schemas}}))


def search_api() -> str:
    """Return the types of what the explorer's searches give."""
    given = (LogJson, LogHistogram, LogFacets, Suggestions)
    adapters = [(kind.__name__, "serialization", TypeAdapter(kind)) for kind in given]
    _, document = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    return _typescript("the explorer's searches", json.dumps({"components": {"schemas": document["$defs"]}}))


FILES: dict[Path, Callable[[], str]] = {
    WEB / "storefront" / "order-api.ts": order_api,
    WEB / "explorer" / "trace" / "tree-api.ts": tree_api,
    WEB / "explorer" / "common" / "search-api.ts": search_api,
}


def _typescript(source: str, document: str) -> str:
    return BANNER.format(source) + _output(Path(sys.executable).with_name("node"), "web/api-types.mjs", stdin=document)


def _output(*command: str | Path, stdin: str = "") -> str:
    environment = {**os.environ, **SETTINGS}
    return subprocess.run(
        command, cwd=ROOT, env=environment, input=stdin, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    for path, rendered in FILES.items():
        path.write_text(rendered())
