"""What a query means, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

if TYPE_CHECKING:
    from datetime import datetime

Scheme = Literal["category", "outlet", "symbol", "tag"]


@dataclass(frozen=True, slots=True)
class Text:
    """These characters stand in the title or in the text, in a row. Folded; see `match.fold`."""

    folded: str


@dataclass(frozen=True, slots=True)
class Field:
    """The article has this category, outlet, symbol or tag. Folded."""

    scheme: Scheme
    folded: str


@dataclass(frozen=True, slots=True)
class Since:
    """Published then or later."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Before:
    """Published earlier."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Not:
    part: Expression


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
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
