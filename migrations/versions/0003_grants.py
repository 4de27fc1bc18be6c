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
    op.create_table(
        "authorization_details_types",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("resource", sa.String(), nullable=True),
        sa.Column("schema", JSON, nullable=False),
        sa.Column("words", JSON, nullable=False),
        sa.Column("always_ask", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_authorization_details_types_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "type", name=op.f("pk_authorization_details_types")),
    )
    op.add_column(
        "consents", sa.Column("authorization_details", JSON, nullable=False, server_default=sa.text("'[]'"))
    )
    op.add_column("clients", sa.Column("former_secret_hash", sa.String(), nullable=True))
    op.add_column("clients", sa.Column("former_secret_sealed", sa.LargeBinary(), nullable=True))
    op.add_column("clients", sa.Column("former_secret_expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("refresh_families", sa.Column("bound_to", sa.String(), nullable=True))
