"""Withdrawals, and the feeds that tell of them; when what stands in a feed was revised."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("articles", sa.Column("withdrawn_us", sa.BigInteger()))
    op.add_column("articles", sa.Column("reason", sa.Text()))
    op.create_table(
        "tombstones",
        sa.Column("term_id", sa.Integer(), sa.ForeignKey("terms.id", name="fk_tombstones_term_id_terms")),
        sa.Column("article_id", sa.Integer(), sa.ForeignKey("articles.id", name="fk_tombstones_article_id_articles")),
        sa.Column("withdrawn_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("term_id", "article_id", name="pk_tombstones"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tombstones_article_id", "tombstones", ["article_id"], unique=False)
    op.create_index(
        "ix_tombstones_withdrawn",
        "tombstones",
        ["term_id", sa.literal_column("withdrawn_us DESC"), "article_id"],
        unique=False,
    )
    op.add_column("memberships", sa.Column("revised_us", sa.BigInteger()))
    op.execute(
        "UPDATE memberships SET revised_us = (SELECT max(a.revised_us, a.published_us) FROM articles a WHERE a.id = "
        "article_id) WHERE article_id IN (SELECT id FROM articles WHERE revised_us IS NOT NULL)"
    )
    op.create_index(
        "ix_memberships_revised",
        "memberships",
        ["term_id", sa.literal_column("revised_us DESC"), "article_id"],
        unique=False,
        sqlite_where=sa.text("revised_us IS NOT NULL"),
    )
    op.create_table(
        "withdrawals",
        sa.Column("key", sa.String(80), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_withdrawals"),
        sqlite_with_rowid=False,
    )
