"""How to behave towards the servers of a source."""

from __future__ import annotations

from feedsync.values import Struct


class FetchPolicy(Struct, frozen=True):
    """Bounds and manners. Times in seconds, delays in milliseconds, sizes in bytes after decoding."""

    allow_private: bool = False
    robots: bool = True
    per_host_concurrency: int = 2
    min_delay_ms: float = 0
    connect_timeout_s: float = 10
    read_timeout_s: float = 20
    total_timeout_s: float = 60
    max_body_bytes: int = 5_000_000
    max_redirects: int = 5
    headers: tuple[tuple[str, str], ...] = ()
    contact: str = ""
