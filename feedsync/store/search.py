"""The search index: it names the articles worth looking at; `query.matches` decides about each.

Bigrams in an FTS5 table, of articles up to a point of the change sequence. Whatever changed after that point is looked
at without the index. So a search is exact at any moment, inside any transaction, without the index being written in
it, and what the index still holds of former versions does no harm. See docs/decisions/0016-search-index.md.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, assert_never

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DBAPIError

from feedsync.parse import text_of
from feedsync.query import And, Before, Field, Not, Or, Since, Text, matches, subject_of
from feedsync.store.codec import id_of_key, to_us
from feedsync.store.listed import among, rows_of
from feedsync.store.read import Reader
from feedsync.store.schema import articles, search_numbers, state, terms
from feedsync.text import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection

    from feedsync.model import Entry
    from feedsync.query import Expression, Subject

WORTHWHILE = 128
"""So few changed articles are looked at as fast as the index is searched, and indexed cheaply only in numbers."""

_POINT = "search_seq"
_CHUNK = 50
_STEPS = 10_000
_MAX_BIGRAMS = 16
_FIRST_US, _LAST_US = -(2**62), 2**62

_MARKER = "\ue000"
_PLAIN = {code: 0x2800 + code for code in range(128) if not chr(code).isalnum()}
"""FTS5's `ascii` tokenizer takes ASCII punctuation for ends of words; these stand in for it."""

_INDEXED = """
WITH hit (article_id) AS (
    SELECT n.article_id FROM search_index CROSS JOIN search_numbers AS n ON n.number = search_index.rowid
    WHERE search_index MATCH :match
    UNION
    SELECT id FROM articles WHERE seq >= :seq AND (seq > :seq OR id > :id)
)
SELECT a.id FROM hit CROSS JOIN articles AS a INDEXED BY ix_articles_shown ON a.id = hit.article_id
WHERE a.held = 0 AND a.withdrawn_us IS NULL AND a.published_us >= :since AND a.published_us < :before
ORDER BY a.published_us DESC, a.id
"""
_ALL = """
SELECT article_id FROM memberships
WHERE term_id = :everything AND published_us >= :since AND published_us < :before
ORDER BY published_us DESC, article_id
"""


class Index:
    """The index within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reader = Reader(connection)

    def matching(self, expression: Expression, stop: Callable[[], bool] = bool) -> Iterator[tuple[Entry, str]]:
        """The published articles a query means, with their text; newest first, ties by article id.

        The time it takes grows with the articles that have the words of the query, not with the store. A query
        without any (`-word`, `after:...`) goes through all of them until no more are asked for. Raises Stopped.
        """
        candidates = self._candidates(expression)
        while chunk := [article_id for (article_id,) in candidates.fetchmany(_CHUNK)]:
            for _, entry in self._reader.entries(chunk):
                if stop():
                    raise Stopped
                text = text_of(entry.html)
                if matches(expression, subject_of(entry.known, text)):
                    yield entry, text

    def pending(self, limit: int = -1) -> int:
        """How many articles changed since they were indexed, counted up to a limit."""
        seq, article_id = self._point()
        later = (articles.c.seq > seq) | ((articles.c.seq == seq) & (articles.c.id > article_id))
        some = select(articles.c.id).where(articles.c.seq >= seq, later, ~articles.c.held).limit(limit)
        return int(self._connection.execute(select(func.count()).select_from(some.subquery())).scalar() or 0)

    def catch_up(self, limit: int) -> int:
        """Index so many of the articles that changed, in the order in which they did; how many there were."""
        changed = self._reader.changed_entries(self._point(), limit)
        if not changed:
            return 0
        subjects = {
            id_of_key(entry.known.article.key): subject_of(entry.known, text_of(entry.html)) for _, entry in changed
        }
        digests = {article_id: _digest(subject) for article_id, subject in subjects.items()}
        known = search_numbers.c
        before = select(known.article_id, known.digest).where(among(known.article_id))
        for article_id, indexed in rows_of(self._connection, before, list(subjects)):
            if digests[article_id] == indexed:
                del subjects[article_id]
        # Numbers only grow: one that was ever used would bring former words back.
        first = 1 + int(self._connection.execute(select(func.max(known.number))).scalar() or 0)
        numbers = {article_id: first + offset for offset, article_id in enumerate(subjects)}
        if numbers:
            statement = upsert(search_numbers)
            self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["article_id"],
                    set_={"number": statement.excluded.number, "digest": statement.excluded.digest},
                ),
                [{"number": n, "article_id": i, "digest": digests[i]} for i, n in numbers.items()],
            )
            self._connection.exec_driver_sql(
                "INSERT INTO search_index (rowid, tokens) VALUES (?, ?)",
                [(number, " ".join(_tokens(subjects[article_id]))) for article_id, number in numbers.items()],
            )
        self._move(changed[-1][0])
        return len(changed)

    def clear(self) -> None:
        """Forget all; `catch_up` builds it anew."""
        self._connection.exec_driver_sql("INSERT INTO search_index (search_index) VALUES ('delete-all')")
        self._connection.execute(delete(search_numbers))
        self._connection.execute(delete(state).where(state.c.name == _POINT))

    def _candidates(self, expression: Expression) -> sqlite3.Cursor:
        """The ids of articles that may match: all that do, and others."""
        everything = self._connection.execute(select(terms.c.id).where(terms.c.scheme == "all")).scalar()
        since, before = _span(expression)
        seq, article_id = self._point()
        values = {"everything": everything, "since": since, "before": before}
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        if narrowed := _narrow(expression):
            return driver.execute(_INDEXED, {**values, "match": narrowed, "seq": seq, "id": article_id})
        return driver.execute(_ALL, values)

    def _point(self) -> tuple[int, int]:
        """The change sequence, and the article id among equals, up to which everything is indexed."""
        seq, article_id = (self._reader.state(_POINT) or "-1 0").split()
        return int(seq), int(article_id)

    def _move(self, point: tuple[int, int]) -> None:
        statement = upsert(state).values(name=_POINT, value=f"{point[0]} {point[1]}")
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=["name"], set_={"value": statement.excluded.value})
        )


class Stopped(Exception):
    """A search was told to stop."""


@contextmanager
def stoppable(connection: Connection, stop: Callable[[], bool]) -> Iterator[None]:
    """Whatever SQLite does meanwhile ends with Stopped soon after `stop` says so."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_progress_handler(lambda: int(stop()), _STEPS)
    try:
        yield
    except (sqlite3.OperationalError, DBAPIError) as error:
        if "interrupted" in str(error):
            raise Stopped from error
        raise
    finally:
        driver.set_progress_handler(None, 0)


