"""What the store says of itself, held against its rows."""

import sqlite3
from collections.abc import Iterator

_SINCE = 9
"""The schema that brought them."""

_TRUE = {
    "files": "SELECT name, files, (SELECT count(*) FROM files WHERE source_id = id) FROM sources",
    "documents": "SELECT name, documents, (SELECT count(*) FROM documents WHERE source_id = id) FROM sources",
    "revisions": "SELECT 'all', coalesce((SELECT CAST(value AS INTEGER) FROM state WHERE name = 'revisions'), 0), "
    "(SELECT count(*) FROM revisions)",
    "articles": "SELECT scheme || ' ' || value, articles, (SELECT count(*) FROM memberships WHERE term_id = id) FROM terms",
    "articles shown": "SELECT 'all', (SELECT count(*) FROM articles WHERE held = 0 AND withdrawn_us IS NULL), "
    "coalesce((SELECT articles FROM terms WHERE scheme = 'all'), 0)",
    "places elsewhere than their articles": "SELECT 'all', 0, (SELECT count(*) FROM memberships AS m LEFT JOIN articles "
    "AS a ON a.id = m.article_id AND a.published_us = m.published_us AND a.held = 0 AND a.withdrawn_us IS NULL "
    "WHERE a.id IS NULL)",
}


def miscounted(connection: sqlite3.Connection) -> Iterator[str]:
    """Every counter that says something else than counting does; an older store has none."""
    if connection.execute("PRAGMA user_version").fetchone()[0] < _SINCE:
        return
    for what, statement in _TRUE.items():
        for of, said, counted in connection.execute(statement):
            if said != counted:
                yield f"{what} of {of}: {said} by the counter, {counted} by counting"
