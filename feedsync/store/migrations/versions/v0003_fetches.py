"""What fetching has to remember of URLs and hosts; where articles joined or left a category since it was published."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, kind in (("failures", sa.Integer()), ("requests", sa.BigInteger()), ("bytes", sa.BigInteger())):
        op.add_column("sources", sa.Column(name, kind, nullable=False, server_default="0"))
    op.create_table(
        "fetches",
        sa.Column("source_id", sa.Integer(), sa.ForeignKey("sources.id", name="fk_fetches_source_id_sources")),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("last_modified", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.Column("fetched_us", sa.BigInteger()),
        sa.Column("due_us", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("fault", sa.Text()),
        sa.PrimaryKeyConstraint("source_id", "location", name="pk_fetches"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "hosts",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("robots", sa.Text()),
        sa.Column("robots_until_us", sa.BigInteger()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("due_us", sa.BigInteger()),
        sa.PrimaryKeyConstraint("origin", name="pk_hosts"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_articles_without_text",
        "articles",
        ["id"],
        sqlite_where=sa.text("body = x'e3b0c44298fc1c149afbf4c8996fb924'"),
    )
    op.create_table(
        "shifts",
        sa.Column("term_id", sa.Integer(), nullable=False),
        sa.Column("published_us", sa.BigInteger(), nullable=False),
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["term_id"], ["terms.id"], name=op.f("fk_shifts_term_id")),
        sa.PrimaryKeyConstraint("term_id", "published_us", "article_id", name=op.f("pk_shifts")),
        sqlite_with_rowid=False,
    )
