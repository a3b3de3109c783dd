"""Name the columns of the lease by the usual terms.

Stop order-service before this migration: a process of the version before knows only the old names.
Both databases carry a renamed column through to its indexes.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NAMES = {"driver": "lease_owner", "drive_after": "next_attempt_at", "bad_answers": "invalid_responses"}


def upgrade() -> None:
    """Rename the columns in place. SQLite would copy the table if this were a batch operation."""
    for old, new in NAMES.items():
        op.execute(f"ALTER TABLE orders RENAME COLUMN {old} TO {new}")


def downgrade() -> None:
    """Restore the old names."""
    for old, new in NAMES.items():
        op.execute(f"ALTER TABLE orders RENAME COLUMN {new} TO {old}")
