"""The formats feeds are published in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedsync.feeds import jsonfeed, names, rss
from feedsync.feeds.layout import ATOM, JSON, RSS, Layout
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feedsync.feeds.feed import Feed, Labels
    from feedsync.feeds.layout import Piece
    from feedsync.model import Entry, Site


class Format(Struct, frozen=True):
    """How to write a format: entries one by one, and a document around those already written; how it is laid out."""

    extension: str
    name: str
    media_type: str
    draw_entry: Callable[[Entry, Site, Labels], bytes]
    draw_feed: Callable[[Feed, Site, Sequence[Piece]], bytes]
    layout: Layout


def _draw_atom_entry(entry: Entry, site: Site, labels: Labels) -> bytes:
    from feedsync.feeds import atom  # feedgen takes a while to import, and most commands draw nothing

    return atom.draw_entry(entry, site, labels)


def _draw_atom_feed(feed: Feed, site: Site, entries: Sequence[Piece]) -> bytes:
    from feedsync.feeds import atom

    return atom.draw_feed(feed, site, entries)


FORMATS = (
    Format("atom", "Atom", names.ATOM_TYPE, _draw_atom_entry, _draw_atom_feed, ATOM),
    Format("rss", "RSS", names.RSS_TYPE, rss.draw_entry, rss.draw_feed, RSS),
    Format("json", "JSON Feed", names.JSON_TYPE, jsonfeed.draw_entry, jsonfeed.draw_feed, JSON),
)


def formats_of(site: Site) -> tuple[Format, ...]:
    """The formats a site publishes its feeds in, in the order of FORMATS."""
    return tuple(format for format in FORMATS if format.extension in site.formats)


def draw_entry(entry: Entry, site: Site, labels: Labels) -> tuple[bytes, ...]:
    """An entry in every format of the site, in the order of FORMATS."""
    return tuple(format.draw_entry(entry, site, labels) for format in formats_of(site))
