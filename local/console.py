"""The two consoles of the commands, and how a command fails."""

import io
import json
import sys
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from waybill_explorer.client import ClientError, WrongQuery
from waybill_explorer.terminal import clean
from waybill_explorer.terminal_search import print_wrong_query

out = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print a value as JSON, for scripts."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


class Commands(TyperGroup):
    """Print a ClientError on stderr and exit with its status: 1, or 2 for a mistake in a query."""

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a terminal without Unicode gets `?` for a bar, not an error
                stream.reconfigure(errors="replace")
        try:
            return super().invoke(ctx)
        except WrongQuery as error:
            print_wrong_query(errors, "error: ", error)
            raise typer.Exit(error.exit_status) from error
        except ClientError as error:
            errors.print(Text().append("error: ", "bold red").append(clean(error)), soft_wrap=True)
            raise typer.Exit(1) from error
