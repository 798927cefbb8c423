"""Reading what stands in feeds, and where: the order is that of publication, ties by article id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select

from feedsync.model import Place
from feedsync.store.codec import from_us, id_of_key, to_us
from feedsync.store.places import standing
from feedsync.store.schema import articles, memberships, terms
from feedsync.store.terms import Term

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy import Connection, Select


class Windows:
    """Queries about what stands in feeds, within the transaction of a Reader."""

    connection: Connection

    def newest(self, term_id: int, limit: int, *, by_revision: bool = False) -> list[Place]:
        """The places newest by publication; ties by article id.

        With `by_revision`, here and below, a revision counts as a publication and as an arrival.
        """
        m = memberships.c
        if not by_revision:
            return self._places(_NEWEST, {"term": term_id, "most": limit})
        statement = _places().where(m.term_id == term_id).order_by(m.published_us.desc(), m.article_id).limit(limit)
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
        if not by_revision:
            return self._places(_LATEST, {"term": term_id, "since": since, "most": limit})
        arrived = _places().where(m.term_id == term_id, m.arrived_us >= since)
        arrived = arrived.order_by(m.arrived_us.desc(), m.published_us.desc(), m.article_id).limit(limit)
        revised = _places().where(m.term_id == term_id, m.revised_us >= since)
        revised = revised.order_by(m.revised_us.desc(), m.article_id).limit(limit)
        queries = arrived.where(m.revised_us.is_(None)), arrived.where(m.revised_us.is_not(None)), revised
        found = {place for query in queries for place in self._places(query, by_revision=True)}
        by_id = sorted(found, key=lambda p: p.article_id)
        return sorted(by_id, key=lambda p: (p.arrived, p.published), reverse=True)[:limit]

    def place(self, term_id: int, key: str, *, by_revision: bool = False) -> Place | None:
        """Where an article stands in a feed, were there no window."""
        m = memberships.c
        statement = _places().join(articles, standing(m)).where(m.term_id == term_id, articles.c.id == id_of_key(key))
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
        statement = select(terms, m.arrived_us).join(memberships, m.term_id == terms.c.id).join(articles, standing(m))
        statement = statement.where(articles.c.id == id_of_key(key)).order_by(terms.c.scheme, terms.c.value)
        return [(Term(*columns), from_us(us)) for *columns, us in self.connection.execute(statement)]

    def _newest_arrival(self, term_id: int, *, by_revision: bool = False) -> datetime | None:
        last = _LAST if by_revision else _LAST[:1]
        newest = [self.connection.execute(statement, {"term": term_id}).scalar() for statement in last]
        return max((from_us(us) for us in newest if us is not None), default=None)

    def _places(
        self, statement: Select[Any], values: dict[str, Any] | None = None, *, by_revision: bool = False
    ) -> list[Place]:
        return [
            Place(article_id, from_us(revised), from_us(max(arrived, revised)))
            if by_revision and revised is not None
            else Place(article_id, from_us(published), from_us(arrived))
            for article_id, published, arrived, revised in self.connection.execute(statement, values).all()
        ]


def _places() -> Select[Any]:
    m = memberships.c
    return select(m.article_id, m.published_us, m.arrived_us, m.revised_us)


# Asked for each feed: to make a statement anew takes longer than to execute it.
_M = memberships.c
_HERE = _M.term_id == bindparam("term")
_NEWEST = _places().where(_HERE).order_by(_M.published_us.desc(), _M.article_id).limit(bindparam("most"))
_LATEST = (
    _places()
    .where(_HERE, _M.arrived_us >= bindparam("since"))
    .order_by(_M.arrived_us.desc(), _M.published_us.desc(), _M.article_id)
    .limit(bindparam("most"))
)
_LAST = [
    select(column).where(_HERE, column.is_not(None)).order_by(column.desc()).limit(1)
    for column in (_M.arrived_us, _M.revised_us)
]
"""The newest arrival, the newest revision."""
