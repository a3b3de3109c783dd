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
        "notifications",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column(
            "template", sa.Enum("order_confirmed", name="template", native_enum=False, length=32), nullable=False
        ),
        sa.Column("customer_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("order_id", "template", name=op.f("pk_notifications")),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("notifications")
