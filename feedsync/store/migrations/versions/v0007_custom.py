"""Feeds of the configuration."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "custom_feeds",
        sa.Column("term_id", sa.Integer(), sa.ForeignKey("terms.id", name="fk_custom_feeds_term_id_terms")),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("term_id", name="pk_custom_feeds"),
    )
