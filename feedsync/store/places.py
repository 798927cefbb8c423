"""Reading where articles stand: beside which others, and how far from the oldest of their category.

The order in a category is that of its feed: newest publication first, ties by article id.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, select

from feedsync.store.codec import from_us, to_us
from feedsync.store.schema import articles, memberships, shifts, terms
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, ScalarSelect, Select, Table

_CHUNK = 400


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
        a, m = articles.c, memberships.c
        found: list[Beside] = []
        for term_id, ids in members.items():
            for start in range(0, len(ids), _CHUNK):
                chunk = ids[start : start + _CHUNK]
                # A tuple of both in a list of tuples would be clearer, but SQLite then reads the whole table.
                statement = (
                    _beside(memberships).join(articles, standing(m)).where(m.term_id == term_id, a.id.in_(chunk))
                )
                found += (Beside(*row) for row in self.connection.execute(statement))
        return found

    def beside_shifts(self) -> list[Beside]:
        """What stands now before and after every place that was joined or left since its category was published."""
        return [Beside(*row) for row in self.connection.execute(_beside(shifts))]

    def shifts(self, term_id: int) -> list[Spot]:
        """The places of a category that were joined or left since it was published."""
        statement = select(shifts.c.article_id, shifts.c.published_us).where(shifts.c.term_id == term_id)
        return [Spot(article_id, from_us(us)) for article_id, us in self.connection.execute(statement)]

    def count(self, term_id: int, since: datetime, until: datetime) -> int:
        """How many articles of a category were published from `since` to before `until`."""
        m = memberships.c
        statement = select(func.count()).where(
            m.term_id == term_id, m.published_us >= to_us(since), m.published_us < to_us(until)
        )
        return self.connection.execute(statement).scalar_one()

    def position(self, term_id: int, since: datetime, spot: Spot) -> int:
        """How many articles of a category, published from `since` on, stand behind a place."""
        m = memberships.c
        us = to_us(spot.published)
        behind = (m.published_us < us) | ((m.published_us == us) & (m.article_id > spot.article_id))
        statement = select(func.count()).where(
            m.term_id == term_id, m.published_us >= to_us(since), m.published_us <= us, behind
        )
        return self.connection.execute(statement).scalar_one()

    def stretch(self, term_id: int, since: datetime, until: datetime, offset: int, limit: int) -> list[int]:
        """Articles published from `since` to before `until`, oldest first, from an offset on."""
        m = memberships.c
        statement = (
            select(m.article_id)
            .where(m.term_id == term_id, m.published_us >= to_us(since), m.published_us < to_us(until))
            .order_by(m.published_us, m.article_id.desc())
        )
        return list(self.connection.execute(statement.offset(offset).limit(limit)).scalars())

    def first_published(self, term_id: int, since: datetime) -> datetime | None:
        """The earliest publication in a category from a moment on."""
        m = memberships.c
        statement = select(func.min(m.published_us)).where(m.term_id == term_id, m.published_us >= to_us(since))
        return _instant(self.connection.execute(statement).scalar())

    def last_published(self, term_id: int, until: datetime) -> datetime | None:
        """The latest publication in a category before a moment."""
        m = memberships.c
        statement = select(func.max(m.published_us)).where(m.term_id == term_id, m.published_us < to_us(until))
        return _instant(self.connection.execute(statement).scalar())

    def newest_of_each(self, term_ids: Iterable[int], limit: int) -> dict[int, list[int]]:
        """The newest articles of each of these terms."""
        m = memberships.c
        last = _nth_newest(limit - 1)
        wanted = list(term_ids)
        found: dict[int, list[int]] = {term_id: [] for term_id in wanted}
        for start in range(0, len(wanted), _CHUNK):
            statement = (
                select(m.term_id, m.article_id)
                .join(terms, terms.c.id == m.term_id)
                .where(terms.c.id.in_(wanted[start : start + _CHUNK]), m.published_us >= last)
                .order_by(m.published_us.desc(), m.article_id)
            )
            for term_id, article_id in self.connection.execute(statement):
                if len(found[term_id]) < limit:  # many may share the last one's moment
                    found[term_id].append(article_id)
        return found


def standing(m: Any) -> ColumnElement[bool]:
    """By what columns of `memberships` an article is found where it stands: its place is a part of the key there."""
    return and_(m.published_us == articles.c.published_us, m.article_id == articles.c.id)


def _nth_newest(offset: int) -> Any:
    """When the article at a place of a term's order was published; before everything where it has fewer."""
    inner = memberships.alias("inner")
    moment = select(inner.c.published_us).where(inner.c.term_id == terms.c.id).order_by(inner.c.published_us.desc())
    return func.coalesce(moment.limit(1).offset(offset).correlate(terms).scalar_subquery(), -(2**63))


def _instant(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


@cache
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
