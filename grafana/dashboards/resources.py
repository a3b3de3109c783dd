"""Resources: what the services use, and whether the machine is the reason that they are slow."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboards import kit

OF_SERVICE = 'job=~"$service"'


def dashboard() -> Dashboard:
    """The machine first, then the processes, then what they wait for."""
    return kit.dashboard(
        "resources",
        "Resources",
        "Something is slow and no operation stands out? Then it lacks something: see here what.",
        {
            "Is it the machine?": machine(),
            "Processes": processes(),
            "gunicorn": gunicorn(),
            "Database pool and cache": pool_and_cache(),
        },
        (kit.services_of(kit.PROMETHEUS, "label_values(process_thread_count, job)"),),
    )


def machine() -> list[kit.Panel]:
    """The host under the containers, with all else that runs on it."""
    idle = 'sum(rate(system_cpu_time_seconds_total{state=~"idle|wait"}[$__rate_interval]))'
    return [
        kit.number(
            "CPU busy",
            "Share of all cores that works, for whomever. Near 100 %? All wait for CPU: no service is to blame.",
            "percentunit",
            kit.promql(f"1 - {idle} / sum(rate(system_cpu_time_seconds_total[$__rate_interval]))"),
            {0: "green", 0.7: "yellow", 0.9: "red"},
        ),
        kit.number(
            "Load per core",
            "Processes that run or want to, per core, over a minute. Above 1 some of them wait for their turn.",
            "none",
            kit.promql("avg(system_cpu_load_average_1m) / count(count by (cpu) (system_cpu_time_seconds_total))"),
            {0: "green", 1: "yellow", 2: "red"},
        ),
        kit.number(
            "Waiting for disks",
            "Share of the cores' time that passed in waiting for a disk. More than a few per cent slow the databases.",
            "percentunit",
            kit.promql(
                'sum(rate(system_cpu_time_seconds_total{state="wait"}[$__rate_interval]))'
                " / sum(rate(system_cpu_time_seconds_total[$__rate_interval]))"
            ),
            {0: "green", 0.05: "yellow", 0.2: "red"},
        ),
        kit.number(
            "Memory in use",
            "Share of the machine's memory that is not free and not a cache. Near 100 %? It swaps or kills processes.",
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
            "Cores in use, all workers together. A worker is a Python process: full at 1 core. Then add workers.",
            "none",
            kit.promql(
                f"sum by (job) (rate(process_cpu_time_seconds_total{{{OF_SERVICE}}}[$__rate_interval]))", "{{job}}"
            ),
        ),
        kit.lines(
            "Memory",
            "Resident memory, all workers together. Grows without an end? A leak: the container's limit will end it.",
            "bytes",
            kit.promql(f"sum by (job) (process_memory_usage_bytes{{{OF_SERVICE}}})", "{{job}}"),
        ),
        kit.lines(
            "Pushed off the CPU",
            "Involuntary context switches: another process took over. High on a busy machine: too little CPU.",
            "ops",
            kit.promql(
                "sum by (job) "
                f'(rate(process_context_switches_total{{{OF_SERVICE}, type="involuntary"}}[$__rate_interval]))',
                "{{job}}",
            ),
        ),
        kit.lines(
            "Garbage collections",
            "Of all generations. Far more than usual? Something makes many objects.",
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
            "Processes that report; one that ended counts for five more minutes. Up and down? They restart: see Logs.",
            "none",
            kit.promql(f"count by (job) (process_thread_count{{{OF_SERVICE}}})", "{{job}}"),
        ),
        kit.lines(
            "Threads",
            "Of all workers: THREADS each for requests, and a few for telemetry and background tasks.",
            "none",
            kit.promql(f"sum by (job) (process_thread_count{{{OF_SERVICE}}})", "{{job}}"),
        ),
        kit.lines(
            "Requests in progress",
            "Each occupies a thread. As many as workers x THREADS? Others queue: add threads or find what hangs.",
            "none",
            kit.promql(f"sum by (job) (http_server_active_requests{{{OF_SERVICE}}})", "{{job}}"),
        ),
        kit.lines(
            "Open files",
            "File descriptors, sockets among them. Grows without an end? Connections are not closed.",
            "none",
            kit.promql(f"sum by (job) (process_open_file_descriptor_count{{{OF_SERVICE}}})", "{{job}}"),
        ),
    ]


def pool_and_cache() -> list[kit.Panel]:
    """What requests wait for inside a process."""
    return [
        kit.lines(
            "Connections to databases",
            "In use and idle. None idle for long? Requests wait for one: look for slow statements in a trace.",
            "none",
            kit.promql(f"sum by (job, state) (db_client_connections_usage{{{OF_SERVICE}}})", "{{job}} {{state}}"),
        ),
        kit.lines(
            "Cache hit ratio",
            "Share of reads that it answered. Orders lower it: each drops what it changed. All unavailable? No Valkey.",
            "percentunit",
            kit.promql(
                '(sum(rate(cache_operations_total{cache_result="hit"}[$__rate_interval])) or vector(0))'
                " / sum(rate(cache_operations_total[$__rate_interval]))",
                "hits",
            ),
            top=1,
        ),
        kit.lines(
            "Reads from the cache",
            "By result. A miss costs a query; unavailable means that the service goes on without a cache.",
            "ops",
            kit.promql("sum by (cache_result) (rate(cache_operations_total[$__rate_interval]))", "{{cache_result}}"),
            stacked=True,
        ),
    ]
