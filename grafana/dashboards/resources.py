"""Resources: what the services use, and whether the machine is the reason that they are slow."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboards import kit

OF_SERVICE = 'job=~"$service"'


def dashboard() -> Dashboard:
    """Return the machine first, then the processes, what they wait for, and what keeps the telemetry."""
    return kit.dashboard(
        "resources",
        "Resources",
        "Use this if the services are slow and no single operation is the cause.",
        {
            "Is it the machine?": machine(),
            "Processes": processes(),
            "gunicorn": gunicorn(),
            "Database pool, cache and dependencies": dependencies(),
            "PostgreSQL and Valkey": databases(),
            "Backends of the telemetry": backends(),
        },
        (kit.services_of(kit.PROMETHEUS, "label_values(process_thread_count, job)"),),
    )


def machine() -> list[kit.Panel]:
    """Return panels of the host under the containers, with all that runs on it."""
    idle = 'sum(rate(system_cpu_time_seconds_total{state=~"idle|wait"}[$__rate_interval]))'
    return [
        kit.number(
            "CPU busy",
            "Share of busy cores, for any process. Near 100 %? All processes wait for CPU, not for one service.",
            "percentunit",
            kit.promql(f"1 - {idle} / sum(rate(system_cpu_time_seconds_total[$__rate_interval]))"),
            {0: "green", 0.7: "yellow", 0.9: "red"},
        ),
        kit.number(
            "Load per core",
            "Runnable processes per core over a minute. Above 1, some are waiting.",
            "none",
            kit.promql("avg(system_cpu_load_average_1m) / count(count by (cpu) (system_cpu_time_seconds_total))"),
            {0: "green", 1: "yellow", 2: "red"},
        ),
        kit.number(
            "Waiting for disks",
            "Share of the cores' time spent waiting for a disk. More than a few percent slow the databases.",
            "percentunit",
            kit.promql(
                'sum(rate(system_cpu_time_seconds_total{state="wait"}[$__rate_interval]))'
                " / sum(rate(system_cpu_time_seconds_total[$__rate_interval]))"
            ),
            {0: "green", 0.05: "yellow", 0.2: "red"},
        ),
        kit.number(
            "Memory in use",
            "Share of the machine's memory that is neither free nor cache. Near 100 %? It swaps or kills processes.",
            "percentunit",
            kit.promql('sum(system_memory_usage_bytes{state="used"}) / sum(system_memory_usage_bytes)'),
            {0: "green", 0.8: "yellow", 0.95: "red"},
        ),
    ]


def processes() -> list[kit.Panel]:
    """All workers of a service together, as the kernel sees them."""
    return [
        kit.lines(
            "CPU",
            "Cores in use by all workers. A worker is a Python process, limited to 1 core. At the limit, add workers.",
            "none",
            kit.promql(
                f"sum by (job) (rate(process_cpu_time_seconds_total{{{OF_SERVICE}}}[$__rate_interval]))", "{{job}}"
            ),
        ),
        kit.lines(
            "Memory",
            "Resident memory of all workers. Grows steadily? A leak: the container's limit will stop the process.",
            "bytes",
            kit.promql(f"sum by (job) (process_memory_usage_bytes{{{OF_SERVICE}}})", "{{job}}"),
        ),
        kit.lines(
            "Involuntary context switches",
            "Another process took over the CPU. High on a busy machine means too little CPU.",
            "ops",
            kit.promql(
                "sum by (job) "
                f'(rate(process_context_switches_total{{{OF_SERVICE}, type="involuntary"}}[$__rate_interval]))',
                "{{job}}",
            ),
        ),
        kit.lines(
            "Garbage collections",
            "Of all generations. Far more than usual? Some code creates many objects.",
            "ops",
            kit.promql(
                f"sum by (job) (rate(cpython_gc_collections_total{{{OF_SERVICE}}}[$__rate_interval]))", "{{job}}"
            ),
        ),
    ]


def gunicorn() -> list[kit.Panel]:
    """Workers are processes, each with threads; a request occupies one thread."""
    return [
        kit.lines(
            "Workers",
            "Reporting processes. An ended one counts for five more minutes. Up and down? They restart: see Logs.",
            "none",
            kit.promql(f"count by (job) (process_thread_count{{{OF_SERVICE}}})", "{{job}}"),
        ),
        kit.lines(
            "Threads",
            "Threads of all workers: THREADS each for requests, and a few for telemetry and background tasks.",
            "none",
            kit.promql(f"sum by (job) (process_thread_count{{{OF_SERVICE}}})", "{{job}}"),
        ),
        kit.lines(
            "Requests in progress",
            "Each occupies a thread. Equal to workers x THREADS? Requests queue: add threads or find what hangs.",
            "none",
            kit.promql(f"sum by (job) (http_server_active_requests{{{OF_SERVICE}}})", "{{job}}"),
        ),
        kit.lines(
            "Open files",
            "File descriptors, including sockets. Grows steadily? Connections are not closed.",
            "none",
            kit.promql(f"sum by (job) (process_open_file_descriptor_count{{{OF_SERVICE}}})", "{{job}}"),
        ),
    ]


def dependencies() -> list[kit.Panel]:
    """Return panels of what requests wait for, or no longer wait for."""
    return [
        kit.lines(
            "Connections to databases",
            "In use and idle. None idle for long? Requests wait: look for slow statements in a trace.",
            "none",
            kit.promql(
                f"sum by (job, db_client_connection_state) (db_client_connection_count{{{OF_SERVICE}}})",
                "{{job}} {{db_client_connection_state}}",
            ),
        ),
        kit.lines(
            "Cache hit ratio",
            "Share of reads that the cache had. Orders lower it by removing entries. All unavailable? Valkey is down.",
            "percentunit",
            kit.promql(
                '(sum(rate(cache_operations_total{cache_result="hit"}[$__rate_interval])) or vector(0))'
                ' / sum(rate(cache_operations_total{cache_operation="get"}[$__rate_interval]))',
                "hits",
            ),
            top=1,
        ),
        kit.lines(
            "Operations of the cache",
            "By result. A miss costs a query; unavailable means that the service continues without a cache.",
            "ops",
            kit.promql(
                "sum by (cache_operation, cache_result) (rate(cache_operations_total[$__rate_interval]))",
                "{{cache_operation}} {{cache_result}}",
            ),
            stacked=True,
        ),
        kit.lines(
            "Open circuits",
            "Workers that send nothing to a dependency for 1 to 5 s, since it failed five times in a row.",
            "none",
            kit.promql(
                f"sum by (job, service_peer_name) (circuit_breaker_open_count{{{OF_SERVICE}}})",
                "{{job}} to {{service_peer_name}}",
            ),
        ),
    ]


def databases() -> list[kit.Panel]:
    """Return panels of the database server and the cache, as they count themselves."""
    return [
        kit.lines(
            "Connections to PostgreSQL",
            "Of all clients, per database, and how many the server allows. At the maximum it refuses new ones.",
            "none",
            kit.promql("sum by (db_namespace) (postgresql_backends)", "{{db_namespace}}"),
            kit.promql("max(postgresql_connection_max)", "maximum"),
        ),
        kit.lines(
            "Transactions",
            "Ended per second, per database. Many rollbacks? Errors or conflicts: look for them in Logs.",
            "ops",
            kit.promql("sum by (db_namespace) (rate(postgresql_commits_total[$__rate_interval]))", "{{db_namespace}}"),
            kit.promql(
                "sum by (db_namespace) (rate(postgresql_rollbacks_total[$__rate_interval]))",
                "{{db_namespace}} rolled back",
            ),
        ),
        kit.lines(
            "Blocks found in memory",
            "Share of read blocks that were in shared_buffers. Falls? The data outgrow the memory, or a scan runs.",
            "percentunit",
            kit.promql(
                "sum(rate(postgresql_blks_hit_total[$__rate_interval])) / (sum(rate(postgresql_blks_hit_total"
                "[$__rate_interval])) + sum(rate(postgresql_blks_read_total[$__rate_interval])))",
                "in memory",
            ),
            top=1,
        ),
        kit.lines(
            "Deadlocks",
            "Transactions that PostgreSQL ended because they waited for each other. Should be zero.",
            "ops",
            kit.promql(
                "sum by (db_namespace) (rate(postgresql_deadlocks_total[$__rate_interval]))", "{{db_namespace}}"
            ),
        ),
        kit.lines(
            "Memory of Valkey",
            "In use, and held by its process. Near maxmemory it evicts the least used entries.",
            "bytes",
            kit.promql("max(redis_memory_used_bytes)", "in use"),
            kit.promql("max(redis_memory_rss_bytes)", "resident"),
        ),
        kit.lines(
            "Evicted and expired",
            "Entries that Valkey removed. Evicted for lack of memory? The hit ratio falls: give it more.",
            "ops",
            kit.promql("sum(rate(redis_keys_evicted_total[$__rate_interval]))", "evicted"),
            kit.promql("sum(rate(redis_keys_expired_total[$__rate_interval]))", "expired"),
        ),
    ]


def backends() -> list[kit.Panel]:
    """Return panels of what receives, stores and shows the telemetry."""
    return [
        kit.lines(
            "Memory",
            "As a share of the container's limit. At 100 % the kernel stops the process, and it starts again.",
            "percentunit",
            kit.promql("job:memory_used:bytes / job:memory_limit:bytes", "{{job}}"),
            top=1,
        ),
        kit.lines(
            "CPU",
            "Cores in use.",
            "none",
            kit.promql(
                "sum by (job) (rate(process_cpu_seconds_total[$__rate_interval]))"
                " or sum by (job) (rate(otelcol_process_cpu_seconds[$__rate_interval]))",
                "{{job}}",
            ),
        ),
        kit.lines(
            "Available",
            "1 if Prometheus can scrape it. 0? It is stopped, starting, or too busy to answer.",
            "none",
            kit.promql("up", "{{job}}"),
            top=1,
        ),
    ]
