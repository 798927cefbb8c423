"""What a feed is, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feedsync.feeds import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feedsync.model import Known, Site

EMPTY = datetime(1970, 1, 1, tzinfo=UTC)
"""`updated` of a feed without entries: no clock in any published byte."""


@dataclass(frozen=True, slots=True)
class Feed:
    """The metadata of a feed; `updated` is that of its newest entry."""

    id: str
    title: str
    updated: datetime
    url: str
    alternate: str


def feed_of_all(site: Site, entries: Iterable[Known]) -> Feed:
    return Feed(
        names.feed_id(site, "all"),
        site.title,
        _newest(entries),
        names.url(site, names.ALL_ATOM),
        names.url(site, ""),
    )


def feed_of_category(site: Site, value: str, label: str, entries: Iterable[Known]) -> Feed:
    return Feed(
        names.feed_id(site, f"category/{names.slug(value)}"),
        f"{label} - {site.title}",
        _newest(entries),
        names.url(site, names.category_path(value, "atom")),
        names.url(site, names.category_path(value, "html")),
    )


def _newest(entries: Iterable[Known]) -> datetime:
    return max((entry.updated for entry in entries), default=EMPTY)
