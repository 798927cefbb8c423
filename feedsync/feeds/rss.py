"""RSS 2.0, as text.

Not with feedgen: it writes `content:encoded` only beside a `description`, defaults `lastBuildDate` to the clock,
and switches the locale of the whole process to write a date (docs/decisions/0007-formats.md).
"""

from __future__ import annotations

from datetime import UTC
from email.utils import format_datetime
from typing import TYPE_CHECKING

from feedsync import __version__
from feedsync.feeds import names
from feedsync.feeds.feed import content_of, outlet_of, rfc3339, symbols_of, title_of, words_of
from feedsync.feeds.layout import RSS
from feedsync.feeds.xml import HEAD, check_element, check_well_formed, escape
from feedsync.text import strip_illegal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from feedsync.feeds.feed import Feed, Labels
    from feedsync.feeds.layout import Piece
    from feedsync.model import Entry, Site

_OPENING = (
    '<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" '
    'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
)
_PICTURES = (".png", ".jpg", ".jpeg", ".gif")
"""What may stand in an RSS image."""


def draw_entry(entry: Entry, site: Site, labels: Labels) -> bytes:
    """The XML of one entry. Symbols have the taxonomy of the Atom entry; other categories are for people alone.

    Raises OutputError when it is not well-formed, which would be a fault of ours.
    """
    known, article = entry.known, entry.known.article
    origin = article.attribution
    source = ""
    if origin and origin.url:  # RSS wants it
        source = f'<source url="{escape(origin.url)}">{escape(strip_illegal(origin.title))}</source>'
    categories = "".join(f"<category>{escape(word)}</category>" for word in words_of(article, labels))
    categories += "".join(
        f'<category domain="{escape(symbol.scheme)}">{escape(symbol.label)}</category>'
        for symbol in symbols_of(article, site, labels)
    )
    item = (
        f"<item><title>{escape(title_of(article))}</title>"
        f"<link>{escape(names.url(site, names.article_path(article.key)))}</link>"
        f'<guid isPermaLink="false">{escape(names.article_id(site, article.key))}</guid>'
        f"<pubDate>{_rfc822(known.published)}</pubDate>"
        f"<atom:updated>{rfc3339(known.updated)}</atom:updated>"
        f"<dc:creator>{escape(outlet_of(article, site))}</dc:creator>{source}{categories}"
        # An empty description: validators want one before the content; with words in it, some show those alone.
        f"<description/><content:encoded>{escape(content_of(entry))}</content:encoded></item>"
    ).encode()
    check_element(item, article.key)
    return item


def draw_feed(feed: Feed, site: Site, entries: Sequence[Piece]) -> bytes:
    """A feed document around entries already drawn. Raises OutputError as `draw_entry` does."""
    title, alternate, url = escape(feed.title), escape(feed.alternate), escape(feed.url("rss"))
    history = ' xmlns:fh="http://purl.org/syndication/history/1.0"' if feed.complete else ""
    image = ""
    if site.icon.lower().endswith(_PICTURES):
        image = f"<image><url>{escape(site.icon)}</url><title>{title}</title><link>{alternate}</link></image>\n"
    opening = (
        f"{HEAD}{_OPENING}{history}>\n<channel>\n<title>{title}</title>\n<link>{alternate}</link>\n"
        f'<atom:link rel="self" type="{names.RSS_TYPE}" href="{url}"/>\n'
        f"<description>{title}</description>\n<language>{escape(site.language)}</language>\n"
        f"<lastBuildDate>{_rfc822(feed.updated)}</lastBuildDate>\n<generator>feedsync {__version__}</generator>\n"
        f"{image}{'<fh:complete/>' if feed.complete else ''}"
    )
    head = opening.encode()
    check_well_formed(head + RSS.ending, feed.url("rss"))
    return RSS.join(head, entries)


def _rfc822(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)
