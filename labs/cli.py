"""What the folder `labs` adds to the command."""

import typer

from labs.path import cli
from local.console import Commands


def add_to(app: typer.Typer) -> None:
    """Add `waybill lab path`."""
    lab = typer.Typer(cls=Commands, no_args_is_help=True, help="Learn on the running stack.")
    lab.add_typer(cli.app, name="path")
    app.add_typer(lab, name="lab")
