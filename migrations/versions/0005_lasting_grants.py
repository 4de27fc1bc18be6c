"""Where a grant came from, so that people know an application that stays signed in.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("grants", sa.Column("ip", sa.String(), nullable=True))
    op.add_column("grants", sa.Column("user_agent", sa.String(), nullable=True))
