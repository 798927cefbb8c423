"""The kinds of source that are fetched over HTTP: what the operator may set for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedsync.sources.policy import FetchPolicy
from feedsync.values import Struct, field

if TYPE_CHECKING:
    from pathlib import Path

    from feedsync.cron import Cron
    from feedsync.parse import ListShape, Rewrite

_LOOK_S = 60.0


class UrlSource(Struct, frozen=True):
    """Pages: each URL is fetched once, then asked again every `interval_s`."""

    name: str
    urls: tuple[str, ...] = ()
    path: Path | None = None
    rewrite: tuple[Rewrite, ...] = ()
    content_selector: str = ""
    interval_s: float = 3600
    cron: Cron | None = None
    default_category: str = "weifenlei"
    policy: FetchPolicy = field(default_factory=FetchPolicy)

    @property
    def every_s(self) -> float:
        """The time between two looks for pages that are due: one that failed may be due sooner than the others."""
        return min(self.interval_s, _LOOK_S)


class ListSource(Struct, frozen=True):
    """A JSON endpoint that lists articles, and one that has the text of each."""

    name: str
    url: str
    shape: ListShape
    detail_url: str
    interval_s: float = 300
    cron: Cron | None = None
    default_category: str = "weifenlei"
    policy: FetchPolicy = field(default_factory=FetchPolicy)

    @property
    def every_s(self) -> float:
        """The time between two polls."""
        return self.interval_s


class FeedSource(Struct, frozen=True):
    """An upstream RSS, Atom or JSON feed."""

    name: str
    url: str
    interval_s: float = 900
    cron: Cron | None = None
    default_category: str = "weifenlei"
    policy: FetchPolicy = field(default_factory=FetchPolicy)

    @property
    def every_s(self) -> float:
        """The time between two polls."""
        return self.interval_s


FetchedSource = UrlSource | ListSource | FeedSource
