"""`waybill fault` and `waybill lab`: what the folder `labs` adds to the command."""

import typer

from labs import fault_cli, lab_cli
from local.console import Commands


def add_to(app: typer.Typer) -> None:
    """Add the commands to `waybill`."""
    app.add_typer(fault_cli.app, name="fault", cls=Commands)
    app.add_typer(lab_cli.app, name="lab", cls=Commands)
