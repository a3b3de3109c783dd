<%!
    def code(operations):
        """Return the operations without Alembic's request to adjust them, which is no comment on the code."""
        return "\n".join(line for line in operations.splitlines() if "# ###" not in line).strip() or "pass"
%>\
"""${message[:1].upper() + message[1:].rstrip(".")}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Go to this revision."""
    ${code(upgrades or "")}


def downgrade() -> None:
    """Go back."""
    ${code(downgrades or "")}
