"""Pipeline: the Collector itself, and whether telemetry is lost, so that other dashboards are incomplete."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboards import kit

SIGNALS = {"spans": "spans", "metric_points": "metric points", "log_records": "log records"}
QUEUE = "sum by (exporter) (otelcol_exporter_queue_size)"
CAPACITY = "sum by (exporter) (otelcol_exporter_queue_capacity)"


def dashboard() -> Dashboard:
    """In, out, lost, waiting, and what it costs."""
    return kit.dashboard(
        "pipeline",
        "Pipeline",
        "All telemetry passes the Collector. What it refuses or loses is missing in the other dashboards.",
        {"Now": now(), "Flow": flow(), "Waiting and lost": waiting_and_lost(), "The Collector": collector()},
    )


def now() -> list[kit.Panel]:
    """Return four numbers, three of which should be zero."""
    return [
        kit.number(
            "Accepted",
            "Spans, metric points and log records per second. Zero? The services cannot reach the Collector.",
            "cps",
            kit.promql(_sum("otelcol_receiver_accepted_{}")),
        ),
        kit.number(
            "Refused",
            "Refused for lack of memory in the selected time. Senders retry for a while. Give it more memory.",
            "none",
            kit.promql_now(_sum("otelcol_receiver_refused_{}", "increase", "$__range")),
            {0: "green", 1: "red"},
        ),
        kit.number(
            "Lost",
            "Permanently lost in the selected time: not sent or not queued. Row 'Waiting and lost' shows the backend.",
            "none",
            kit.promql_now(
                f"{_sum('otelcol_exporter_send_failed_{}', 'increase', '$__range')}"
                f" + {_sum('otelcol_exporter_enqueue_failed_{}', 'increase', '$__range')}"
            ),
            {0: "green", 1: "red"},
        ),
        kit.number(
            "Fullest queue",
            "Used share of the queue. Grows? A backend is unavailable or slow; at 100 % data is lost.",
            "percentunit",
            kit.promql(f"max({QUEUE} / {CAPACITY})"),
            {0: "green", 0.5: "yellow", 0.9: "red"},
        ),
    ]


def flow() -> list[kit.Panel]:
    """In on the left, out on the right."""
    return [
        kit.lines(
            "Accepted",
            "Telemetry received from the services, by signal.",
            "cps",
            *_received("accepted"),
        ),
        kit.lines(
            "Refused",
            "Refused telemetry, by signal. Should be zero.",
            "cps",
            *_received("refused"),
        ),
        kit.lines(
            "Sent",
            "Telemetry accepted by the backends. Lower than accepted for long? The queue fills.",
            "cps",
            *(
                kit.promql(
                    f"sum by (exporter) (rate(otelcol_exporter_sent_{signal}[$__rate_interval]))",
                    f"{{{{exporter}}}} {name}",
                )
                for signal, name in SIGNALS.items()
            ),
        ),
    ]


def waiting_and_lost() -> list[kit.Panel]:
    """Per backend."""
    return [
        kit.lines(
            "Queues",
            "Waiting to be sent, on disk, so it survives a restart. Falls after an outage? Nothing was lost.",
            "bytes",
            kit.promql(QUEUE, "{{exporter}}"),
        ),
        kit.lines(
            "How full the queues are",
            "At 100 % new data is lost. Restart the backend, or enlarge the queue (QUEUE_BYTES).",
            "percentunit",
            kit.promql(f"{QUEUE} / {CAPACITY}", "{{exporter}}"),
            top=1,
        ),
        kit.lines(
            "Lost",
            "Dropped by an exporter or refused by its full queue, by signal. Should be zero.",
            "cps",
            *(
                kit.promql(
                    f"({_rate(f'otelcol_exporter_send_failed_{signal}')})"
                    f" + ({_rate(f'otelcol_exporter_enqueue_failed_{signal}')})",
                    name,
                )
                for signal, name in SIGNALS.items()
            ),
        ),
    ]


def collector() -> list[kit.Panel]:
    """Its own needs."""
    return [
        kit.lines(
            "Memory",
            "Near the limit of the memory_limiter in otel-collector-config.yaml the Collector begins to refuse.",
            "bytes",
            kit.promql("otelcol_process_memory_rss", "resident"),
            kit.promql("otelcol_process_runtime_heap_alloc_bytes", "heap"),
        ),
        kit.lines(
            "CPU",
            "Cores in use.",
            "none",
            kit.promql("rate(otelcol_process_cpu_seconds[$__rate_interval])", "cores"),
        ),
        kit.lines(
            "Series in Prometheus",
            "Current number of time series. Rises steadily? An attribute of a metric has unbounded values.",
            "none",
            kit.promql("prometheus_tsdb_head_series", "series"),
        ),
    ]


def _received(how: str) -> list[kit.Query]:
    return [
        kit.promql(f"sum(rate(otelcol_receiver_{how}_{signal}[$__rate_interval]))", name)
        for signal, name in SIGNALS.items()
    ]


def _rate(counter: str, function: str = "rate", window: str = "$__rate_interval") -> str:
    # The Collector counts what failed from the first failure on: until then there is no series.
    return f"sum({function}({counter}[{window}])) or vector(0)"


def _sum(counter: str, function: str = "rate", window: str = "$__rate_interval") -> str:
    return " + ".join(f"({_rate(counter.format(signal), function, window)})" for signal in SIGNALS)
