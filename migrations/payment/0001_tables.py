"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "charges",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("payment_token", sa.String(length=64), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "PENDING",
                "APPROVED",
                "DECLINED",
                "REFUNDED",
                "VOIDED",
                name="chargestatus",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_charges")),
    )
    op.create_table(
        "processor_entries",
        sa.Column("idempotency_key", sa.Uuid(), nullable=False),
        sa.Column(
            "kind", sa.Enum("CAPTURE", "REFUND", "VOID", name="entrykind", native_enum=False, length=32), nullable=False
        ),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("idempotency_key", "kind", name=op.f("pk_processor_entries")),
    )
    op.create_index(
        "uq_processor_entries_first",
        "processor_entries",
        ["idempotency_key"],
        unique=True,
        sqlite_where=sa.text("kind <> 'REFUND'"),
        postgresql_where=sa.text("kind <> 'REFUND'"),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_index("uq_processor_entries_first", table_name="processor_entries")
    op.drop_table("processor_entries")
    op.drop_table("charges")
