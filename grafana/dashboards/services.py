"""Services: rate, errors and duration of each service and operation, and the calls between them."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboards import kit

REQUESTS = "http_server_request_duration_seconds"
CALLS = "traces_service_graph"
SERVER_SPANS = 'span_kind="SPAN_KIND_SERVER"'
FAILED = 'status_code="STATUS_CODE_ERROR"'
OF_SERVICE = 'job=~"$service"'
OPERATIONS = f'service_name=~"$service", {SERVER_SPANS}'


def dashboard() -> Dashboard:
    """RED per service, RED per operation, and the graph of calls."""
    return kit.dashboard(
        "services",
        "Services",
        "Rate, errors, duration. Find the service, then its operation, then a trace.",
        {
            "Services": [overview()],
            "Rate, errors, duration": red(),
            "Operations": [operations(), slowest_operations()],
            "Calls between services": [service_graph(), calls()],
        },
        (kit.services_of(kit.PROMETHEUS, f"label_values({REQUESTS}_count, job)"),),
    )


def overview() -> kit.Panel:
    """Return the recording rules of the alerts, summed to lose their names: a table joins on equal labels."""
    return kit.grid(
        "The last five minutes",
        "The input of the alerts. A service is missing? It had no requests or is not running: `docker compose ps`.",
        {"job": "Service"},
        {
            "Requests": (f"sum by (job) (service:http_requests:rate5m{{{OF_SERVICE}}})", "reqps"),
            "Errors": (f"sum by (job) (service:http_errors:ratio_rate5m{{{OF_SERVICE}}})", "percentunit"),
            "P95": (f"sum by (job) (service:http_latency:p95_5m{{{OF_SERVICE}}})", "s"),
        },
    )


def red() -> list[kit.Panel]:
    """From each service's own measure of its requests."""
    total = f"sum by (job) (rate({REQUESTS}_count{{{OF_SERVICE}}}[$__rate_interval]))"
    failed = (
        f'sum by (job) (rate({REQUESTS}_count{{{OF_SERVICE}, http_response_status_code=~"5.."}}[$__rate_interval]))'
    )
    return [
        kit.lines("Requests", "Completed requests, without health checks.", "reqps", kit.promql(total, "{{job}}")),
        kit.lines(
            "Errors",
            "Share of responses with a 5xx. For status and operation see below, then Logs.",
            "percentunit",
            kit.promql(f"({failed} or 0 * {total}) / {total}", "{{job}}"),
        ),
        kit.lines(
            "P95",
            "95 of 100 requests took no longer. One high service is the cause; if all are high, they share a cause.",
            "s",
            kit.promql(kit.percentile(0.95, REQUESTS, OF_SERVICE, by="job"), "{{job}}", exemplars=True),
        ),
        kit.lines(
            "Responses by status",
            "4xx is the caller's error (404, 409, 422), 5xx the service's; 503 means a dependency is unavailable.",
            "reqps",
            kit.promql(
                f"sum by (job, http_response_status_code) (rate({REQUESTS}_count{{{OF_SERVICE}}}[$__rate_interval]))",
                "{{job}} {{http_response_status_code}}",
            ),
        ),
    ]


def operations() -> kit.Panel:
    """From the spans, per operation."""
    by = "service_name, span_name"
    total = f"sum by ({by}) (rate(traces_span_metrics_calls_total{{{OPERATIONS}}}[$__range]))"
    failed = f"sum by ({by}) (rate(traces_span_metrics_calls_total{{{OPERATIONS}, {FAILED}}}[$__range]))"
    return kit.grid(
        "Operations in the selected time",
        "Click a heading to sort. Errors are spans with the status error: a 5xx or an exception.",
        {"service_name": "Service", "span_name": "Operation"},
        {
            "Requests": (total, "reqps"),
            "Errors": (f"({failed} or 0 * {total}) / ({total} > 0)", "percentunit"),
            "P95": (
                kit.percentile(0.95, "traces_span_metrics_duration_milliseconds", OPERATIONS, by=by, window="$__range"),
                "ms",
            ),
        },
    )


def slowest_operations() -> kit.Panel:
    """With exemplars, so that a slow operation leads to a slow trace."""
    p95 = kit.percentile(0.95, "traces_span_metrics_duration_milliseconds", OPERATIONS, by="service_name, span_name")
    return kit.lines(
        "P95 of the ten slowest operations",
        "A dot is a request. Click it for its trace.",
        "ms",
        kit.promql(f"topk(10, {p95})", "{{service_name}} {{span_name}}", exemplars=True),
    )


def calls() -> kit.Panel:
    """Return the arrows of the graph over time."""
    p95 = kit.percentile(0.95, f"{CALLS}_duration_milliseconds", by="service_name, server_address")
    return kit.lines(
        "P95 of outgoing calls",
        "As the caller sees it, including network and waiting. Higher than the callee's own P95? Calls are queued.",
        "ms",
        kit.promql(p95, "{{service_name}} → {{server_address}}", exemplars=True),
    )


def service_graph() -> kit.Panel:
    """Return the graph of calls; a circle shows what a service served, or what a database was queried for."""
    rates = _per_node("calls_total")
    # Each end of an arrow must be a circle, also a caller that serves nothing: the page in the browser.
    callers = f"0 * sum by (id) ({_copied('id', 'service_name', f'rate({CALLS}_calls_total[$__range])')})"
    shares = [
        f"({failed} or 0 * {rate}) / ({rate} > 0)"
        for rate, failed in zip(rates, _per_node("calls_total", FAILED), strict=True)
    ]
    durations = _per_node("duration_milliseconds_bucket", by="id, le")
    edge = "id, source, target"
    return kit.graph(
        "Service graph",
        "Circles show requests per second and P95. Red is the share of failures. Click an arrow for its numbers.",
        nodes={
            "mainstat": _titled(" or ".join([*rates, callers])),
            "secondarystat": _titled(f"histogram_quantile(0.95, {' or '.join(durations)})"),
            "arc__failed": _titled(" or ".join(shares)),
            "arc__fine": _titled(f"1 - ({' or '.join(shares)})"),
        },
        edges={
            "mainstat": f"sum by ({edge}) ({_as_edge('calls_total')})",
            "secondarystat": (
                f"histogram_quantile(0.95, sum by ({edge}, le) ({_as_edge('duration_milliseconds_bucket')}))"
            ),
        },
    )


def _per_node(series: str, *where: str, by: str = "id") -> list[str]:
    """PromQL of the rate per circle: of the requests a service served, then of the calls to what is no service."""
    served = f"rate(traces_span_metrics_{series}{{{', '.join((SERVER_SPANS, *where))}}}[$__range])"
    called = f"rate({CALLS}_{series}{{{', '.join(where)}}}[$__range])"
    return [
        f"sum by ({by}) ({_copied('id', 'service_name', served)})",
        f"sum by ({by}) ({_copied('id', 'server_address', called)})",
    ]


def _as_edge(series: str) -> str:
    rate = f"rate({CALLS}_{series}[$__range])"
    ends = _copied("target", "server_address", _copied("source", "service_name", rate))
    return f'label_join({ends}, "id", " → ", "source", "target")'


def _titled(expr: str) -> str:
    return _copied("title", "id", expr)


def _copied(to: str, label: str, expr: str) -> str:
    return f'label_replace({expr}, "{to}", "$1", "{label}", "(.+)")'
