"""What each kind of published file is served as: its type, how long it may be kept, who may read it."""

from __future__ import annotations

import re

from feedsync.values import Struct
from feedsync.web.message import FEED_FIELDS, PAGE_FIELDS

_HASHED = re.compile(r"(?:large/)?assets/[^/]*[.-][0-9a-f]{8,64}\.[a-z0-9]+")
_KEPT_S = 31_536_000


class Kind(Struct, frozen=True):
    """How files of one extension are served."""

    media_type: str
    max_age_s: int
    feed: bool = False

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """The header fields all files of this kind have."""
        fields = PAGE_FIELDS if self.media_type.startswith("text/html") else FEED_FIELDS
        return (*fields, *CROSS_ORIGIN) if self.feed else fields


CROSS_ORIGIN = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "ETag"))

KINDS = {
    "atom": Kind("application/atom+xml; charset=utf-8", 60, feed=True),
    "rss": Kind("application/rss+xml; charset=utf-8", 60, feed=True),
    "json": Kind("application/feed+json; charset=utf-8", 60, feed=True),
    "opml": Kind("text/x-opml; charset=utf-8", 300, feed=True),
    "html": Kind("text/html; charset=utf-8", 60),
    "css": Kind("text/css; charset=utf-8", 3600),
    "xml": Kind("application/xml; charset=utf-8", 300),
    "txt": Kind("text/plain; charset=utf-8", 3600),
    "svg": Kind("image/svg+xml; charset=utf-8", 3600),
    "png": Kind("image/png", 3600),
    "ico": Kind("image/x-icon", 3600),
}


def kind_of(path: str) -> Kind | None:
    """None for what is never served."""
    return KINDS.get(path.rpartition(".")[2])


def cache_control(path: str, kind: Kind) -> str:
    """Feeds and lists for a minute, articles for five; for good only what bears the hash of its content in its name."""
    if _HASHED.fullmatch(path):
        return f"public, max-age={_KEPT_S}, immutable"
    return f"public, max-age={300 if path.startswith('article/') else kind.max_age_s}"
