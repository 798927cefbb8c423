"""JSON Feed 1.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from feedsync.errors import OutputError
from feedsync.feeds import names
from feedsync.feeds.feed import content_of, outlet_of, rfc3339, symbols_of, title_of, words_of
from feedsync.feeds.layout import JSON
from feedsync.model import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feedsync.feeds.feed import Feed, Labels
    from feedsync.feeds.layout import Piece
    from feedsync.model import Entry, Site

VERSION = "https://jsonfeed.org/version/1.1"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def draw_entry(entry: Entry, site: Site, labels: Labels) -> bytes:
    """The JSON of one entry. Tags are for people: of the symbols, those it is about. All are in `_feedsync`.

    Raises OutputError when it is not JSON, which would be a fault of ours.
    """
    known, article = entry.known, entry.known.article
    members: dict[str, object] = {
        "id": names.article_id(site, article.key),
        "url": names.url(site, names.article_path(article.key)),
        "title": title_of(article),
        "date_published": rfc3339(known.published),
        "date_modified": rfc3339(known.updated),
        "authors": [{"name": outlet_of(article, site)}],
        "language": site.language,
    }
    symbols = symbols_of(article, site, labels)
    about = [symbol.label for symbol in symbols if symbol.role is Role.SUBJECT]
    if words := list(dict.fromkeys([*words_of(article, labels), *about])):
        members["tags"] = words
    if symbols:
        told = [{"symbol": symbol.value, "name": symbol.label, "role": symbol.role} for symbol in symbols]
        members["_feedsync"] = {"symbols": told}
    members["content_html"] = content_of(entry)
    item = _encode(members)
    _check(item, article.key)
    return item


def draw_feed(feed: Feed, site: Site, entries: Sequence[Piece]) -> bytes:
    """A feed document around entries already drawn. Raises OutputError as `draw_entry` does."""
    members: dict[str, object] = {
        "version": VERSION,
        "title": feed.title,
        "home_page_url": feed.alternate,
        "feed_url": feed.url("json"),
        "language": site.language,
        "authors": [{"name": site.title}],
    }
    if site.icon:
        members["icon"] = site.icon
    head = _encode(members)
    _check(head, feed.url("json"))
    return JSON.join(head[:-1] + b',"items":[', entries)


def _check(json: bytes, name: str) -> None:
    """Raise OutputError unless the bytes are a JSON value. A list of such values is one, too."""
    try:
        _decode(json)
    except msgspec.DecodeError as error:
        raise OutputError(f"{name} would not be JSON: {error}", remedy="report this as a bug") from error
