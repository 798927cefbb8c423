"""What stands in a feed is kept in the order of the feed, and no longer by article with an index of that order."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ORDERED = """
CREATE TABLE ordered (
    term_id INTEGER NOT NULL,
    published_us BIGINT NOT NULL,
    article_id INTEGER NOT NULL,
    arrived_us BIGINT NOT NULL,
    role VARCHAR(8) NOT NULL,
    label TEXT NOT NULL,
    revised_us BIGINT,
    CONSTRAINT pk_memberships PRIMARY KEY (term_id, published_us DESC, article_id),
    CONSTRAINT fk_memberships_term_id FOREIGN KEY(term_id) REFERENCES terms (id),
    CONSTRAINT fk_memberships_article_id FOREIGN KEY(article_id) REFERENCES articles (id)
) WITHOUT ROWID
"""
_FILLED = """
INSERT INTO ordered SELECT term_id, published_us, article_id, arrived_us, role, label, revised_us FROM memberships
ORDER BY term_id, published_us DESC, article_id
"""
_ARRIVED = """
CREATE INDEX ix_memberships_arrived ON memberships (term_id, arrived_us DESC, published_us DESC, article_id)
"""
_REVISED = """
CREATE INDEX ix_memberships_revised ON memberships (term_id, revised_us DESC, article_id) WHERE revised_us IS NOT NULL
"""


def upgrade() -> None:
    for statement in (_ORDERED, _FILLED, "DROP TABLE memberships", "ALTER TABLE ordered RENAME TO memberships"):
        op.execute(statement)
    op.execute(_ARRIVED)
    op.execute(_REVISED)
    shown = sa.text("held = 0 AND withdrawn_us IS NULL")
    op.create_index("ix_articles_shown", "articles", ["id", "published_us"], sqlite_where=shown)
