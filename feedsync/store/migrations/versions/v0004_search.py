"""Full-text search. The index is filled little by little afterwards; what it does not hold yet is looked at without it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "search_numbers",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "article_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.ForeignKey("articles.id", name="fk_search_numbers_article_id_articles"),
            nullable=False,
        ),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_search_numbers"),
        sa.UniqueConstraint("article_id", name="uq_search_numbers_article_id"),
    )
    op.execute(
        "CREATE VIRTUAL TABLE search_index USING fts5(tokens, content='', columnsize=0, detail=none, tokenize='ascii')"
    )
    op.execute("INSERT INTO search_index (search_index, rank) VALUES ('hashsize', 16777216)")
