"""Whether an article is what a query means. This is the truth; the index of the store only saves looking at others.

Texts are compared folded: without white space, in one width of punctuation (`text.normalise`), without case. So a
phrase is found across line breaks and elements, and `ＧＤＰ` is `gdp`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from feedsync.query.expression import And, Before, Field, Not, Or, Since, Text
from feedsync.text import normalise
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from feedsync.model import Known
    from feedsync.query.expression import Expression, Scheme


class Subject(Struct, frozen=True):
    """An article as queries see it: folded texts, folded values by scheme, the time of publication."""

    title: str
    text: str
    values: frozenset[tuple[Scheme, str]]
    published: datetime


def fold(text: str) -> str:
    """The text as it is compared. Folding forgets where parts met: fold(a + b) is fold(a) + fold(b)."""
    return normalise(text).casefold()


def subject_of(known: Known, text: str) -> Subject:
    """What queries see of an article whose plain text is given."""
    article = known.article
    values: set[tuple[Scheme, str]] = set()
    _add(values, "category", (category.term for category in article.categories))
    _add(values, "tag", article.tags)
    if article.credit:
        _add(values, "outlet", (article.credit.outlet,))
    for symbol in article.symbols:
        _add(values, "symbol", (symbol.value, symbol.code, symbol.name))
    return Subject(fold(article.title.text), fold(text), frozenset(values), known.published)


def _add(values: set[tuple[Scheme, str]], scheme: Scheme, found: Iterable[str]) -> None:
    values.update((scheme, folded) for value in found if (folded := fold(value)))


def matches(expression: Expression, subject: Subject) -> bool:
    """Whether a query means this article."""
    match expression:
        case Text(folded):
            return folded in subject.title or folded in subject.text
        case Field(scheme, folded):
            return (scheme, folded) in subject.values
        case Since(at):
            return subject.published >= at
        case Before(at):
            return subject.published < at
        case Not(part):
            return not matches(part, subject)
        case And(parts):
            return all(matches(part, subject) for part in parts)
        case Or(parts):
            return any(matches(part, subject) for part in parts)
        case _:
            assert_never(expression)
