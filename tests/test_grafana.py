"""Grafana's data sources and dashboards hold together, as far as that can be said without a Grafana."""

import json
import re
import subprocess
import sys
from configparser import ConfigParser
from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path
from string import Template
from typing import Any, Literal

import promql_parser
import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from grafana.dashboards.__main__ import DASHBOARDS, FOLDER, rendered
from grafana.queries import Query, queries
from local.registry import SERVICES
from tests.conftest import ROOT

GRAFANA = ROOT / "grafana"
TRACES_PORT = "16686"
ALL_QUERIES = queries()
PANELS = [
    (dashboard, panel)
    for dashboard in (json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json")))
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]


class Strict(BaseModel):
    """A misspelt key is an error: Grafana would overlook it."""

    model_config = ConfigDict(extra="forbid")


class Link(Strict):
    """To a data source, or to a page."""

    name: str
    datasourceUid: str | None = None
    url: str | None = None
    urlDisplayLabel: str


class DerivedField(Link):
    """A link from a log line."""

    matcherType: Literal["label", "regex"]
    matcherRegex: str
    targetBlank: bool = False


class NamedQuery(Strict):
    """A link from a span to a metric."""

    name: str
    query: str


class FromSpan(Strict):
    """A link from a span to what another data source knows of its time."""

    datasourceUid: str
    spanStartTimeShift: str
    spanEndTimeShift: str


class ToLogs(FromSpan):
    """A link to logs."""

    customQuery: Literal[True]
    query: str


class ToMetrics(FromSpan):
    """Links to metrics."""

    queries: list[NamedQuery]


class PrometheusData(Strict):
    """https://grafana.com/docs/grafana/latest/datasources/prometheus/configure/"""

    httpMethod: Literal["POST", "GET"]
    timeInterval: str
    exemplarTraceIdDestinations: list[Link]


class LokiData(Strict):
    """https://grafana.com/docs/grafana/latest/datasources/loki/configure/"""

    maxLines: int
    derivedFields: list[DerivedField]


class Enabled(Strict):
    """A switch."""

    enabled: bool


class JaegerData(Strict):
    """https://grafana.com/docs/grafana/latest/datasources/jaeger/configure/"""

    nodeGraph: Enabled
    tracesToLogsV2: ToLogs
    tracesToMetrics: ToMetrics


class DataSource(Strict):
    """https://grafana.com/docs/grafana/latest/administration/provisioning/#data-sources"""

    name: str
    uid: str
    type: Literal["prometheus", "loki", "jaeger"]
    access: Literal["proxy"]
    url: str
    isDefault: bool = False
    editable: bool
    jsonData: PrometheusData | LokiData | JaegerData


class DataSources(Strict):
    """One file of them."""

    apiVersion: Literal[1]
    datasources: list[DataSource]


class Provider(Strict):
    """https://grafana.com/docs/grafana/latest/administration/provisioning/#dashboards"""

    name: str
    type: Literal["file"]
    allowUiUpdates: bool
    disableDeletion: bool
    updateIntervalSeconds: int
    options: dict[Literal["path"], str]


class Providers(Strict):
    """One file of them."""

    apiVersion: Literal[1]
    providers: list[Provider]


@cache
def data_sources() -> dict[str, DataSource]:
    """Uid -> data source, `$` expanded in its values as Grafana does it; an unknown variable is an error."""
    found = []
    for path in sorted(GRAFANA.glob("provisioning/datasources/*.yaml")):
        values = Template(json.dumps(yaml.safe_load(path.read_text())))
        found += DataSources.model_validate_json(values.substitute(TRACES_PORT=TRACES_PORT)).datasources
    assert len({source.uid for source in found}) == len(found)
    return {source.uid: source for source in found}


def ini() -> ConfigParser:
    """Grafana's own settings."""
    parser = ConfigParser(interpolation=None)
    parser.read(GRAFANA / "grafana.ini")
    return parser


def test_the_dashboards_are_what_their_code_makes() -> None:
    assert {path: path.read_text() for path in FOLDER.glob("*.json")} == rendered(), "make generate"


def test_dashboards_and_their_panels_have_ids_of_their_own() -> None:
    assert len({dashboard.uid for dashboard in DASHBOARDS}) == len(DASHBOARDS)
    for dashboard in DASHBOARDS:
        ids = [panel.id_val for panel in dashboard.panels or []]
        assert len(set(ids)) == len(ids)


def test_each_dashboard_links_to_the_others() -> None:
    for dashboard in DASHBOARDS:
        (link,) = dashboard.links or []
        assert all(set(link.tags) <= set(other.tags or []) for other in DASHBOARDS)


@pytest.mark.parametrize(
    ("dashboard", "panel"), PANELS, ids=[f"{dashboard['uid']}: {panel['title']}" for dashboard, panel in PANELS]
)
def test_each_panel_says_what_it_shows_and_asks_a_data_source_that_there_is(
    dashboard: dict[str, Any], panel: dict[str, Any]
) -> None:
    assert panel["title"]
    assert panel["description"].endswith((".", "?"))
    assert panel["targets"]
    uids = {asked["datasource"]["uid"] for asked in (panel, *panel["targets"])}
    assert len(uids) == 1
    assert uids <= data_sources().keys()
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    if panel["type"] in ("timeseries", "stat"):
        assert panel["fieldConfig"]["defaults"]["unit"]
    for variable in dashboard["templating"].get("list", []):
        assert variable.get("datasource", panel["datasource"])["uid"] in data_sources()


def test_panels_lie_side_by_side_and_none_upon_another() -> None:
    for dashboard in {dashboard["uid"]: dashboard for dashboard, _ in PANELS}.values():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            right, bottom = place["x"] + place["w"], place["y"] + place["h"]
            cells = set(product(range(place["x"], right), range(place["y"], bottom)))
            assert right <= 24
            assert not cells & taken, panel["title"]
            taken |= cells


@pytest.mark.parametrize("query", ALL_QUERIES, ids=lambda query: f"{query.dashboard}: {query.panel}")
def test_each_query_has_all_its_variables_replaced_and_parses(query: Query) -> None:
    assert not re.search(r"\$[a-z_{]", query.expr)
    if query.datasource == "prometheus":
        promql_parser.parse(query.expr)


def test_logql_is_what_grafanas_own_grammar_allows() -> None:
    logs = [query.expr for query in ALL_QUERIES if query.datasource == "loki"]
    script = """
        import { parser } from "@grafana/lezer-logql";
        import { readFileSync } from "node:fs";
        const wrong = (query) => {
          const errors = [];
          parser.parse(query).iterate({ enter: (node) => { if (node.type.isError) errors.push(node.from); } });
          return errors.length > 0;
        };
        console.log(JSON.stringify(JSON.parse(readFileSync(0)).filter(wrong)));
    """
    broken = '{service_name="a"} |= '
    node = Path(sys.executable).with_name("node")
    asked = subprocess.run(
        [node, "--input-type=module", "--eval", script],
        cwd=ROOT / "web",
        input=json.dumps([*logs, broken]),
        check=True,
        capture_output=True,
        text=True,
    )
    assert logs
    assert json.loads(asked.stdout) == [broken]


def test_percentiles_come_with_exemplars_which_lead_to_traces() -> None:
    for dashboard, panel in PANELS:
        exprs = [target for target in panel["targets"] if "histogram_quantile" in target["expr"]]
        if panel["type"] == "timeseries" and exprs:
            assert any(target["exemplar"] for target in exprs), (dashboard["uid"], panel["title"])


def test_the_metrics_of_the_domain_are_those_that_the_services_declare() -> None:
    telemetry = [import_module(f"services.{service}.telemetry") for service in SERVICES]
    declared = tuple(name.replace(".", "_") for module in telemetry for name in (*module.METRICS, *module.ATTRIBUTES))
    used = {name for query in ALL_QUERIES for name in re.findall(rf"\b(?:{'|'.join(SERVICES)})s?_[a-z_]+", query.expr)}
    steps = {name for module in telemetry for name in module.SPANS}
    assert used
    assert {name for name in used - steps if not name.startswith(declared)} == set()


def test_metrics_logs_and_traces_lead_to_each_other() -> None:
    sources = data_sources()
    prometheus, loki, jaeger = (sources[uid].jsonData for uid in ("prometheus", "loki", "jaeger"))
    assert isinstance(prometheus, PrometheusData)
    assert isinstance(loki, LokiData)
    assert isinstance(jaeger, JaegerData)
    assert "jaeger" in {link.datasourceUid for link in loki.derivedFields}
    for links in (prometheus.exemplarTraceIdDestinations, loki.derivedFields):
        # Anonymous visitors have no Explore, where a data source leads to.
        assert f"http://127.0.0.1:{TRACES_PORT}/trace/${{__value.raw}}" in {link.url for link in links}
    assert jaeger.tracesToLogsV2.datasourceUid == "loki"
    assert jaeger.tracesToMetrics.datasourceUid == "prometheus"
    assert 'trace_id="${__trace.traceId}"' in jaeger.tracesToLogsV2.query
    for query in jaeger.tracesToMetrics.queries:
        promql_parser.parse(re.sub(r"\$\{__span\.[^}]*\}", "x", query.query))


def test_the_service_graph_has_a_field_of_each_name_that_the_panel_looks_up() -> None:
    graphs = [panel for _, panel in PANELS if panel["type"] == "nodeGraph"]
    assert graphs
    for panel in graphs:
        copied = {
            (change["filter"]["options"], change["options"]["reduce"]["include"][0], change["options"]["alias"])
            for change in panel["transformations"]
            if change["id"] == "calculateField"
        }
        kinds = [(target["refId"], *target["refId"].split("_", 1)) for target in panel["targets"]]
        assert copied == {(f"/^merge-{kind}_/", f"Value #{ref_id}", field) for ref_id, kind, field in kinds}
        assert {arc["field"] for arc in panel["options"]["nodes"]["arcs"]} <= {field for _, _, field in kinds}


def test_links_between_dashboards_name_one_and_a_variable_of_it() -> None:
    variables = {
        dashboard["uid"]: {variable["name"] for variable in dashboard["templating"].get("list", [])}
        for dashboard, _ in PANELS
    }
    files = [*GRAFANA.rglob("*.yaml"), *FOLDER.glob("*.json")]
    links = {link for path in files for link in re.findall(r"/d/(\w+)\?\S*?var-(\w+)=", path.read_text())}
    assert {"logs", "resources"} <= {uid for uid, _ in links}
    assert [link for link in links if link[1] not in variables[link[0]]] == []


def test_grafana_starts_offline_for_viewers_and_with_a_dashboard_that_there_is() -> None:
    settings = ini()
    assert settings["auth.anonymous"]["org_role"] == "Viewer"
    assert settings.getboolean("plugins", "preinstall_disabled")
    disabled = {name.strip() for name in settings["plugins"]["disable_plugins"].split(",")}
    assert not disabled & {source.type for source in data_sources().values()}

    (path,) = GRAFANA.glob("provisioning/dashboards/*.yaml")
    (provider,) = Providers.model_validate(yaml.safe_load(path.read_text())).providers
    folder, _, home = settings["dashboards"]["default_home_dashboard_path"].rpartition("/")
    assert folder == provider.options["path"]
    assert (FOLDER / home).exists()
