"""What each panel is given in the end: Grafana's own transformations, applied to data as Prometheus sends it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from grafana.dashboards.__main__ import FOLDER
from grafana.queries import queries
from tests.conftest import ROOT

NODE_PACKAGE = ROOT / "tests/grafana_panels"
SERIES = ("order", "payment")
"""The value of every label, in two series of each query."""
NOW = 1_800_000_000_000
EXPRS = {(query.dashboard, query.panel, query.ref_id): query.expr for query in queries()}
PANELS = {
    f"{dashboard['uid']}: {panel['title']} ({panel['id']})": (dashboard["uid"], panel)
    for dashboard in (json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json")))
    for panel in dashboard["panels"]
    if panel["type"] != "row"
}


def labels(expr: Any) -> set[str]:
    """Return the labels that the series of a query have, as far as the dashboards' expressions go."""
    match expr:
        case promql_parser.AggregateExpr():
            return set(expr.modifier.labels) if expr.modifier else set()
        case promql_parser.BinaryExpr():
            return labels(expr.lhs) | labels(expr.rhs)
        case promql_parser.ParenExpr():
            return labels(expr.expr)
        case promql_parser.Call() if expr.func.name == "label_replace":
            return labels(expr.args[0]) | {expr.args[1].val}
        case promql_parser.Call() if expr.func.name == "histogram_quantile":
            return labels(expr.args[1]) - {"le"}
    return set()


def frames(dashboard: str, panel: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what Grafana's data source for Prometheus makes of the answers to a panel's queries.

    A table has a column for each label and one for the value, named after the query if there are several; otherwise
    each series is a frame. https://grafana.com/developers/dataplane/ describes both.
    """
    return [frame for target in panel["targets"] for frame in _frames_of(dashboard, panel, target)]


def _frames_of(dashboard: str, panel: dict[str, Any], target: dict[str, Any]) -> list[dict[str, Any]]:
    ref_id = target["refId"]
    names = sorted(labels(promql_parser.parse(EXPRS[dashboard, panel["title"], ref_id])))
    if target.get("format") != "table":
        return [
            {
                "refId": ref_id,
                "fields": [field("Time", [NOW]), field("Value", [1]) | {"labels": dict.fromkeys(names, one)}],
            }
            for one in SERIES
        ]
    value = f"Value #{ref_id}" if len(panel["targets"]) > 1 else "Value"
    columns = [field(name, list(SERIES)) for name in names]
    return [{"refId": ref_id, "fields": [field("Time", [NOW, NOW]), *columns, field(value, [1, 2])]}]


def field(name: str, values: list[Any]) -> dict[str, Any]:
    """Return a column of a frame, of the type that its values have."""
    kind = "time" if name == "Time" else "string" if isinstance(values[0], str) else "number"
    return {"name": name, "type": kind, "values": values}


def units(panel: Any) -> list[str]:
    """Return every unit that a panel names, wherever it does."""
    if isinstance(panel, list):
        return [unit for one in panel for unit in units(one)]
    if not isinstance(panel, dict):
        return []
    own = [panel["value"]] if panel.get("id") == "unit" else []
    own += [value for key, value in panel.items() if key == "unit"]
    return own + [unit for value in panel.values() for unit in units(value)]


def given(*asked: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask Grafana's packages what panels are given."""
    request = [
        {
            "frames": frames(dashboard, panel) if panel["datasource"]["uid"] == "prometheus" else [],
            "transformations": panel.get("transformations", []),
            "overrides": panel.get("fieldConfig", {}).get("overrides", []),
            "units": units(panel),
        }
        for dashboard, panel in asked
    ]
    assert (NODE_PACKAGE / "node_modules").is_dir(), "Run: make setup"
    answer = subprocess.run(
        [Path(sys.executable).with_name("node"), "apply.cjs"],
        cwd=NODE_PACKAGE,
        input=json.dumps(request),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found


def faults(panel: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """Say what the panel of this type would not find, or would show as it should not."""
    found = [f"no field for the override {matcher}" for matcher in seen["lost"]]
    found += [f"no unit {unit}" for unit in seen["unknown"]]
    if panel["type"] == "table":
        (names,) = seen["shown"]
        found += [f"a column is called {name}" for name in names if name.startswith("Value") or name[0].islower()]
    if panel["type"] == "nodeGraph":
        nodes, edges = [*seen["frames"], {}][:2]
        arcs = {arc["field"] for arc in panel["options"]["nodes"]["arcs"]}
        stats = {"id", "mainstat", "secondarystat"}
        found += [f"no field {name} of nodes" for name in sorted({"title", *stats, *arcs} - nodes.keys())]
        found += [f"no field {name} of edges" for name in sorted({"source", "target", *stats} - edges.keys())]
    if panel["type"] in ("table", "nodeGraph"):
        rows = {len(values) for frame in seen["frames"] for values in frame.values()}
        found += [f"{count} rows of {len(SERIES)} series" for count in rows - {len(SERIES)}]
    return found


@pytest.fixture(scope="module")
def all_given() -> dict[str, dict[str, Any]]:
    return dict(zip(PANELS, given(*PANELS.values()), strict=True))


@pytest.mark.xdist_group("grafana_panels")
@pytest.mark.parametrize("name", PANELS)
def test_a_panel_finds_the_fields_and_units_that_it_names(name: str, all_given: dict[str, dict[str, Any]]) -> None:
    assert faults(PANELS[name][1], all_given[name]) == []


@pytest.mark.xdist_group("grafana_panels")
def test_a_panel_that_names_what_is_not_there_is_found_out() -> None:
    (graph,) = [one for one in PANELS.values() if one[1]["type"] == "nodeGraph"]
    table = next(one for one in PANELS.values() if one[1]["type"] == "table")
    series = next(one for one in PANELS.values() if one[1]["type"] == "timeseries")
    merged = {"transformations": [{"id": "merge", "options": {}}]}
    odd = {
        "fieldConfig": {
            "defaults": {"unit": "requests"},
            "overrides": [{"matcher": {"id": "byName", "options": "P50"}}],
        }
    }
    broken = [(uid, panel | change) for (uid, panel), change in ((graph, merged), (table, merged), (series, odd))]
    of_graph, of_table, of_series = map(faults, (panel for _, panel in broken), given(*broken))
    assert "no field mainstat of nodes" in of_graph
    assert "a column is called Value #Requests" in of_table
    assert of_series == ["no field for the override {'id': 'byName', 'options': 'P50'}", "no unit requests"]


def test_the_packages_are_of_the_grafana_that_is_run() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    image = compose["services"]["grafana"]["image"]
    packages = json.loads((NODE_PACKAGE / "package.json").read_text())["dependencies"]
    assert image.endswith(f":{packages['@grafana/data']}")
