"""Commands for the person on call: `flask --app services.order dead-letters list | retry <order id> | retry --all`."""

import uuid

import click
from flask.cli import AppGroup

from app.database import read_session, write_session
from services.order.recovery import list_dead_letters, retry_dead_letters

dead_letters = AppGroup("dead-letters", help="Orders with a step that cannot succeed until a person fixes the cause.")


@dead_letters.command("list")
def list_command() -> None:
    """Print each dead letter: the order, its status, the step that failed and why."""
    orders = list_dead_letters(read_session())
    for order in orders:
        click.echo(f"{order.id}  {order.status:<9}  {order.dead_letter_step:<17}  {order.dead_letter_reason}")
    click.echo(f"Dead letters: {len(orders)}", err=True)


@dead_letters.command("retry")
@click.argument("order_id", type=click.UUID, required=False)
@click.option("--all", "every", is_flag=True, help="Retry every dead letter.")
def retry_command(order_id: uuid.UUID | None, every: bool) -> None:
    """Retry a dead letter: order-service attempts it within about a second. Fix the cause first."""
    if (order_id is None) is not every:
        raise click.UsageError("No order given. Give the id of one dead letter, or --all for all of them.")
    found = retry_dead_letters(write_session(), order_id)
    if order_id is not None and not found:
        raise click.ClickException(
            f"Order {order_id} is not a dead letter. Run `dead-letters list` to see all dead letters."
        )
    click.echo(f"Dead letters to retry: {found}. One that is refused again returns to the list.")
