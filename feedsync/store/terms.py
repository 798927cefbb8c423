"""Reading what articles are filed under, and of which of that a feed is due."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, exists, func, select

from feedsync.store.listed import among, rows_of
from feedsync.store.schema import custom_feeds, terms, tombstones
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Connection, Select

_TOLD = exists().where(tombstones.c.term_id == terms.c.id)
_ASKED = exists().where(custom_feeds.c.term_id == terms.c.id)
_STANDING = (terms.c.articles > 0) | _TOLD | _ASKED


class Term(Struct, frozen=True):
    """Something articles are filed under, and whether its feed is due."""

    id: int
    scheme: str
    value: str
    label: str
    articles: int
    changed_seq: int
    published_seq: int
    digest: bytes = b""
    """Of its feed as it was published, by which that is recognised."""
    told: bool = False
    """Whether something was withdrawn from it."""
    asked: bool = False
    """Whether the configuration asks for it."""

    @property
    def due(self) -> bool:
        return self.changed_seq > self.published_seq

    @property
    def standing(self) -> bool:
        """Whether there is a feed of it: of articles, of none any more for those who have what was withdrawn, or of
        none yet.
        """
        return self.articles > 0 or self.told or self.asked


class Terms:
    """Queries about terms, within the transaction of a Reader. There may be thousands: most ask for a few."""

    connection: Connection

    def terms(self, *schemes: str) -> list[Term]:
        """All terms of these schemes, by scheme and value; some may hold no article any more."""
        return self._terms(_OF, schemes)

    def due(self, *schemes: str) -> list[Term]:
        """The terms of these schemes that changed since their feeds were published."""
        return self._terms(_DUE, schemes)

    def changed_terms(self, seq: int, *schemes: str) -> list[Term]:
        """The terms of these schemes that changed after a sequence."""
        return sorted(self._terms(_CHANGED, schemes, seq=seq), key=_NAME)

    def largest(self, scheme: str, limit: int) -> list[Term]:
        """The terms of a scheme that have most articles; of equals, the lesser values."""
        return [Term(*row) for row in self.connection.execute(_LARGEST, {"scheme": scheme, "most": limit}).all()]

    def named_terms(self, scheme: str, values: Iterable[str]) -> dict[str, Term]:
        """The terms of a scheme that have these values, by value."""
        return {row.value: Term(*row) for row in rows_of(self.connection, _NAMED, values, scheme=scheme)}

    def standing(self, *schemes: str) -> int:
        """How many terms of these schemes have feeds."""
        return self.connection.execute(_COUNTED, {"listed": schemes}).scalar_one()

    def _terms(self, statement: Select[Any], schemes: Iterable[str], **others: object) -> list[Term]:
        return [Term(*row) for row in rows_of(self.connection, statement, schemes, **others)]


def _of(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(terms, _TOLD, _ASKED).where(*conditions).order_by(terms.c.scheme, terms.c.value)


# Asked at each publication: to make a statement anew takes longer than to execute it.
_OF = _of(among(terms.c.scheme))
_DUE = _of(among(terms.c.scheme), terms.c.changed_seq > terms.c.published_seq)
# Sorted here: SQLite would go through all terms by name rather than sort the few that changed.
_CHANGED = _of(among(terms.c.scheme), terms.c.changed_seq > bindparam("seq")).order_by(None)
_NAME = attrgetter("scheme", "value")
_NAMED = _of(terms.c.scheme == bindparam("scheme"), among(terms.c.value))
_LARGEST = (
    select(terms, _TOLD, _ASKED)
    .where(terms.c.scheme == bindparam("scheme"), _STANDING)
    .order_by(terms.c.articles.desc(), terms.c.value)
    .limit(bindparam("most"))
)
_COUNTED = select(func.count()).where(among(terms.c.scheme), _STANDING)
