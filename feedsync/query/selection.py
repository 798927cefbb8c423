"""What a custom feed holds: its query and its other conditions as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from feedsync.query.expression import And, Field, Not, Or, Scheme
from feedsync.query.language import QueryError, parse_query
from feedsync.query.match import fold, matches
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from feedsync.model import CustomFeed
    from feedsync.query.expression import Expression
    from feedsync.query.match import Subject


class Selection(Struct, frozen=True):
    """What an article must be: what the expression means, and with so many characters of text."""

    expression: Expression
    min_characters: int

    def admits(self, subject: Subject, characters: int) -> bool:
        return characters >= self.min_characters and matches(self.expression, subject)


def selection_of(feed: CustomFeed, zone: tzinfo) -> Selection:
    """The conditions of a feed. Raises QueryError when its query means nothing, or it has no condition at all."""
    parts: list[Expression] = [parse_query(feed.query, zone)] if feed.query.strip() else []
    for scheme, values in (("category", feed.any_of), ("outlet", feed.outlets), ("symbol", feed.symbols)):
        if values:
            parts.append(_any(scheme, values))
    if feed.none_of:
        parts.append(Not(_any("category", feed.none_of)))
    if not parts and not feed.min_characters:
        raise QueryError("it has no condition", remedy="give it a query, or use the feed of everything")
    return Selection(And(tuple(parts)), feed.min_characters)


def _any(name: str, values: Iterable[str]) -> Expression:
    """That an article has one of these values."""
    (scheme,) = (scheme for scheme in get_args(Scheme) if scheme == name)
    folded = [fold(value) for value in values]
    if not all(folded):
        raise QueryError(f"an empty {name} is none", remedy="remove it")
    return Or(tuple(Field(scheme, value) for value in folded))
