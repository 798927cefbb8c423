"""What a feed is and what an entry says, whatever the format."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from feedsync.feeds import names
from feedsync.model import CATEGORY, SYMBOL, Role
from feedsync.text import digest, strip_illegal
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from feedsync.feeds.schemes import Scheme
    from feedsync.model import Article, Entry, Site

    Labels = Mapping[tuple[str, str], str]
    """What people read for what has feeds, by scheme and value. A category without one is shown by its value."""

EMPTY = datetime(1970, 1, 1, tzinfo=UTC)
"""`updated` of a feed without entries: no clock in any published byte."""


_SYMBOL_SCHEMES = {Role.SUBJECT: "symbol/subject/", Role.MENTION: "symbol/"}


class Deleted(Struct, frozen=True):
    """An entry that stood in a feed and was withdrawn (`at:deleted-entry`, RFC 6721)."""

    id: str
    at: datetime
    reason: str = ""


class Feed(Struct, frozen=True):
    """The metadata of a feed; `updated` is that of its newest entry.

    `stem` is its URL without the extension that names the format. `complete`: it holds all its articles
    (RFC 5005, 2).
    """

    id: str
    title: str
    updated: datetime
    stem: str
    alternate: str
    complete: bool = False
    deleted: tuple[Deleted, ...] = ()
    suffix: str = ""

    def url(self, extension: str) -> str:
        """Where a format of the feed is published."""
        return f"{self.stem}.{extension}{self.suffix}"


def feed_of_all(site: Site, updates: Iterable[datetime] = (), *, complete: bool = False) -> Feed:
    """The feed of everything; `updates` are those of its entries."""
    return Feed(
        names.feed_id(site, names.ALL),
        strip_illegal(site.title),
        max(updates, default=EMPTY),
        names.url(site, names.ALL),
        names.url(site, ""),
        complete,
    )


def feed_of_term(
    site: Site, scheme: Scheme, value: str, label: str, updates: Iterable[datetime] = (), *, complete: bool = False
) -> Feed:
    """The feed of a term, called as its label says; `updates` are those of its entries."""
    stem = scheme.stem(value)
    return Feed(
        names.feed_id(site, stem),
        strip_illegal(f"{scheme.title(value, label)} - {site.title}"),
        max(updates, default=EMPTY),
        names.url(site, stem),
        names.url(site, f"{stem}.html"),
        complete,
    )


def feed_of_search(site: Site, query: str, asked: str, updates: Iterable[datetime]) -> Feed:
    """The feed of a query; `asked` is the query as part of a URL, `updates` are those of its entries."""
    stem = names.url(site, names.SEARCH)
    return Feed(
        names.feed_id(site, f"{names.SEARCH}/{digest(query).hex()}"),
        strip_illegal(f"{query} - {site.title}"),
        max(updates, default=EMPTY),
        stem,
        f"{stem}?{asked}",
        suffix=f"?{asked}",
    )


def title_of(article: Article) -> str:
    """The title as every format shows it."""
    return strip_illegal(article.title.text)


def outlet_of(article: Article, site: Site) -> str:
    """Who published an article: the outlet, else the site."""
    return strip_illegal(article.credit.outlet if article.credit else site.title)


def content_of(entry: Entry) -> str:
    """The HTML of an entry, its title when it has no text."""
    return entry.html or f"<p>{escape(entry.known.article.title.text, quote=False)}</p>"


class Named(Struct, frozen=True):
    """A symbol of an article as feeds tell of it: subjects and mentions have taxonomies of their own."""

    value: str
    label: str
    role: Role
    scheme: str


def symbols_of(article: Article, site: Site, labels: Labels) -> list[Named]:
    """The symbols of an article that have feeds, those it is about first."""
    found = [
        Named(s.value, labels[SYMBOL, s.value], s.role, names.url(site, _SYMBOL_SCHEMES[s.role]))
        for s in article.symbols
        if (SYMBOL, s.value) in labels
    ]
    return sorted(found, key=lambda symbol: symbol.role is not Role.SUBJECT)


def words_of(article: Article, labels: Labels) -> list[str]:
    """What people read of an article's categories and tags, each once, in the order of the Atom entry."""
    words = [labels.get((CATEGORY, c.term), c.term) for c in article.categories]
    return list(dict.fromkeys([*words, *map(names.tag_label, article.tags)]))


def rfc3339(moment: datetime) -> str:
    """An instant in UTC, whole seconds, with `Z`: one reader drops offsets."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")[:-6] + "Z"
