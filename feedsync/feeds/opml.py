"""OPML 2.0: every feed, for a reader to take in at once. Without dates: it changes when a feed comes or goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedsync.feeds.xml import HEAD, check_well_formed, escape
from feedsync.text import strip_illegal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feedsync.feeds.feed import Feed
    from feedsync.model import Site


def draw_outline(feed: Feed) -> str:
    """One feed in the list."""
    return (
        f'<outline type="rss" text="{escape(feed.title)}" title="{escape(feed.title)}" '
        f'xmlUrl="{escape(feed.url("atom"))}" htmlUrl="{escape(feed.alternate)}"/>\n'
    )


def draw_opml(site: Site, everything: str, groups: Iterable[tuple[str, Iterable[str]]]) -> bytes:
    """The outline of the feed of everything, then the others under the headings of their kinds, in their order."""
    body = everything + "".join(
        f'<outline text="{escape(heading)}" title="{escape(heading)}">\n{"".join(outlines)}</outline>\n'
        for heading, outlines in groups
    )
    title = escape(strip_illegal(site.title))
    document = (
        f'{HEAD}<opml version="2.0">\n<head>\n<title>{title}</title>\n</head>\n<body>\n{body}</body>\n</opml>\n'
    ).encode()
    check_well_formed(document, "feeds.opml")
    return document
