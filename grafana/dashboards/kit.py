"""What the dashboards are made of: queries, a few kinds of panels, variables, and rows of panels.

In the classic form, which every Grafana loads from a file.
"""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import common, logs, loki, nodegraph, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    LogsSortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DataTransformerConfig,
    DynamicConfigValue,
    MatcherConfig,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")
LOKI = DataSourceRef(type_val="loki", uid="loki")
ALL = ".+"
EVERYTHING = VariableOption(selected=True, text=["All"], value=["$__all"])
TAG = "waybill"
MORE = (("logs", "Its logs"), ("resources", "Its resources"))
"""Dashboards that a service's name in a table leads to."""
GRID_WIDTH = 24

Query: TypeAlias = prometheus.Dataquery | loki.Dataquery
Panel: TypeAlias = timeseries.Panel | stat.Panel | table.Panel | logs.Panel | nodegraph.Panel
PanelKind = TypeVar("PanelKind", timeseries.Panel, stat.Panel, table.Panel, logs.Panel, nodegraph.Panel)
Variable: TypeAlias = builders.QueryVariable | builders.CustomVariable | builders.TextBoxVariable


def promql(expr: str, legend: str = "", *, exemplars: bool = False) -> prometheus.Dataquery:
    """PromQL over the time shown; with exemplars, dots on the lines lead to the traces behind them."""
    return prometheus.Dataquery().datasource(PROMETHEUS).expr(expr).legend_format(legend).range().exemplar(exemplars)


def promql_now(expr: str) -> prometheus.Dataquery:
    """PromQL at the end of the time shown."""
    return prometheus.Dataquery().datasource(PROMETHEUS).expr(expr).instant()


def logql(expr: str, legend: str = "") -> loki.Dataquery:
    """LogQL over the time shown: lines or numbers."""
    return loki.Dataquery().datasource(LOKI).expr(expr).query_type("range").legend_format(legend)


def logql_now(expr: str) -> loki.Dataquery:
    """LogQL that gives a number at the end of the time shown."""
    return loki.Dataquery().datasource(LOKI).expr(expr).query_type("instant")


