"""What few articles are, found without looking at the others."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_articles_held", "articles", ["id"], unique=False, sqlite_where=sa.text("held = 1"))
    withdrawn = sa.text("withdrawn_us IS NOT NULL")
    op.create_index("ix_articles_withdrawn", "articles", ["id"], unique=False, sqlite_where=withdrawn)
