"""What a server says about time: until when an answer is good, and when to come back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = timedelta(days=1)
"""No server may silence a source for longer."""

_SECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)
_MAX_AGE = re.compile(r'(?:^|[\s,])max-age\s*=\s*"?([0-9]{1,10})', re.ASCII | re.IGNORECASE)
_NOT_KEPT = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b", re.IGNORECASE)


def freshness(headers: Mapping[str, str], now: datetime) -> timedelta:
    """How long an answer is good without asking again (RFC 9111, 4.2), a day at most.

    `headers` has lower-case names. `max-age` beats `Expires`; `Age` counts against it; no guessing.
    """
    control = headers.get("cache-control", "")
    if _NOT_KEPT.search(control):
        return timedelta()
    if match := _MAX_AGE.search(control):
        age = headers.get("age", "").strip()
        seconds = int(match.group(1)) - (int(age) if _SECONDS.fullmatch(age) else 0)
        return max(timedelta(), min(timedelta(seconds=min(seconds, 10**9)), MOST))
    expires = http_date(headers.get("expires", ""))
    if expires is None:
        return timedelta()
    return max(timedelta(), min(expires - (http_date(headers.get("date", "")) or now), MOST))


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """What `Retry-After` asks for (RFC 9110, 10.2.3): seconds or a date, a day at most; None when it says nothing."""
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(timedelta(seconds=min(int(value), 10**9)), MOST)
    moment = http_date(value)
    if moment is None or moment <= now:
        return None
    return min(moment - now, MOST)


def http_date(text: str) -> datetime | None:
    """An HTTP date in any of its three forms; None when it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def back_off(failures: int, spread: int) -> timedelta:
    """How long to leave something alone after so many failures in a row: a minute, doubled each time, 12 hours at most.

    `spread` (any number that stays the same for the same URL) moves it by up to a quarter, so that what failed
    together does not come back together.
    """
    seconds = min(60.0 * 2 ** min(failures - 1, 20), 12 * 3600)
    return timedelta(seconds=seconds * (1 + (spread % 1000) / 4000))
