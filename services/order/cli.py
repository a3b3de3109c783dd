"""Commands for the person on call: `flask --app services.order dead-letters list | retry <order id> | retry --all`."""

import uuid

import click
from flask.cli import AppGroup

from app.database import read_session, write_session
from services.order.use_cases import list_dead_letters, retry_dead_letters

dead_letters = AppGroup("dead-letters", help="Orders with a step that can never succeed as things are.")


@dead_letters.command("list")
def list_command() -> None:
    """Print each dead letter: order, its status, the step and why it failed."""
    orders = list_dead_letters(read_session())
    for order in orders:
        click.echo(f"{order.id}  {order.status:<9}  {order.dead_letter_step:<17}  {order.dead_letter_reason}")
    click.echo(f"Dead letters: {len(orders)}", err=True)


@dead_letters.command("retry")
@click.argument("order_id", type=click.UUID, required=False)
@click.option("--all", "every", is_flag=True, help="Retry every dead letter.")
def retry_command(order_id: uuid.UUID | None, every: bool) -> None:
    """Have order-service try a dead letter again, within a second or so. Fix the cause first."""
    if (order_id is None) is not every:
        raise click.UsageError("Name one order, or use --all.")
    found = retry_dead_letters(write_session(), order_id)
    if order_id is not None and not found:
        raise click.ClickException(
            f"Order {order_id} is not a dead letter; `dead-letters list` prints those there are."
        )
    click.echo(f"Dead letters to be tried again: {found}. One that is refused again is in the list again.")
