"""Reading: what is known of articles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, func, select

from feedsync.model import ALL, Entry, Known, Origin, Withdrawal, Word
from feedsync.store.codec import decode, from_us, id_of_key, to_us
from feedsync.store.listed import among, rows_of
from feedsync.store.places import Places
from feedsync.store.schema import (
    HELD,
    WITHDRAWN,
    aliases,
    articles,
    bodies,
    documents,
    fetches,
    memberships,
    quarantine,
    revisions,
    sources,
    state,
    terms,
    tombstones,
    withdrawals,
)
from feedsync.store.sources import Sources
from feedsync.store.terms import Terms
from feedsync.store.windows import Windows
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import BindParameter, Connection, Row, Select

    from feedsync.model import Article

_FEW = 100
"""Entries that are in memory at once, for a text may be large."""

_SHOWN = ~articles.c.held & articles.c.withdrawn_us.is_(None)


class Revision(Struct, frozen=True):
    """A meaning an article has had, and since when; `html` where it was asked for."""

    at: datetime
    title: str
    digest: bytes = b""
    html: str = ""


class Stamp(Struct, frozen=True):
    """What an entry is drawn from: the sequence of an article's last change, and when its meaning last changed."""

    seq: int
    updated: datetime


class Tombstone(Struct, frozen=True):
    """An article that stood in a feed and was withdrawn."""

    key: str
    at: datetime
    reason: str


