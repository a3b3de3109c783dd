"""`waybill-explorer`: take the OpenTelemetry data of any app, keep it and show it."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from waybill_explorer import client, comparison_report, instructions, score_report, terminal, terminal_search
from waybill_explorer.client import ClientError, TraceApi, WrongQuery
from waybill_explorer.settings import HOST, Settings
from waybill_explorer.transfer.client import export_traces, import_file

OPTIONS = {
    "--port": ("traces_port", int, "the page and the read API"),
    "--http-port": ("otlp_http_port", int, "OTLP over HTTP"),
    "--grpc-port": ("otlp_grpc_port", int, "OTLP over gRPC"),
    "--data": ("waybill_data", Path, "the folder of the data"),
}
"""Each option, the setting that it overrides, its type, and what it is."""
SHOWN_TRACES = 10
"""Links that are printed for an imported file."""


@dataclass(frozen=True)
class SearchCommand:
    """A command that searches: what prints it, what it is for, and examples of its query and options."""

    show: Callable[..., None]
    help: str
    examples: tuple[str, ...]
    limit: int = 20


SEARCHES = {
    "traces": SearchCommand(
        terminal_search.traces,
        "print the newest traces that fit a query",
        ("'service:order duration>500ms'", "'status:error -declined' --since 10m --json"),
    ),
    "logs": SearchCommand(
        terminal_search.logs,
        "print the newest log lines that fit a query",
        ("'level>=warn declined' --since 2h", "'service=order-service -exists:trace'"),
        limit=100,
    ),
    "errors": SearchCommand(
        terminal_search.errors,
        "count the failures of each service and print what they say",
        ("--since 15m", "'order.region=ap' --since 15m"),
    ),
    "tail": SearchCommand(
        terminal_search.tail, "print log lines as they arrive, until Ctrl-C", ("", "'level>=warn service:payment'")
    ),
}


def main() -> None:
    """Run the command that the arguments name; without one, serve until Ctrl-C."""
    arguments = _parser().parse_args()
    try:
        settings = read_settings(**{name: getattr(arguments, name) for name, _, _ in OPTIONS.values()})
        if arguments.command == "trace":
            url = arguments.url or settings.page_url
            print_trace(url, arguments.trace_id, everything=arguments.all, as_json=arguments.json)
        elif arguments.command == "import":
            sys.exit(import_files(_api(arguments, settings), arguments.files))
        elif arguments.command == "export":
            for line in export_traces(_api(arguments, settings), arguments.trace_ids):
                print(line)  # noqa: T201
        elif arguments.command == "score":
            sys.exit(print_score(_api(arguments, settings), arguments))
        elif arguments.command == "compare":
            print_comparison(_api(arguments, settings), arguments)
        elif arguments.command == "mcp":
            serve_mcp(_api(arguments, settings))
        elif arguments.command in SEARCHES:
            print_found(_api(arguments, settings), arguments)
        else:
            serve(settings)
    except WrongQuery as error:
        terminal_search.print_wrong_query(Console(stderr=True, highlight=False), "waybill-explorer: ", error)
        sys.exit(error.exit_status)
    except ClientError as error:
        sys.exit(f"waybill-explorer: {error}")


def read_settings(**given: Any) -> Settings:
    """Return the settings, with what the command line gives. Raise a ClientError that names the variable."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise ClientError(f"{'.'.join(map(str, first['loc'])).upper()}: {first['msg']}") from error


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    from waybill_explorer import server  # takes a second to import, which the other commands need not wait for

    logging.basicConfig(level=logging.INFO, format="waybill-explorer: %(message)s", stream=sys.stderr)
    server.run(settings, lambda: print(welcome(settings), flush=True))  # noqa: T201


def welcome(settings: Settings) -> str:
    """Return what a person reads first: the addresses, and how to send telemetry to them."""
    return (
        f"Page       {settings.page_url}/\n"
        f"OTLP/HTTP  {settings.otlp_url}\n"
        f"OTLP/gRPC  http://{HOST}:{settings.otlp_grpc_port}\n"
        f"Data       {settings.waybill_data}\n\n"
        f"{instructions.as_text(settings.otlp_url)}\n\n"
        "Press Ctrl-C to stop."
    )


def print_trace(url: str, trace_id: str, *, everything: bool, as_json: bool) -> None:
    """Print a trace and its logs as a waterfall, or as JSON. Raise ClientError if it cannot be read."""
    api = TraceApi(url.rstrip("/"))
    trace_id = client.valid_trace_id(trace_id)
    fetched = api.find(trace_id)
    if as_json:
        print(json.dumps({"trace_id": trace_id, **client.as_json(fetched)}, indent=2, ensure_ascii=False))  # noqa: T201
    else:
        terminal.print_trace(Console(highlight=False), fetched, api.link(trace_id), everything=everything)


def serve_mcp(api: TraceApi) -> None:
    """Serve coding assistants on stdin and stdout until they close it. Raise ClientError without the extra."""
    try:
        from waybill_explorer.mcp_server import mcp_server
    except ModuleNotFoundError as error:
        if error.name != "mcp":
            raise
        raise ClientError("`mcp` is not installed: install waybill-explorer[mcp]") from error
    mcp_server(api).run()


def print_found(api: TraceApi, arguments: argparse.Namespace) -> None:
    """Print what a search finds. Raise ClientError."""
    console, query = Console(highlight=False), " ".join(arguments.query)
    if arguments.command == "tail":
        terminal_search.tail(console, api, query, as_json=arguments.json)
    else:
        search = terminal_search.Search(query, arguments.since, arguments.limit)
        SEARCHES[arguments.command].show(console, api, search, as_json=arguments.json)