def percentile(
    quantile: float, histogram: str, selector: str = "", *, by: str = "", window: str = "$__rate_interval"
) -> str:
    """PromQL of a percentile of a histogram; `by` names the labels that stay."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({quantile}, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}[{window}])))"


def percentiles(histogram: str, selector: str = "") -> list[prometheus.Dataquery]:
    """P50, P95 and P99 of a histogram, the dots of its exemplars once."""
    return [
        promql(percentile(0.50, histogram, selector), "P50"),
        promql(percentile(0.95, histogram, selector), "P95"),
        promql(percentile(0.99, histogram, selector), "P99", exemplars=True),
    ]


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    stacked: bool = False,
    top: float | None = None,
) -> timeseries.Panel:
    """Return a chart from zero up, with the newest values in its legend."""
    panel = timeseries.Panel().title(title).description(description).unit(unit).min(0).height(8)
    panel.fill_opacity(30 if stacked else 8).line_width(1).show_points(VisibilityMode.NEVER)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if top is not None:
        panel.max(top)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    panel.legend(legend.show_legend(True).calcs(["lastNotNull"]))
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    return _with_queries(panel, queries)


def number(
    title: str,
    description: str,
    unit: str,
    query: Query,
    levels: Mapping[float, str] | None = None,
) -> stat.Panel:
    """Return a single value, over a sparkline if the query returns a series; `levels` maps values to colors."""
    panel = stat.Panel().title(title).description(description).unit(unit).height(4).color_mode(BigValueColorMode.VALUE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    base, *others = (levels or {0: "text"}).items()
    steps = [Threshold(value=None, color=base[1]), *(Threshold(value=value, color=color) for value, color in others)]
    panel.thresholds(builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    return _with_queries(panel, [query])


def grid(
    title: str, description: str, labels: Mapping[str, str], columns: Mapping[str, tuple[str, str]]
) -> table.Panel:
    """Return a table: rows for the values of `labels` (label -> heading), columns for headings -> (PromQL, unit)."""
    panel = table.Panel().title(title).description(description).height(9)
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(_renamed({**labels, **{f"Value #{heading}": heading for heading in columns}}))
    for heading, (_, unit) in columns.items():
        panel.override_by_name(heading, [DynamicConfigValue(id_val="unit", value=unit)])
    links = [
        {"title": title, "url": f"/d/{uid}?${{__url_time_range}}&var-service=${{__value.raw}}"} for uid, title in MORE
    ]
    panel.override_by_name("Service", [DynamicConfigValue(id_val="links", value=links)])
    return _with_queries(panel, [_promql_column(expr, heading) for heading, (expr, _) in columns.items()])


def log_lines(title: str, description: str, expr: str, *, height: int = 14) -> logs.Panel:
    """Log lines, newest first; each opens to its fields and the links to its trace."""
    panel = logs.Panel().title(title).description(description).height(height)
    panel.show_time(True).wrap_log_message(True).enable_log_details(True).sort_order(LogsSortOrder.DESCENDING)
    return _with_queries(panel, [logql(expr)])


def graph(title: str, description: str, nodes: Mapping[str, str], edges: Mapping[str, str]) -> nodegraph.Panel:
    """Circles and arrows: `nodes` and `edges` map each field of theirs to the PromQL it comes from."""
    panel = nodegraph.Panel().title(title).description(description).height(14)
    failed, fine = (
        nodegraph.ArcOption().field(field).color(color)
        for field, color in (("arc__failed", "red"), ("arc__fine", "green"))
    )
    panel.nodes(nodegraph.NodeOptions().main_stat_unit("req/s").secondary_stat_unit("ms").arcs([failed, fine]))
    panel.edges(nodegraph.EdgeOptions().main_stat_unit("req/s").secondary_stat_unit("ms"))
    queries: list[Query] = []
    for kind, fields in (("nodes", nodes), ("edges", edges)):
        queries.extend(_promql_column(expr, f"{kind}_{field}") for field, expr in fields.items())
        panel.with_transformation(_of(f"{kind}_", "merge", {}))
        for field in fields:
            panel.with_transformation(_of(f"merge-{kind}_", "calculateField", _copied(f"Value #{kind}_{field}", field)))
    panel.with_transformation(_without("Time|Value #.*"))
    return _with_queries(panel, queries)


def services_of(source: DataSourceRef, query: str | dict[str, Any]) -> builders.QueryVariable:
    """Return the variable `$service`: one, several or all of the services that a data source knows."""
    variable = builders.QueryVariable("service").label("Service").datasource(source).query(query)
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    return variable.multi(True).include_all(True).all_value(ALL).current(EVERYTHING)


def dashboard(
    uid: str, title: str, description: str, rows: Mapping[str, list[Panel]], variables: tuple[Variable, ...] = ()
) -> Dashboard:
    """Return a dashboard of rows (heading -> panels side by side) that links to all the others."""
    board = builders.Dashboard(title).uid(uid).description(description).tags([TAG]).readonly()
    board.time("now-15m", "now").refresh("10s").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    others = builders.DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG]).placement("")
    board.link(others.keep_time(True).include_vars(True))
    for variable in variables:
        board.with_variable(variable)
    for heading, panels in rows.items():
        board.with_row(builders.Row(heading))
        for panel in panels:
            board.with_panel(panel.span(GRID_WIDTH // len(panels)))
    made = board.build()
    for id_val, placed in enumerate(made.panels or [], start=1):
        placed.id_val = id_val
    return made


def _promql_column(expr: str, ref_id: str) -> prometheus.Dataquery:
    """PromQL at the end of the time shown, as a table whose last column is called `Value #<ref_id>`."""
    return promql_now(expr).format(PromQueryFormat.TABLE).ref_id(ref_id)


def _renamed(names: Mapping[str, str]) -> DataTransformerConfig:
    options = {"excludeByName": {"Time": True}, "renameByName": dict(names)}
    return DataTransformerConfig(id_val="organize", options=options)


def _of(ref_ids: str, id_val: str, options: dict[str, Any]) -> DataTransformerConfig:
    """Return a transformation of the results whose ids begin so."""
    return DataTransformerConfig(
        id_val=id_val, filter_val=MatcherConfig(id_val="byRefId", options=f"/^{ref_ids}/"), options=options
    )


def _copied(field: str, name: str) -> dict[str, Any]:
    """Node graph looks its fields up by name, and `organize` changes only the name that is displayed.

    https://github.com/grafana/grafana/issues/54844
    """
    return {"mode": "reduceRow", "alias": name, "reduce": {"reducer": "sum", "include": [field]}}


def _without(names: str) -> DataTransformerConfig:
    return DataTransformerConfig(id_val="filterFieldsByName", options={"exclude": {"pattern": f"/^({names})$/"}})


def _with_queries(panel: PanelKind, queries: Sequence[Query]) -> PanelKind:
    """Give the panel its queries, each under a letter of its own unless it has a name."""
    for index, query in enumerate(queries):
        if not query.build().ref_id:
            query.ref_id(ascii_uppercase[index])
        panel.with_target(query)
    panel.datasource(PROMETHEUS if isinstance(queries[0], prometheus.Dataquery) else LOKI)
    return panel
