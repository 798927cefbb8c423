"""What the HTTP server is told when it starts."""

from __future__ import annotations

from feedsync.values import Struct, field


class Options(Struct, frozen=True):
    """Times in seconds, sizes in bytes."""

    root: str
    """The output folder."""
    redirects: dict[str, str] = field(default_factory=dict)
    """From a path that is published no more to a URL or path: `/category/old.atom`."""
    formats: tuple[str, ...] = ("atom", "rss", "json")
    """The extensions of the formats that are published."""
    max_connections: int = 10_000
    header_timeout_s: float = 10
    idle_timeout_s: float = 60
    write_timeout_s: float = 30
    cache_bytes: int = 64_000_000
    store_url: str = ""
    """Where to search; "" for nowhere."""
    presentation: str = ""
    """The options that take part in what a search shows: `feeds.Presentation` as JSON."""