def print_score(api: TraceApi, arguments: argparse.Namespace) -> int:
    """Print the score of each service, as a report or as JSON; return the exit status."""
    report = score_report.fetch(api, service=arguments.service, since=arguments.since, limit=arguments.limit)
    if arguments.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))  # noqa: T201
    else:
        score_report.print_report(Console(highlight=False), report, api.link)
    return 0 if score_report.is_enough(report, arguments.min) else 1


def _api(arguments: argparse.Namespace, settings: Settings) -> TraceApi:
    return TraceApi((arguments.url or settings.page_url).rstrip("/"))


def import_files(api: TraceApi, files: Sequence[Path]) -> int:
    """Import files and print what came of each; return the exit status, 1 if anything of them was not stored."""
    console = Console(stderr=True, highlight=False, markup=False)
    return max([_print_import(api, console, path) for path in files], default=0)


def _print_import(api: TraceApi, console: Console, path: Path) -> int:
    with console.status(f"{path.name} ...") as shown:
        found = import_file(api, path, lambda done: shown.update(f"{path.name} {done:.0%}"))
    print(f"{path.name}: {found['summary']}")  # noqa: T201
    for trace in found["traces"][:SHOWN_TRACES]:
        print(f"  {api.link(trace['traceID'])}")  # noqa: T201
    for problem in found["problems"]:
        console.print(f"  {problem}")
    return int(bool(found["problems"]))


def print_comparison(api: TraceApi, arguments: argparse.Namespace) -> None:
    """Print two traces, or two groups of traces, side by side or as JSON. Raise ClientError."""
    compared = comparison_report.fetch(api, arguments.a, arguments.b, arguments.since)
    if arguments.json:
        print(json.dumps(compared, indent=2, ensure_ascii=False))  # noqa: T201
    else:
        comparison_report.print_report(Console(highlight=False), compared, arguments.a, arguments.b, api)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="waybill-explorer",
        description="Take the OpenTelemetry data of any app, keep it in one file and show it, until Ctrl-C.",
        epilog="Each option has an environment variable; the README lists them.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('waybill-explorer')}")
    fields = Settings.model_fields
    for option, (name, kind, what) in OPTIONS.items():
        parser.add_argument(
            option,
            dest=name,
            type=kind,
            metavar="FOLDER" if kind is Path else "PORT",
            help=f"{what} ({name.upper()}; default {fields[name].default})",
        )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    trace = commands.add_parser("trace", help="print a trace of a running explorer, or of a Jaeger, as a waterfall")
    trace.add_argument("trace_id", metavar="ID", help="32 hex digits")
    trace.add_argument("--url", help="base URL of the read API (default: TRACES_PORT on this machine)")
    trace.add_argument("--all", action="store_true", help="print every span")
    trace.add_argument("--json", action="store_true", help="print JSON, for scripts")
    take = commands.add_parser(
        "import", help="store files in a running explorer: OTLP/JSON, the Collector's file exporter, Jaeger's JSON"
    )
    take.add_argument("files", metavar="FILE", type=Path, nargs="+", help="plain or in gzip")
    take.add_argument("--url", help="base URL of the read API (default: TRACES_PORT on this machine)")
    export = commands.add_parser("export", help="print traces of a running explorer with their logs as OTLP/JSON")
    export.add_argument("trace_ids", metavar="ID", nargs="+", help="32 hex digits")
    export.add_argument("--url", help="base URL of the read API (default: TRACES_PORT on this machine)")
    score = commands.add_parser("score", help="print the Instrumentation Score of each service of a running explorer")
    score.add_argument("--url", help="base URL of the read API (default: TRACES_PORT on this machine)")
    score.add_argument("--service", default="", help="this service alone")
    score.add_argument("--since", default="30d", metavar="DURATION", help="how far back: 10m, 2h, 7d (default: 30d)")
    score.add_argument(
        "--limit", type=int, default=score_report.DEFAULT_LIMIT, metavar="TRACES", help="traces to read, the newest"
    )
    score.add_argument("--min", type=float, metavar="SCORE", help="exit with status 1 if a service scores less")
    score.add_argument("--json", action="store_true", help="print JSON, for scripts")
    compare = commands.add_parser("compare", help="print two traces, or two groups of traces, side by side")
    compare.add_argument("a", metavar="A", help="a trace id, or a query such as service.version=0.1")
    compare.add_argument("b", metavar="B", help="another trace id, or another query")
    compare.add_argument("--url", help="base URL of the read API (default: TRACES_PORT on this machine)")
    compare.add_argument("--since", default="1h", metavar="DURATION", help="how far back queries look: 10m, 2h, 7d")
    compare.add_argument("--json", action="store_true", help="print JSON, for scripts")
    assistants = commands.add_parser("mcp", help="serve coding assistants on stdio (Model Context Protocol)")
    assistants.add_argument("--url", help="base URL of the read API (default: TRACES_PORT on this machine)")
    for name, one in SEARCHES.items():
        _add_search(commands, name, one)
    return parser


def _add_search(commands: Any, name: str, search: SearchCommand) -> None:
    one = commands.add_parser(
        name,
        help=search.help,
        description=f"{search.help[0].upper()}{search.help[1:]}.",
        epilog="Examples:\n" + "\n".join(f"  waybill-explorer {name} {each}" for each in search.examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("query", nargs="*", metavar="QUERY", help="in quotes; the README explains the language")
    one.add_argument("--url", help="base URL of the read API (default: TRACES_PORT on this machine)")
    if name != "tail":
        one.add_argument("--since", default="1h", metavar="DURATION", help="how far back: 10m, 2h, 7d (default: 1h)")
        one.add_argument("--limit", type=int, default=search.limit, metavar="N", help="how many (default: %(default)s)")
    one.add_argument("--json", action="store_true", help="print JSON, for scripts")


if __name__ == "__main__":
    main()