def _narrow(expression: Expression) -> str | None:
    """An FTS5 expression that finds at least what a query means, None when that would be everything."""
    match expression:
        case Text(folded) if len(folded) == 1:
            return f'"{_word(folded)}" *'
        case Text(folded):
            return " AND ".join(f'"{bigram}"' for bigram in _spread(_bigrams(folded)))
        case Field(scheme, folded):
            return f'"{_value(scheme, folded)}"'
        case Since() | Before() | Not():
            return None
        case And(parts):
            narrowed = [found for part in parts if (found := _narrow(part))]
            return " AND ".join(f"({part})" for part in narrowed) or None
        case Or(parts):
            alternatives = [_narrow(part) for part in parts]
            return " OR ".join(f"({part})" for part in alternatives) if all(alternatives) else None
        case _:
            assert_never(expression)


def _span(expression: Expression) -> tuple[int, int]:
    """Within which times, in microseconds, everything lies that a query means."""
    match expression:
        case Since(at):
            return to_us(at), _LAST_US
        case Before(at):
            return _FIRST_US, to_us(at)
        case And(parts):
            spans = [(_FIRST_US, _LAST_US), *map(_span, parts)]
            return max(first for first, _ in spans), min(last for _, last in spans)
        case _:
            return _FIRST_US, _LAST_US


def _tokens(subject: Subject) -> set[str]:
    """Every pair of neighbours, the last character of each text, and a word for each value."""
    found = {_value(scheme, folded) for scheme, folded in subject.values}
    for folded in (subject.title, subject.text):
        word = _word(folded)
        found.update(map("".join, pairwise(word)))
        found.add(word[-1:])
    return found


def _bigrams(folded: str) -> list[str]:
    word = _word(folded)
    return [word[at : at + 2] for at in range(len(word) - 1)]


def _word(folded: str) -> str:
    return folded.translate(_PLAIN) if not folded.isalnum() else folded


def _value(scheme: str, folded: str) -> str:
    return _MARKER + digest(scheme, folded)[:8].hex()


def _spread(bigrams: list[str]) -> Iterable[str]:
    """So many that a query stays small, from all over a long phrase."""
    step = max(1, -(-len(bigrams) // _MAX_BIGRAMS))
    return dict.fromkeys(bigrams[::step])


def _digest(subject: Subject) -> bytes:
    return digest(subject.title, subject.text, *(part for pair in sorted(subject.values) for part in pair))
