"""Every grant and protection: issuers that are believed, secrets being rotated, bound refresh tokens.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "trusted_issuers",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("definition", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_trusted_issuers_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "issuer", name=op.f("pk_trusted_issuers")),
    )
    op.add_column("clients", sa.Column("former_secret_hash", sa.String(), nullable=True))
    op.add_column("clients", sa.Column("former_secret_sealed", sa.LargeBinary(), nullable=True))
    op.add_column(
        "clients", sa.Column("former_secret_expires_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("refresh_families", sa.Column("bound_to", sa.String(), nullable=True))
