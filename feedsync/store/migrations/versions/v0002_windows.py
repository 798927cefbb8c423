"""Indexes that answer a feed's window without reading the whole feed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_memberships_arrived",
        "memberships",
        [
            "term_id",
            sa.literal_column("arrived_us DESC"),
            sa.literal_column("published_us DESC"),
            "article_id",
        ],
        unique=False,
    )
    op.create_index(
        "ix_memberships_published",
        "memberships",
        ["term_id", sa.literal_column("published_us DESC"), "article_id"],
        unique=False,
    )
