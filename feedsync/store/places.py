"""Reading where articles stand: beside which others, and how far from the oldest of their category.

The order in a category is that of its feed: newest publication first, ties by article id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, select

from feedsync.store.codec import from_us, to_us
from feedsync.store.listed import among, rows_of
from feedsync.store.schema import articles, memberships, shifts, terms
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import BindParameter, ColumnElement, Connection, ScalarSelect, Select, Table


class Beside(Struct, frozen=True):
    """The articles before and after a place in a category, by id; None at the ends."""

    article_id: int
    term_id: int
    newer: int | None
    older: int | None


class Spot(Struct, frozen=True):
    """A place in a category: who stands there, or stood or came to stand, and when that was published."""

    article_id: int
    published: datetime


class Places:
    """Queries about the order of articles, within the transaction of a Reader."""

    connection: Connection

    def beside(self, members: Mapping[int, Sequence[int]]) -> list[Beside]:
        """What stands before and after members of categories: ids of articles by id of the term."""
        return [
            Beside(*row)
            for term_id, ids in members.items()
            for row in rows_of(self.connection, _BESIDE, ids, term=term_id)
            if row.article_id is not None
        ]

    def beside_shifts(self) -> list[Beside]:
        """What stands now before and after every place that was joined or left since its category was published."""
        return [Beside(*row) for row in self.connection.execute(_BESIDE_SHIFTS)]

    def shifts(self, term_id: int) -> list[Spot]:
        """The places of a category that were joined or left since it was published."""
        return [Spot(article_id, from_us(us)) for article_id, us in self.connection.execute(_SHIFTS, {"term": term_id})]

    def count(self, term_id: int, since: datetime, until: datetime) -> int:
        """How many articles of a category were published from `since` to before `until`."""
        values = {"term": term_id, "since": to_us(since), "until": to_us(until)}
        return self.connection.execute(_COUNT, values).scalar_one()

    def position(self, term_id: int, since: datetime, spot: Spot) -> int:
        """How many articles of a category, published from `since` on, stand behind a place."""
        values = {"term": term_id, "since": to_us(since), "at": to_us(spot.published), "article": spot.article_id}
        return self.connection.execute(_POSITION, values).scalar_one()

    def stretch(self, term_id: int, since: datetime, until: datetime, offset: int, limit: int) -> list[int]:
        """Articles published from `since` to before `until`, oldest first, from an offset on."""
        values = {"term": term_id, "since": to_us(since), "until": to_us(until), "first": offset, "most": limit}
        return list(self.connection.execute(_STRETCH, values).scalars())

    def first_published(self, term_id: int, since: datetime) -> datetime | None:
        """The earliest publication in a category from a moment on."""
        return _instant(self.connection.execute(_FIRST, {"term": term_id, "since": to_us(since)}).scalar())

    def last_published(self, term_id: int, until: datetime) -> datetime | None:
        """The latest publication in a category before a moment."""
        return _instant(self.connection.execute(_LAST, {"term": term_id, "until": to_us(until)}).scalar())

    def newest_of_each(self, term_ids: Iterable[int], limit: int) -> dict[int, list[int]]:
        """The newest articles of each of these terms."""
        found: dict[int, list[int]] = {term_id: [] for term_id in term_ids}
        for term_id, article_id in rows_of(self.connection, _NEWEST_OF_EACH, found, nth=limit - 1):
            if len(found[term_id]) < limit:  # many may share the last one's moment
                found[term_id].append(article_id)
        return found


def standing(m: Any) -> ColumnElement[bool]:
    """By what columns of `memberships` an article is found where it stands: its place is a part of the key there."""
    return and_(m.published_us == articles.c.published_us, m.article_id == articles.c.id)


def _nth_newest() -> Any:
    """When the article at the place `nth` of a term's order was published; before everything where it has fewer."""
    inner = memberships.alias("inner")
    moment = select(inner.c.published_us).where(inner.c.term_id == terms.c.id).order_by(inner.c.published_us.desc())
    return func.coalesce(moment.limit(1).offset(bindparam("nth")).correlate(terms).scalar_subquery(), -(2**63))


def _instant(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _beside(spots: Table) -> Select[Any]:
    """Who stands beside the rows of `memberships` or `shifts`."""
    return select(spots.c.article_id, spots.c.term_id, _next(spots, newer=True), _next(spots, newer=False))


def _next(spots: Table, *, newer: bool) -> Any:
    """The nearest neighbour on one side: among those of the same moment, else of the nearest other moment."""
    other = memberships.alias("newer" if newer else "older")
    same_term = other.c.term_id == spots.c.term_id

    def first(condition: Any, *order: Any) -> ScalarSelect[Any]:
        chosen = select(other.c.article_id).where(same_term, condition).order_by(*order).limit(1)
        return chosen.correlate(spots).scalar_subquery()

    now, article = other.c.published_us, other.c.article_id
    tied = now == spots.c.published_us
    if newer:
        return func.coalesce(
            first(tied & (article < spots.c.article_id), article.desc()),
            first(now > spots.c.published_us, now, article.desc()),
        )
    return func.coalesce(
        first(tied & (article > spots.c.article_id), article),
        first(now < spots.c.published_us, now.desc(), article),
    )


# Asked at each publication: to make a statement anew takes longer than to execute it.
_M = memberships.c
_AT: BindParameter[int] = bindparam("at")
_HERE = _M.term_id == bindparam("term")
_SINCE = _M.published_us >= bindparam("since")
_UNTIL = _M.published_us < bindparam("until")
_SHIFTS = select(shifts.c.article_id, shifts.c.published_us).where(shifts.c.term_id == bindparam("term"))
_COUNT = select(func.count()).where(_HERE, _SINCE, _UNTIL)
_POSITION = select(func.count()).where(
    _HERE,
    _SINCE,
    _M.published_us <= _AT,
    (_M.published_us < _AT) | ((_M.published_us == _AT) & (_M.article_id > bindparam("article"))),
)
_STRETCH = (
    select(_M.article_id)
    .where(_HERE, _SINCE, _UNTIL)
    .order_by(_M.published_us, _M.article_id.desc())
    .offset(bindparam("first"))
    .limit(bindparam("most"))
)
_FIRST = select(func.min(_M.published_us)).where(_HERE, _SINCE)
_LAST = select(func.max(_M.published_us)).where(_HERE, _UNTIL)
# An outer join, so that SQLite begins with the articles of the list: it would rather go through the whole category.
_BESIDE = (
    _beside(memberships)
    .select_from(articles.outerjoin(memberships, standing(_M) & (_M.term_id == bindparam("term"))))
    .where(among(articles.c.id))
)
_BESIDE_SHIFTS = _beside(shifts)
_NEWEST_OF_EACH = (
    select(_M.term_id, _M.article_id)
    .join(terms, terms.c.id == _M.term_id)
    .where(among(terms.c.id), _M.published_us >= _nth_newest())
    .order_by(_M.published_us.desc(), _M.article_id)
)
