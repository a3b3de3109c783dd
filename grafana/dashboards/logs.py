"""Logs: how many, of which level, and the lines themselves, down to those of one trace."""

from grafana_foundation_sdk.builders.dashboard import CustomVariable, TextBoxVariable
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboards import kit

STREAMS = '{service_name=~"$service"}'
# A prefix, so that an empty box lets every line through.
CHOSEN = f'{STREAMS} |= "$search" | severity_text=~"$level" | trace_id=~"$trace_id.*"'
TROUBLE = f'{STREAMS} | severity_text=~"WARN|ERROR|CRITICAL"'


def dashboard() -> Dashboard:
    """Return the dashboard. Its variables filter the lines; links from exemplars and from Jaeger set the trace."""
    level = CustomVariable("level").label("Level").values("CRITICAL,ERROR,WARN,INFO,DEBUG")
    return kit.dashboard(
        "logs",
        "Logs",
        "Log lines of all services. Open one for its fields and the links to its trace.",
        {"How many": volume(), "Lines": [chosen()], "Trouble": [trouble()]},
        (
            kit.services_of(kit.LOKI, {"type": 1, "label": "service_name", "stream": "", "refId": "service"}),
            level.multi(True).include_all(True).all_value(kit.ALL).current(kit.EVERYTHING),
            TextBoxVariable("search").label("Contains").default_value(""),
            TextBoxVariable("trace_id").label("Trace").default_value(""),
        ),
    )


def volume() -> list[kit.Panel]:
    """Of all lines, whatever the boxes say beside the service."""
    return [
        kit.number(
            "Errors",
            "Lines of level ERROR and above in the selected time. Any? See the end of this page.",
            "none",
            kit.logql_now(f'sum(count_over_time({STREAMS} | severity_text=~"ERROR|CRITICAL" [$__range])) or vector(0)'),
            {0: "green", 1: "red"},
        ),
        kit.lines(
            "By level",
            "Lines per second. More WARN or ERROR is the first sign of trouble.",
            "ops",
            kit.logql(f"sum by (severity_text) (rate({STREAMS} [$__auto]))", "{{severity_text}}"),
            stacked=True,
        ),
        kit.lines(
            "By service",
            "Lines per second. A silent service gets no requests or is not running.",
            "ops",
            kit.logql(f"sum by (service_name) (rate({STREAMS} [$__auto]))", "{{service_name}}"),
            stacked=True,
        ),
    ]


def chosen() -> kit.Panel:
    """Return the lines that match the variables."""
    return kit.log_lines(
        "Lines, newest first",
        "Filter with the fields above: service, level, text, trace id.",
        CHOSEN,
    )


def trouble() -> kit.Panel:
    """Return the lines worth reading without a search."""
    return kit.log_lines(
        "Warnings and errors",
        "WARN is a refused order or a repeated attempt; ERROR is a bug or an unavailable dependency.",
        TROUBLE,
    )
