"""Every query that the dashboards send, as Grafana would send it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).parent / "dashboards"

BUILT_IN = {"__rate_interval": "1m", "__range": "5m", "__auto": "10s"}
"""Variables whose value Grafana takes from the time shown and the width of the panel."""


@dataclass(frozen=True)
class Query:
    """One query of a panel, its variables replaced."""

    dashboard: str
    panel: str
    ref_id: str
    """The name of the query in its panel."""
    datasource: str
    """The uid of a data source: prometheus, loki."""
    expr: str
    instant: bool
    """At the end of the time shown, not over it."""
    exemplars: bool
    """Prometheus is asked for exemplars beside the values."""


def queries() -> list[Query]:
    """All queries of all dashboards, read from the files that Grafana loads."""
    return [query for path in sorted(DASHBOARDS.glob("*.json")) for query in _queries_of(json.loads(path.read_text()))]


def _queries_of(dashboard: dict[str, Any]) -> Iterator[Query]:
    variables = BUILT_IN | {variable["name"]: _value(variable) for variable in dashboard["templating"].get("list", [])}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield Query(
                dashboard=dashboard["uid"],
                panel=panel["title"],
                ref_id=target["refId"],
                datasource=target["datasource"]["uid"],
                expr=_replaced(target["expr"], variables),
                instant=target.get("instant", False) or target.get("queryType") == "instant",
                exemplars=target.get("exemplar", False),
            )


def _value(variable: dict[str, Any]) -> str:
    """Return the value of a variable before a user changes it: all, or the default of a text box."""
    value: str = variable["allValue"] if variable["includeAll"] else variable["query"]
    return value


def _replaced(expr: str, variables: dict[str, str]) -> str:
    # The longest name first: $__range would also match the beginning of another.
    for name in sorted(variables, key=len, reverse=True):
        expr = expr.replace(f"${name}", variables[name])
    return expr
