"""Articles filed under outlets and tags, from what is stored of them; what is due of many terms is found at once."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# As `store.filing` does: every outlet, and the tags that are no outlets or channels in disguise.
_FILED = """
CREATE TEMP TABLE filed AS
WITH shown AS (
    SELECT id, published_us, arrived_us, CASE WHEN revised_us IS NOT NULL THEN max(revised_us, published_us) END
        AS revised_us, CAST(facts AS TEXT) AS facts
    FROM articles WHERE NOT held AND withdrawn_us IS NULL
)
SELECT 'outlet' AS scheme, json_extract(facts, '$.credit.outlet') AS value, id, published_us, arrived_us, revised_us
FROM shown WHERE json_extract(facts, '$.credit.outlet') IS NOT NULL
UNION ALL
SELECT 'tag', tag.value, shown.id, published_us, arrived_us, revised_us
FROM shown, json_each(facts, '$.tags') AS tag WHERE tag.value NOT LIKE '%新闻'
"""
_TERMS = """
INSERT INTO terms (id, scheme, value, label, articles, changed_seq, published_seq)
SELECT (SELECT coalesce(max(id), 0) FROM terms) + row_number() OVER (ORDER BY scheme, value), scheme, value, '',
    count(*), 0, -1
FROM filed GROUP BY scheme, value
"""
_MEMBERSHIPS = """
INSERT INTO memberships (term_id, article_id, published_us, arrived_us, role, label, revised_us)
SELECT t.id, f.id, f.published_us, f.arrived_us, '', '', f.revised_us
FROM filed AS f JOIN terms AS t ON t.scheme = f.scheme AND t.value = f.value
"""


def upgrade() -> None:
    for statement in (_FILED, _TERMS, _MEMBERSHIPS, "DROP TABLE temp.filed"):
        op.execute(statement)
    op.create_index(
        "ix_terms_due", "terms", ["scheme", "value"], unique=False, sqlite_where=sa.text("changed_seq > published_seq")
    )
    op.create_index("ix_terms_changed", "terms", ["scheme", "changed_seq"], unique=False)
    op.create_index("ix_terms_largest", "terms", ["scheme", sa.literal_column("articles DESC"), "value"], unique=False)
