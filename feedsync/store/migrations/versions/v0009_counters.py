"""How many files, documents and revisions there are, kept by the database and no longer counted when asked."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TRIGGERS = (
    "CREATE TRIGGER count_files_more AFTER INSERT ON files BEGIN "
    "UPDATE sources SET files = files + 1 WHERE id = NEW.source_id; END",
    "CREATE TRIGGER count_files_fewer AFTER DELETE ON files BEGIN "
    "UPDATE sources SET files = files - 1 WHERE id = OLD.source_id; END",
    "CREATE TRIGGER count_documents_more AFTER INSERT ON documents BEGIN "
    "UPDATE sources SET documents = documents + 1 WHERE id = NEW.source_id; END",
    "CREATE TRIGGER count_documents_fewer AFTER DELETE ON documents BEGIN "
    "UPDATE sources SET documents = documents - 1 WHERE id = OLD.source_id; END",
    "CREATE TRIGGER count_revisions_more AFTER INSERT ON revisions BEGIN "
    "INSERT INTO state VALUES ('revisions', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1; END",
    "CREATE TRIGGER count_revisions_fewer AFTER DELETE ON revisions BEGIN "
    "UPDATE state SET value = value - 1 WHERE name = 'revisions'; END",
)


# One walk through each table: the keys of documents do not begin with the source.
_COUNTED = (
    "UPDATE sources SET files = counted.many FROM (SELECT source_id, count(*) AS many FROM files GROUP BY source_id) "
    "AS counted WHERE counted.source_id = id",
    "UPDATE sources SET documents = counted.many FROM (SELECT source_id, count(*) AS many FROM documents "
    "GROUP BY source_id) AS counted WHERE counted.source_id = id",
    "INSERT INTO state SELECT 'revisions', count(*) FROM revisions",
)


def upgrade() -> None:
    for table in ("files", "documents"):
        op.add_column("sources", sa.Column(table, sa.Integer(), nullable=False, server_default="0"))
    for statement in (*_COUNTED, *_TRIGGERS):
        op.execute(statement)
