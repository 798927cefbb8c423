"""Reading: what is known, what is due, and what a feed holds."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from feedsync.model import ALL, Entry, Known, Origin, Place, Withdrawal, Word
from feedsync.store.codec import decode, from_us, id_of_key, to_us
from feedsync.store.places import Places
from feedsync.store.schema import (
    HELD,
    WITHDRAWN,
    WITHOUT_TEXT,
    aliases,
    articles,
    bodies,
    documents,
    fetches,
    files,
    memberships,
    quarantine,
    revisions,
    sources,
    state,
    terms,
    tombstones,
    withdrawals,
)
from feedsync.store.terms import Term, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection, Row, Select

    from feedsync.model import Article

_CHUNK = 500
_SHOWN = ~articles.c.held & articles.c.withdrawn_us.is_(None)


class FileRow(NamedTuple):
    """A file as it was when last read; unsettled when it must be read again whatever its stat says.

    The digest is empty when the file looked unfinished and nothing was taken from it.
    """

    path: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    digest: bytes
    settled: bool


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A refused document and why."""

    origin: Origin
    code: str
    reason: str
    remedy: str
    since: datetime


@dataclass(frozen=True, slots=True)
class SourceRow:
    """How the last run of a source ended, how many failed in a row, and what its fetching cost in all."""

    name: str
    ran: datetime | None
    succeeded: datetime | None
    error: str | None
    failures: int
    requests: int
    bytes: int
    files: int
    documents: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A meaning an article has had, and since when; `html` where it was asked for."""

    at: datetime
    title: str
    digest: bytes = b""
    html: str = ""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An article that stood in a feed and was withdrawn."""

    key: str
    at: datetime
    reason: str


