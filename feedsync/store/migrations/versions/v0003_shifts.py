"""Where articles joined or left a category since its pages were published."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shifts",
        sa.Column("term_id", sa.Integer(), nullable=False),
        sa.Column("published_us", sa.BigInteger(), nullable=False),
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["term_id"], ["terms.id"], name=op.f("fk_shifts_term_id")),
        sa.PrimaryKeyConstraint("term_id", "published_us", "article_id", name=op.f("pk_shifts")),
        comment="places in categories joined or left since the category was published",
        sqlite_with_rowid=False,
    )
