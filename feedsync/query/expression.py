"""What a query means, as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

from feedsync.values import Struct

if TYPE_CHECKING:
    from datetime import datetime

Scheme = Literal["category", "outlet", "symbol", "tag"]


class Text(Struct, frozen=True):
    """These characters stand in the title or in the text, in a row. Folded; see `match.fold`."""

    folded: str


class Field(Struct, frozen=True):
    """The article has this category, outlet, symbol or tag. Folded."""

    scheme: Scheme
    folded: str


class Since(Struct, frozen=True):
    """Published then or later."""

    at: datetime


class Before(Struct, frozen=True):
    """Published earlier."""

    at: datetime


class Not(Struct, frozen=True):
    part: Expression


class And(Struct, frozen=True):
    parts: tuple[Expression, ...]


class Or(Struct, frozen=True):
    parts: tuple[Expression, ...]


Expression = Text | Field | Since | Before | Not | And | Or


def words_of(expression: Expression) -> tuple[str, ...]:
    """The texts a hit may show, each once, in the order of the query; not those it must not have."""
    match expression:
        case Text(folded):
            return (folded,)
        case Field() | Since() | Before() | Not():
            return ()
        case And(parts) | Or(parts):
            return tuple(dict.fromkeys(word for part in parts for word in words_of(part)))
        case _:
            assert_never(expression)
