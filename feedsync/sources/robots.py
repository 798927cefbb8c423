"""robots.txt: what a host asks of robots (RFC 9309)."""

from __future__ import annotations

from functools import lru_cache

from protego import Protego

AGENT = "feedsync"
_MOST_BYTES = 524_288
_LONGEST_DELAY_S = 60.0


class Robots:
    """The rules of one host; None or "" allows everything."""

    def __init__(self, text: str | None) -> None:
        self._rules = _parsed(text[:_MOST_BYTES]) if text else None

    def allows(self, url: str) -> bool:
        return self._rules is None or bool(self._rules.can_fetch(url, AGENT))

    @property
    def delay_s(self) -> float:
        """The least time between two requests (`Crawl-delay`), a minute at most."""
        delay = self._rules.crawl_delay(AGENT) if self._rules else None
        return min(float(delay), _LONGEST_DELAY_S) if delay and delay > 0 else 0.0


@lru_cache(maxsize=64)
def _parsed(text: str) -> Protego:
    return Protego.parse(text)
