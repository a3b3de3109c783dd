"""Rebuild the TypeScript types of the APIs that the pages call: `python -m tools.api_types`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from waybill_explorer.comparison import TracesComparedJson
from waybill_explorer.difference import DifferenceJson
from waybill_explorer.groups import GroupsComparedJson
from waybill_explorer.log_queries import LogFacets, LogHistogram, LogJson
from waybill_explorer.operations import OperationsJson
from waybill_explorer.queries import SummaryJson
from waybill_explorer.suggestions import Suggestions
from waybill_explorer.tree_json import TreeJson
from waybill_explorer.versions import VersionJson

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
    """Return the types of a trace, and of its operations in all traces, as the explorer's page gets them."""
    return _explorer_types("tree_json.py and operations.py", TreeJson, OperationsJson)


def difference_api() -> str:
    """Return the types of what is different about some traces."""
    return _explorer_types("difference.py", DifferenceJson)


def comparison_api() -> str:
    """Return the types of two traces or groups beside each other, and of versions."""
    return _explorer_types(
        "comparison.py, groups.py and versions.py", TracesComparedJson, GroupsComparedJson, VersionJson
    )


def _explorer_types(source: str, *types: Any) -> str:
    schemas: dict[str, Any] = {}
    for one in types:
        schema = TypeAdapter(one).json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {}) | {one.__name__: schema}
    return _typescript(f"the explorer's {source}", json.dumps({"components": {"schemas": schemas}}))


def search_api() -> str:
    """Return the types of what the explorer's searches give."""
    return _explorer_types("searches", SummaryJson, LogJson, LogHistogram, LogFacets, Suggestions)


FILES: dict[Path, Callable[[], str]] = {
    WEB / "storefront" / "order-api.ts": order_api,
    WEB / "explorer" / "trace" / "tree-api.ts": tree_api,
    WEB / "explorer" / "difference" / "difference-api.ts": difference_api,
    WEB / "explorer" / "compare" / "comparison-api.ts": comparison_api,
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
