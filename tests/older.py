"""Stores of older schemas, made from one of today by undoing what each migration did."""

import sqlite3
from contextlib import closing
from pathlib import Path

from feedsync.store.database import SCHEMA

_UNDO = {
    11: "ALTER TABLE terms DROP COLUMN digest;",
    10: """DROP INDEX ix_articles_shown;
        CREATE TABLE former (
            term_id INTEGER NOT NULL REFERENCES terms (id), article_id INTEGER NOT NULL REFERENCES articles (id),
            published_us BIGINT NOT NULL, arrived_us BIGINT NOT NULL, role VARCHAR(8) NOT NULL, label TEXT NOT NULL,
            revised_us BIGINT, PRIMARY KEY (term_id, article_id)
        ) WITHOUT ROWID;
        INSERT INTO former SELECT term_id, article_id, published_us, arrived_us, role, label, revised_us
            FROM memberships;
        DROP TABLE memberships; ALTER TABLE former RENAME TO memberships;
        CREATE INDEX ix_memberships_published ON memberships (term_id, published_us DESC, article_id);
        CREATE INDEX ix_memberships_arrived
            ON memberships (term_id, arrived_us DESC, published_us DESC, article_id);
        CREATE INDEX ix_memberships_revised ON memberships (term_id, revised_us DESC, article_id)
            WHERE revised_us IS NOT NULL;""",
    9: """DROP TRIGGER count_files_more; DROP TRIGGER count_files_fewer;
        DROP TRIGGER count_documents_more; DROP TRIGGER count_documents_fewer;
        DROP TRIGGER count_revisions_more; DROP TRIGGER count_revisions_fewer;
        ALTER TABLE sources DROP COLUMN files; ALTER TABLE sources DROP COLUMN documents;
        DELETE FROM state WHERE name = 'revisions';""",
    8: "DROP INDEX ix_articles_held; DROP INDEX ix_articles_withdrawn;",
    7: "DROP TABLE custom_feeds;",
    6: """DROP INDEX ix_terms_due; DROP INDEX ix_terms_changed; DROP INDEX ix_terms_largest;
        DELETE FROM memberships WHERE term_id IN (SELECT id FROM terms WHERE scheme IN ('outlet', 'tag'));
        DELETE FROM tombstones WHERE term_id IN (SELECT id FROM terms WHERE scheme IN ('outlet', 'tag'));
        DELETE FROM terms WHERE scheme IN ('outlet', 'tag');
        UPDATE terms SET changed_seq = 0, published_seq = -1 WHERE scheme = 'symbol';""",
    5: """DROP TABLE tombstones; DROP TABLE withdrawals; DROP INDEX ix_memberships_revised;
        ALTER TABLE memberships DROP COLUMN revised_us;
        ALTER TABLE articles DROP COLUMN withdrawn_us; ALTER TABLE articles DROP COLUMN reason;""",
    4: "DROP TABLE search_index; DROP TABLE search_numbers; DELETE FROM state WHERE name = 'search_seq';",
}


def make_older(path: Path, schema: int) -> None:
    """Give a database, which nobody has open, the schema of before."""
    assert set(range(schema + 1, SCHEMA + 1)) <= _UNDO.keys(), "say here what the newest migration did"
    steps = "".join(_UNDO[version] for version in range(SCHEMA, schema, -1))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"{steps} UPDATE alembic_version SET version_num = '{schema:04d}'; PRAGMA user_version = {schema}"
        )
