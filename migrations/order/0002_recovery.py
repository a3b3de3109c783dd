"""Lanes of recovery for orders and for notifications, dead letters, idempotency keys that are a customer's own."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STEPS = ("validate_inventory", "charge_payment", "send_notification", "refund_payment", "release_inventory")
PARTIAL = {
    "ix_orders_to_settle": ("drive_after", sa.text("drive_after IS NOT NULL AND status <> 'CONFIRMED'")),
    "ix_orders_to_notify": ("drive_after", sa.text("drive_after IS NOT NULL AND status = 'CONFIRMED'")),
    "ix_orders_dead_letters": ("dead_letter_step", sa.text("dead_letter_step IS NOT NULL")),
}


def upgrade() -> None:
    """Go to this revision."""
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.add_column(sa.Column("bad_answers", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(
            sa.Column(
                "dead_letter_step",
                sa.Enum(*STEPS, name="step", native_enum=False, length=32),
                nullable=True,
            )
        )
        batch_op.add_column(sa.Column("dead_letter_reason", sa.String(length=200), nullable=True))
        batch_op.drop_constraint("uq_orders_idempotency_key", type_="unique")
        batch_op.create_unique_constraint("uq_orders_customer_id_idempotency_key", ["customer_id", "idempotency_key"])
        batch_op.drop_index("ix_orders_drive_after")
    for name, (column, where) in PARTIAL.items():
        op.create_index(name, "orders", [column], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Go back: dead letters are tried again, and a key that two customers used stays with the older order."""
    for name in PARTIAL:
        op.drop_index(name, table_name="orders")
    op.execute("UPDATE orders SET drive_after = updated_at WHERE dead_letter_step IS NOT NULL")
    op.execute(
        "UPDATE orders SET idempotency_key = CAST(id AS VARCHAR(128)) WHERE EXISTS (SELECT 1 FROM orders AS older "
        "WHERE older.idempotency_key = orders.idempotency_key "
        "AND (older.created_at, older.id) < (orders.created_at, orders.id))"
    )
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.drop_constraint("uq_orders_customer_id_idempotency_key", type_="unique")
        batch_op.create_unique_constraint("uq_orders_idempotency_key", ["idempotency_key"])
        batch_op.drop_column("dead_letter_reason")
        batch_op.drop_column("dead_letter_step")
        batch_op.drop_column("bad_answers")
        batch_op.create_index("ix_orders_drive_after", ["drive_after"], unique=False)
