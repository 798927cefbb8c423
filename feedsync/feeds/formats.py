"""The formats feeds are published in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedsync.feeds import jsonfeed, names, rss
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feedsync.feeds.feed import Feed, Labels
    from feedsync.feeds.layout import Piece
    from feedsync.model import Entry, Site


class Format(Struct, frozen=True):
    """How to write a format: entries one by one, and a document around those already written; how to read one."""

    extension: str
    name: str
    media_type: str
    draw_entry: Callable[[Entry, Site, Labels], bytes]
    draw_feed: Callable[[Feed, Site, Sequence[Piece]], bytes]
    read_feed: Callable[[bytes], dict[str, Piece]]


def _draw_atom_entry(entry: Entry, site: Site, labels: Labels) -> bytes:
    from feedsync.feeds import atom  # feedgen takes a while to import, and most commands draw nothing

    return atom.draw_entry(entry, site, labels)


def _draw_atom_feed(feed: Feed, site: Site, entries: Sequence[Piece]) -> bytes:
    from feedsync.feeds import atom

    return atom.draw_feed(feed, site, entries)


def _read_atom_feed(document: bytes) -> dict[str, Piece]:
    from feedsync.feeds import atom

    return atom.read_feed(document)


FORMATS = (
    Format("atom", "Atom", names.ATOM_TYPE, _draw_atom_entry, _draw_atom_feed, _read_atom_feed),
    Format("rss", "RSS", names.RSS_TYPE, rss.draw_entry, rss.draw_feed, rss.read_feed),
    Format("json", "JSON Feed", names.JSON_TYPE, jsonfeed.draw_entry, jsonfeed.draw_feed, jsonfeed.read_feed),
)


def formats_of(site: Site) -> tuple[Format, ...]:
    """The formats a site publishes its feeds in, in the order of FORMATS."""
    return tuple(format for format in FORMATS if format.extension in site.formats)


def draw_entry(entry: Entry, site: Site, labels: Labels) -> tuple[bytes, ...]:
    """An entry in every format of the site, in the order of FORMATS."""
    return tuple(format.draw_entry(entry, site, labels) for format in formats_of(site))