class Reader(Places, Terms):
    """Queries within one transaction, so that all of them see the same state."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def state(self, name: str) -> str | None:
        return self.connection.execute(select(state.c.value).where(state.c.name == name)).scalar()

    def known(self, keys: Sequence[str]) -> dict[str, Known]:
        """The articles of these keys that exist, with what each of their documents says."""
        ids = [id_of_key(key) for key in keys]
        rows: list[Row[Any]] = []
        said: dict[int, dict[Origin, bytes]] = {}
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            rows += self.connection.execute(select(articles).where(articles.c.id.in_(chunk)))
            if not rows:
                continue
            statement = (
                select(documents.c.article_id, sources.c.name, documents.c.location, documents.c.facts)
                .join(sources, sources.c.id == documents.c.source_id)
                .where(documents.c.article_id.in_(chunk))
            )
            for article_id, name, location, facts in self.connection.execute(statement):
                said.setdefault(article_id, {})[Origin(name, location)] = facts
        return {
            row.key: _known(row, {origin: decode(facts) for origin, facts in said.get(row.id, {}).items()})
            for row in rows
        }

    def words(self, keys: Sequence[str]) -> dict[str, Word]:
        """The operator's last words on these articles, whether they exist or not."""
        w = withdrawals.c
        found: dict[str, Word] = {}
        for start in range(0, len(keys), _CHUNK):
            for row in self.connection.execute(select(withdrawals).where(w.key.in_(keys[start : start + _CHUNK]))):
                found[row.key] = Word(row.withdrawn, from_us(row.at_us), row.reason)
        return found

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

    def file_rows(self, source_id: int, after: bytes, limit: int) -> list[FileRow]:
        """What is known of a source's files whose paths come after one, in the order of their bytes."""
        statement = (
            select(
                files.c.path,
                files.c.size,
                files.c.mtime_ns,
                files.c.ctime_ns,
                files.c.digest,
                files.c.settled,
            )
            .where(files.c.source_id == source_id, files.c.path > after)
            .order_by(files.c.path)
            .limit(limit)
        )
        return [FileRow._make(row) for row in self.connection.execute(statement)]

    def rows_of(self, source_id: int, paths: Sequence[bytes]) -> dict[bytes, FileRow]:
        """What is known of these files of a source."""
        found: dict[bytes, FileRow] = {}
        for start in range(0, len(paths), _CHUNK):
            chunk = files.c.path.in_(paths[start : start + _CHUNK])
            for row in self.connection.execute(select(files).where(files.c.source_id == source_id, chunk)):
                found[row.path] = FileRow(*row[1:])
        return found

    def file_stats(self, source_id: int, after: bytes, limit: int) -> list[tuple[bytes, int, int, int]]:
        """Path, size, mtime and ctime of a source's files whose paths come after one, in the order of their bytes.

        The size of an unsettled one is -1, so that no file is like it. Tuples straight from the driver: there may be
        a million.
        """
        sql = (
            "SELECT path, CASE WHEN settled THEN size ELSE -1 END, mtime_ns, ctime_ns FROM files "
            "WHERE source_id = ? AND path > ? ORDER BY path LIMIT ?"
        )
        with closing(self.connection.connection.cursor()) as cursor:
            cursor.execute(sql, (source_id, after, limit))
            return list(cursor.fetchall())

    def find_source(self, name: str) -> int | None:
        return self.connection.execute(select(sources.c.id).where(sources.c.name == name)).scalar()

    def last_error(self, source_id: int) -> str | None:
        """What the last recorded run of a source failed with."""
        return self.connection.execute(select(sources.c.error).where(sources.c.id == source_id)).scalar()

    def has_documents(self, source_id: int) -> bool:
        """Whether a source ever gave an article."""
        return any(
            self.connection.execute(select(table.c.source_id).where(table.c.source_id == source_id).limit(1)).first()
            for table in (files, documents)
        )

    def locations(self, source: str, key: str) -> list[str]:
        """Where a source has documents of an article."""
        statement = (
            select(documents.c.location)
            .join(sources, sources.c.id == documents.c.source_id)
            .where(documents.c.article_id == id_of_key(key), sources.c.name == source)
        )
        return list(self.connection.execute(statement).scalars())

    def without_text(self, source_id: int) -> list[Article]:
        """Articles a source knows of whose text nobody has."""
        here = select(documents.c.article_id).where(documents.c.source_id == source_id)
        statement = select(articles.c.facts).where(WITHOUT_TEXT, articles.c.id.in_(here))
        statement = statement.where(articles.c.withdrawn_us.is_(None))
        return [decode(facts) for facts in self.connection.execute(statement.order_by(articles.c.id)).scalars()]

    def fetched_documents(self, source_id: int) -> dict[str, str]:
        """The URLs from which a source of files completed articles, each with the key of its article."""
        statement = (
            select(documents.c.location, articles.c.key)
            .join(articles, articles.c.id == documents.c.article_id)
            .where(documents.c.source_id == source_id, documents.c.location.op("GLOB")("http*://*"))
        )
        return dict(self.connection.execute(statement).all())

    def quarantined(self, source_id: int | None = None) -> list[Quarantined]:
        """Refused documents, by source and location."""
        statement = (
            select(sources.c.name, quarantine)
            .join(sources, sources.c.id == quarantine.c.source_id)
            .order_by(sources.c.name, quarantine.c.location)
        )
        if source_id is not None:
            statement = statement.where(quarantine.c.source_id == source_id)
        return [
            Quarantined(Origin(row.name, row.location), row.code, row.reason, row.remedy, from_us(row.since_us))
            for row in self.connection.execute(statement)
        ]

    def newest(self, term_id: int, limit: int, *, by_revision: bool = False) -> list[Place]:
        """The places newest by publication; ties by article id.

        With `by_revision`, here and below, a revision counts as a publication and as an arrival.
        """
        m = memberships.c
        statement = _places().where(m.term_id == term_id).order_by(m.published_us.desc(), m.article_id).limit(limit)
        if not by_revision:
            return self._places(statement)
        revised = _places().where(m.term_id == term_id, m.revised_us.is_not(None))
        found = self._places(statement.where(m.revised_us.is_(None)))
        found += self._places(revised.order_by(m.revised_us.desc(), m.article_id).limit(limit), by_revision=True)
        return sorted(sorted(found, key=lambda p: p.article_id), key=lambda p: p.published, reverse=True)[:limit]

    def latest(self, term_id: int, within: timedelta, limit: int, *, by_revision: bool = False) -> list[Place]:
        """The places that arrived within a span before the newest arrival, newest arrivals first."""
        m = memberships.c
        newest = self._newest_arrival(term_id, by_revision=by_revision)
        if newest is None:
            return []
        since = to_us(newest - within)
        arrived = _places().where(m.term_id == term_id, m.arrived_us >= since)
        arrived = arrived.order_by(m.arrived_us.desc(), m.published_us.desc(), m.article_id).limit(limit)
        if not by_revision:
            return self._places(arrived)
        revised = _places().where(m.term_id == term_id, m.revised_us >= since)
        revised = revised.order_by(m.revised_us.desc(), m.article_id).limit(limit)
        queries = arrived.where(m.revised_us.is_(None)), arrived.where(m.revised_us.is_not(None)), revised
        found = {place for query in queries for place in self._places(query, by_revision=True)}
        by_id = sorted(found, key=lambda p: p.article_id)
        return sorted(by_id, key=lambda p: (p.arrived, p.published), reverse=True)[:limit]

    def place(self, term_id: int, key: str, *, by_revision: bool = False) -> Place | None:
        """Where an article stands in a feed, were there no window."""
        m = memberships.c
        statement = _places().where(m.term_id == term_id, m.article_id == id_of_key(key))
        return next(iter(self._places(statement, by_revision=by_revision)), None)

    def rank(self, term_id: int, place: Place, *, by_revision: bool = False) -> int:
        """How far from the top of a feed a place is, counted from 1."""
        m, published = memberships.c, to_us(place.published)
        shown = func.coalesce(m.revised_us, m.published_us) if by_revision else m.published_us
        before = (shown > published) | ((shown == published) & (m.article_id < place.article_id))
        statement = select(func.count()).select_from(memberships).where(m.term_id == term_id, before)
        return 1 + (self.connection.execute(statement).scalar() or 0)

    def lateness(self, term_id: int, place: Place, *, by_revision: bool = False) -> timedelta:
        """How long before the newest arrival of a feed an article came."""
        newest = self._newest_arrival(term_id, by_revision=by_revision)
        return (newest or place.arrived) - place.arrived

    def filed(self, key: str) -> list[tuple[Term, datetime]]:
        """Everything an article is filed under, and since when."""
        m = memberships.c
        statement = select(terms, m.arrived_us).join(memberships, m.term_id == terms.c.id)
        statement = statement.where(m.article_id == id_of_key(key)).order_by(terms.c.scheme, terms.c.value)
        return [(Term(*columns), from_us(us)) for *columns, us in self.connection.execute(statement)]

    def _newest_arrival(self, term_id: int, *, by_revision: bool = False) -> datetime | None:
        m = memberships.c
        columns = (m.arrived_us, m.revised_us) if by_revision else (m.arrived_us,)
        newest = [
            self.connection.execute(
                select(column).where(m.term_id == term_id, column.is_not(None)).order_by(column.desc()).limit(1)
            ).scalar()
            for column in columns
        ]
        return max((from_us(us) for us in newest if us is not None), default=None)

    def _places(self, statement: Select[Any], *, by_revision: bool = False) -> list[Place]:
        return [
            Place(article_id, from_us(revised), from_us(max(arrived, revised)))
            if by_revision and revised is not None
            else Place(article_id, from_us(published), from_us(arrived))
            for article_id, published, arrived, revised in self.connection.execute(statement).all()
        ]

    def seqs(self, ids: Iterable[int]) -> dict[int, int]:
        """The change sequence of articles: what an entry was drawn from."""
        wanted = list(ids)
        found: dict[int, int] = {}
        for start in range(0, len(wanted), _CHUNK):
            statement = select(articles.c.id, articles.c.seq).where(articles.c.id.in_(wanted[start : start + _CHUNK]))
            found |= {row.id: row.seq for row in self.connection.execute(statement).all()}
        return found

    def entries(self, ids: Sequence[int]) -> Iterator[tuple[int, Entry]]:
        """Articles with their HTML, in the order of the ids."""
        for start in range(0, len(ids), 100):
            chunk = ids[start : start + 100]
            rows = {row.id: row for row in self.connection.execute(_entries().where(articles.c.id.in_(chunk))).all()}
            for article_id in chunk:
                yield article_id, Entry(_known(rows[article_id], {}), rows[article_id].html)

    def heads(self, ids: Sequence[int]) -> dict[int, Known]:
        """What is known of articles, without their HTML."""
        found: dict[int, Known] = {}
        for start in range(0, len(ids), _CHUNK):
            statement = select(articles).where(articles.c.id.in_(ids[start : start + _CHUNK]))
            found |= {row.id: _known(row, {}) for row in self.connection.execute(statement)}
        return found

    def changed_entries(self, after: tuple[int, int], limit: int) -> list[tuple[tuple[int, int], Entry]]:
        """Articles that changed after a point, each with its point: its sequence, and its id among equals.

        Withdrawn ones are among them, held ones are not.
        """
        seq, article_id = after
        later = (articles.c.seq > seq) | ((articles.c.seq == seq) & (articles.c.id > article_id))
        statement = _entries().where(articles.c.seq >= seq, later, ~articles.c.held)
        statement = statement.order_by(articles.c.seq, articles.c.id).limit(limit)
        rows = self.connection.execute(statement).all()
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
        statement = select(articles).where(articles.c.seq > seq, _SHOWN)
        for row in self.connection.execute(statement):
            yield row.id, _known(row, {})

    def existing(self, keys: Iterable[str]) -> set[str]:
        """Those of these keys that are articles, published or held."""
        wanted = sorted(keys)
        found: set[str] = set()
        for start in range(0, len(wanted), _CHUNK):
            ids = [id_of_key(key) for key in wanted[start : start + _CHUNK]]
            found.update(self.connection.execute(select(articles.c.key).where(articles.c.id.in_(ids))).scalars())
        return found

    def newest_arrival(self) -> datetime | None:
        """When the last published article came in."""
        m, everything = memberships.c, select(terms.c.id).where(terms.c.scheme == "all").scalar_subquery()
        statement = select(m.arrived_us).where(m.term_id == everything).order_by(m.arrived_us.desc()).limit(1)
        newest = self.connection.execute(statement).scalar()
        return from_us(newest) if newest is not None else None

    def published_keys(self) -> set[str]:
        """The keys of all articles that have a page."""
        return set(self.connection.execute(select(articles.c.key).where(_SHOWN)).scalars())

    def withdrawn_keys(self) -> set[str]:
        """The keys of all articles whose page is gone for good."""
        gone = WITHDRAWN, ~articles.c.held
        return set(self.connection.execute(select(articles.c.key).where(*gone)).scalars())

    def source_rows(self) -> list[SourceRow]:
        counted = (
            select(func.count()).select_from(table).where(table.c.source_id == sources.c.id).scalar_subquery()
            for table in (files, documents, quarantine)
        )
        s = sources.c
        statement = select(s.name, s.ran_us, s.succeeded_us, s.error, s.failures, s.requests, s.bytes, *counted)
        return [
            SourceRow(
                name,
                from_us(ran) if ran is not None else None,
                from_us(succeeded) if succeeded is not None else None,
                *rest,
            )
            for name, ran, succeeded, *rest in self.connection.execute(statement.order_by(sources.c.name))
        ]

    def totals(self) -> dict[str, int]:
        """How many articles are published, held back and withdrawn; how many documents, revisions and refusals."""
        counted = select(func.count()).select_from(articles)
        statements = {
            "articles": select(func.sum(terms.c.articles)).where(terms.c.scheme == ALL),
            "held": counted.where(HELD),
            "withdrawn": counted.where(WITHDRAWN, ~articles.c.held),
            "documents": select(func.count()).select_from(documents),
            "revisions": select(func.count()).select_from(revisions),
            "quarantined": select(func.count()).select_from(quarantine),
        }
        return {name: self.connection.execute(statement).scalar() or 0 for name, statement in statements.items()}

    def revisions(self, key: str) -> list[Revision]:
        statement = select(revisions).where(revisions.c.article_id == id_of_key(key)).order_by(revisions.c.at_us)
        return [Revision(from_us(row.at_us), row.title, row.body) for row in self.connection.execute(statement)]

    def revised(self, keys: Sequence[str]) -> dict[str, list[Revision]]:
        """Of these articles those that had more than one meaning: all of them with their HTML, oldest first."""
        r = revisions.c
        found: dict[str, list[Revision]] = {}
        for start in range(0, len(keys), _CHUNK):
            ids = {id_of_key(key): key for key in keys[start : start + _CHUNK]}
            several = select(r.article_id).where(r.article_id.in_(ids)).group_by(r.article_id).having(func.count() > 1)
            statement = (
                select(revisions, bodies.c.html)
                .join(bodies, (bodies.c.article_id == r.article_id) & (bodies.c.digest == r.body))
                .where(r.article_id.in_(list(self.connection.execute(several).scalars())))
                .order_by(r.article_id, r.at_us)
            )
            for row in self.connection.execute(statement):
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


def _places() -> Select[Any]:
    m = memberships.c
    return select(m.article_id, m.published_us, m.arrived_us, m.revised_us)


def _entries() -> Select[Any]:
    a = articles.c
    return select(a.id, a.seq, a.facts, a.arrived_us, a.revised_us, a.withdrawn_us, a.reason, bodies.c.html).join(
        bodies, (bodies.c.article_id == a.id) & (bodies.c.digest == a.body)
    )


def _known(row: Row[Any], said: dict[Origin, Article]) -> Known:
    return Known(
        article=decode(row.facts),
        arrived=from_us(row.arrived_us),
        revised=from_us(row.revised_us) if row.revised_us is not None else None,
        documents=said,
        withdrawal=Withdrawal(from_us(row.withdrawn_us), row.reason or "") if row.withdrawn_us is not None else None,
    )
