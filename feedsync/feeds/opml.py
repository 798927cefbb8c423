"""OPML 2.0: every feed, for a reader to take in at once. Without dates: it changes when a feed comes or goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedsync.feeds.xml import HEAD, check_well_formed, escape
from feedsync.text import strip_illegal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feedsync.feeds.feed import Feed
    from feedsync.model import Site


def draw_opml(site: Site, feeds: Iterable[Feed]) -> bytes:
    """The list of these feeds, in their order."""
    outlines = "".join(
        f'<outline type="rss" text="{escape(feed.title)}" title="{escape(feed.title)}" '
        f'xmlUrl="{escape(feed.url("atom"))}" htmlUrl="{escape(feed.alternate)}"/>\n'
        for feed in feeds
    )
    title = escape(strip_illegal(site.title))
    document = (
        f'{HEAD}<opml version="2.0">\n<head>\n<title>{title}</title>\n</head>\n<body>\n{outlines}</body>\n</opml>\n'
    ).encode()
    check_well_formed(document, "feeds.opml")
    return document