class Reader(Places, Sources, Terms, Windows):
    """Queries within one transaction, so that all of them see the same state."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def state(self, name: str) -> str | None:
        return self.connection.execute(_STATE, {"name": name}).scalar()

    def known(self, keys: Sequence[str]) -> dict[str, Known]:
        """The articles of these keys that exist, with what each of their documents says."""
        rows = rows_of(self.connection, _HEADS, map(id_of_key, keys))
        said: dict[int, dict[Origin, bytes]] = {}
        for article_id, name, location, facts in rows_of(self.connection, _SAID, (row.id for row in rows)):
            said.setdefault(article_id, {})[Origin(name, location)] = facts
        return {
            row.key: _known(row, {origin: decode(facts) for origin, facts in said.get(row.id, {}).items()})
            for row in rows
        }

    def words(self, keys: Sequence[str]) -> dict[str, Word]:
        """The operator's last words on these articles, whether they exist or not."""
        rows = rows_of(self.connection, _WORDS, keys)
        return {row.key: Word(row.withdrawn, from_us(row.at_us), row.reason) for row in rows}

    def unpublished(self) -> list[str]:
        """The keys of all that is held or withdrawn, and of what was withdrawn before it came."""
        found = (
            select(articles.c.key)
            .where(HELD)
            .union(select(articles.c.key).where(WITHDRAWN), select(withdrawals.c.key).where(withdrawals.c.withdrawn))
        )
        return sorted(self.connection.execute(found).scalars())

    def tombstones(self, term_id: int, within: timedelta, limit: int) -> list[Tombstone]:
        """What was withdrawn from a feed within a span before its newest arrival or after it, newest first."""
        t = tombstones.c
        newest = self._newest_arrival(term_id)
        statement = (
            select(articles.c.key, t.withdrawn_us, articles.c.reason)
            .join(articles, articles.c.id == t.article_id)
            .where(t.term_id == term_id)
        )
        if newest is not None:
            statement = statement.where(t.withdrawn_us >= to_us(newest - within))
        statement = statement.order_by(t.withdrawn_us.desc(), t.article_id).limit(limit)
        return [Tombstone(key, from_us(us), reason) for key, us, reason in self.connection.execute(statement)]

    def stamps(self, ids: Iterable[int]) -> dict[int, Stamp]:
        """Which version of each of these articles there is."""
        rows = rows_of(self.connection, _STAMPS, ids)
        return {i: Stamp(seq, from_us(max(us, us if revised is None else revised))) for i, seq, us, revised in rows}

    def entries(self, ids: Sequence[int]) -> Iterator[tuple[int, Entry]]:
        """Articles with their HTML, in the order of the ids."""
        for start in range(0, len(ids), _FEW):
            chunk = ids[start : start + _FEW]
            rows = {row.id: row for row in rows_of(self.connection, _ENTRIES, chunk)}
            for article_id in chunk:
                yield article_id, Entry(_known(rows[article_id], {}), rows[article_id].html)

    def heads(self, ids: Sequence[int]) -> dict[int, Known]:
        """What is known of articles, without their HTML."""
        return {row.id: _known(row, {}) for row in rows_of(self.connection, _HEADS, ids)}

    def changed_entries(self, after: tuple[int, int], limit: int) -> list[tuple[tuple[int, int], Entry]]:
        """Articles that changed after a point, each with its point: its sequence, and its id among equals.

        Withdrawn ones are among them, held ones are not.
        """
        seq, article_id = after
        rows = self.connection.execute(_LATER, {"seq": seq, "article": article_id, "most": limit}).all()
        return [((row.seq, row.id), Entry(_known(row, {}), row.html)) for row in rows]

    def points(self, step: int) -> list[tuple[int, int]]:
        """The point of every so many-th article, and of the last; see `changed_entries`."""
        statement = select(articles.c.seq, articles.c.id).where(~articles.c.held)
        statement = statement.order_by(articles.c.seq, articles.c.id)
        ends: list[tuple[int, int]] = []
        for chunk in self.connection.execute(statement).partitions(step):
            seq, article_id = chunk[-1]
            ends.append((seq, article_id))
        return ends

    def changed_heads(self, seq: int) -> Iterator[tuple[int, Known]]:
        """What is known of the articles that are shown and changed after a sequence, without their HTML."""
        for row in self.connection.execute(_SHOWN_LATER, {"seq": seq}):
            yield row.id, _known(row, {})

    def existing(self, keys: Iterable[str]) -> set[str]:
        """Those of these keys that are articles, published or held."""
        rows = rows_of(self.connection, select(articles.c.key).where(_AMONG), map(id_of_key, keys))
        return {row.key for row in rows}

    def shown(self, keys: Iterable[str]) -> dict[str, int]:
        """Those of these articles that are neither held nor withdrawn, each with the sequence of its last change."""
        statement = select(articles.c.key, articles.c.seq).where(_AMONG, _SHOWN)
        return {row.key: row.seq for row in rows_of(self.connection, statement, map(id_of_key, keys))}

    def newest_arrival(self) -> datetime | None:
        """When the last published article came in."""
        newest = self.connection.execute(_NEWEST_ARRIVAL).scalar()
        return from_us(newest) if newest is not None else None

    def pages(self, keys: Sequence[str]) -> dict[str, bool]:
        """Those of these articles that are not held, and whether their pages are gone for good, being withdrawn."""
        statement = select(articles.c.key, articles.c.withdrawn_us).where(_AMONG, ~articles.c.held)
        rows = rows_of(self.connection, statement, map(id_of_key, keys))
        return {key: withdrawn is not None for key, withdrawn in rows}

    def totals(self) -> dict[str, int]:
        """How many articles are published, held back and withdrawn; how many revisions and refusals there are."""
        counted = select(func.count()).select_from(articles)
        statements = {
            "articles": select(func.sum(terms.c.articles)).where(terms.c.scheme == ALL),
            "held": counted.where(HELD, articles.c.withdrawn_us.is_(None)),
            "withdrawn": counted.where(WITHDRAWN),
            "revisions": select(state.c.value.cast(Integer)).where(state.c.name == "revisions"),
            "quarantined": select(func.count()).select_from(quarantine),
        }
        return {name: self.connection.execute(statement).scalar() or 0 for name, statement in statements.items()}

    def revisions(self, key: str) -> list[Revision]:
        statement = select(revisions).where(revisions.c.article_id == id_of_key(key)).order_by(revisions.c.at_us)
        return [Revision(from_us(row.at_us), row.title, row.body) for row in self.connection.execute(statement)]

    def revised(self, keys: Sequence[str]) -> dict[str, list[Revision]]:
        """Of these articles those that had more than one meaning: all of them with their HTML, oldest first."""
        ids = {id_of_key(key): key for key in keys}
        found: dict[str, list[Revision]] = {}
        several = (row.article_id for row in rows_of(self.connection, _SEVERAL, ids))
        for row in rows_of(self.connection, _MEANINGS, several):
            revision = Revision(from_us(row.at_us), row.title, row.body, row.html)
            found.setdefault(ids[row.article_id], []).append(revision)
        return found

    def aliases(self, key: str) -> list[str]:
        statement = select(aliases.c.value).where(aliases.c.article_id == id_of_key(key)).order_by(aliases.c.value)
        return list(self.connection.execute(statement).scalars())

    def key_of_alias(self, value: str) -> str | None:
        statement = select(articles.c.key).join(aliases, aliases.c.article_id == articles.c.id)
        return self.connection.execute(statement.where(aliases.c.value == value)).scalar()

    def readings(self, key: str) -> dict[Origin, tuple[datetime, str]]:
        """When each document of an article was last read anew, and the URL it was fetched from ("" for files)."""
        same = (fetches.c.source_id == documents.c.source_id) & (fetches.c.location == documents.c.location)
        statement = (
            select(sources.c.name, documents.c.location, documents.c.read_us, fetches.c.url)
            .join(sources, sources.c.id == documents.c.source_id)
            .outerjoin(fetches, same)
            .where(documents.c.article_id == id_of_key(key))
        )
        return {
            Origin(name, location): (from_us(us), url or "")
            for name, location, us, url in self.connection.execute(statement)
        }


