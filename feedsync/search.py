"""Searching: a query to hits, and hits to a page or a feed of the same query."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from feedsync.drawing import Drawing
from feedsync.feeds import FORMATS, HitLine, draw_search, feed_of_search, line_of
from feedsync.query import QueryError, fold, marked, parse_query, snippet, words_of
from feedsync.store import Index, Stopped, stoppable
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feedsync.feeds import Presentation
    from feedsync.model import Entry
    from feedsync.query import Expression
    from feedsync.store import Reader, Store

Order = Literal["newest", "best"]

LIMIT = 50
"""How many hits a page or feed holds."""

_BEST_OF = 1000
_TIME_S = 2.0
_TOO_LONG = "没有在限定的时间内查完，请用更具体的词。 This takes too long, use more specific words."
PAGE = "html"
"""What an answer for people is called."""


class Hit(Struct, frozen=True):
    """An article that a query means, with its text."""

    entry: Entry
    text: str


class Found(Struct, frozen=True):
    """Hits; whether there are more; and whether the search came to its end."""

    hits: tuple[Hit, ...]
    more: bool = False
    complete: bool = True


class Answer(Struct, frozen=True):
    """What is sent to whoever asked over HTTP; `extension` names the kind."""

    status: int
    extension: str
    body: bytes


def find(
    reader: Reader, expression: Expression, limit: int, order: Order = "newest", stop: Callable[[], bool] = bool
) -> Found:
    """Up to so many hits, newest first; or, of the newest thousand, those first that say the words most.

    A search that is told to stop gives what it has.
    """
    wanted = limit if order == "newest" else max(limit, _BEST_OF)
    hits: list[Hit] = []
    complete = True
    try:
        with stoppable(reader.connection, stop):
            for entry, text in Index(reader.connection).matching(expression, stop):
                hits.append(Hit(entry, text))
                if len(hits) > wanted:
                    break
    except Stopped:
        complete = False
    more = len(hits) > limit
    if order == "best":
        words = words_of(expression)
        hits = sorted(hits[:wanted], key=lambda hit: _weight(hit, words), reverse=True)
    return Found(tuple(hits[:limit]), more, complete)


def _weight(hit: Hit, words: Sequence[str]) -> tuple[int, int]:
    """How many of the words stand in the title, then how often the text says them."""
    title, text = fold(hit.entry.known.article.title.text), fold(hit.text)
    return sum(word in title for word in words), sum(text.count(word) for word in words)


def answer(store: Store, presentation: Presentation, query: str, extension: str) -> Answer:
    """The page (`html`) or the feed (`atom`, `rss`, `json`) of a query, newest first, within two seconds.

    A query that means nothing is answered with a page that says why. Raises StoreError.
    """
    site = presentation.site
    if not query.strip():
        return Answer(200, PAGE, draw_search(site, ""))
    try:
        expression = parse_query(query, ZoneInfo(site.timezone))
    except QueryError as error:
        return Answer(400, PAGE, draw_search(site, query, fault=str(error)))
    until = time.monotonic() + _TIME_S
    with store.reading() as reader:
        found = find(reader, expression, LIMIT, stop=lambda: time.monotonic() > until)
        labels = Drawing(presentation).labels(reader, [hit.entry.known for hit in found.hits])
    if not found.complete and extension != PAGE:  # a reader would take a part for the whole
        return Answer(503, PAGE, draw_search(site, query, fault=_TOO_LONG))
    feed = feed_of_search(site, query, urlencode({"q": query}), [hit.entry.known.updated for hit in found.hits])
    for format in FORMATS:
        if format.extension == extension:
            entries = [format.draw_entry(hit.entry, site, labels) for hit in found.hits]
            return Answer(200, extension, format.draw_feed(feed, site, entries))
    lines = [_line(hit, presentation, words_of(expression)) for hit in found.hits]
    return Answer(200, PAGE, draw_search(site, query, feed, lines, more=found.more, complete=found.complete))


def _line(hit: Hit, presentation: Presentation, words: Sequence[str]) -> HitLine:
    line = line_of(hit.entry.known, presentation.site, pages=presentation.pages)
    return HitLine(line, marked(line.title, words), snippet(hit.text, words))