def _entries() -> Select[Any]:
    a = articles.c
    return select(a.id, a.seq, a.facts, a.arrived_us, a.revised_us, a.withdrawn_us, a.reason, bodies.c.html).join(
        bodies, (bodies.c.article_id == a.id) & (bodies.c.digest == a.body)
    )


# Asked at each publication: to make a statement anew takes longer than to execute it.
_STATE = select(state.c.value).where(state.c.name == bindparam("name"))
_AMONG = among(articles.c.id)
_STAMPS = select(articles.c.id, articles.c.seq, articles.c.published_us, articles.c.revised_us).where(_AMONG)
_HEADS = select(articles).where(_AMONG)
_ENTRIES = _entries().where(_AMONG)
_A = articles.c
_SEQ: BindParameter[int] = bindparam("seq")
_LATER = (
    _entries()
    .where(_A.seq >= _SEQ, (_A.seq > _SEQ) | ((_A.seq == _SEQ) & (_A.id > bindparam("article"))), ~_A.held)
    .order_by(_A.seq, _A.id)
    .limit(bindparam("most"))
)
_SHOWN_LATER = select(articles).where(_A.seq > _SEQ, _SHOWN)
_M = memberships.c
_EVERYTHING = select(terms.c.id).where(terms.c.scheme == ALL).scalar_subquery()
_NEWEST_ARRIVAL = select(_M.arrived_us).where(_M.term_id == _EVERYTHING).order_by(_M.arrived_us.desc()).limit(1)
_SAID = (
    select(documents.c.article_id, sources.c.name, documents.c.location, documents.c.facts)
    .join(sources, sources.c.id == documents.c.source_id)
    .where(among(documents.c.article_id))
)
_WORDS = select(withdrawals).where(among(withdrawals.c.key))
_R = revisions.c
_SEVERAL = select(_R.article_id).where(among(_R.article_id)).group_by(_R.article_id).having(func.count() > 1)
_MEANINGS = (
    select(revisions, bodies.c.html)
    .join(bodies, (bodies.c.article_id == _R.article_id) & (bodies.c.digest == _R.body))
    .where(among(_R.article_id))
    .order_by(_R.article_id, _R.at_us)
)


def _known(row: Row[Any], said: dict[Origin, Article]) -> Known:
    return Known(
        article=decode(row.facts),
        arrived=from_us(row.arrived_us),
        revised=from_us(row.revised_us) if row.revised_us is not None else None,
        documents=said,
        withdrawal=Withdrawal(from_us(row.withdrawn_us), row.reason or "") if row.withdrawn_us is not None else None,
    )
