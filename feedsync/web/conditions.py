"""Conditional requests and content negotiation (RFC 9110, sections 12.5.3 and 13), as functions of values."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

_TAGS = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_CODING = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:;\s*q\s*=\s*([0-9.]{1,6})\s*)?")
_CODINGS = ("br", "gzip")
_CACHED = 512


def unchanged(fields: dict[bytes, bytes], etag: bytes, modified: bytes, modified_s: int, now_s: float) -> bool:
    """Whether the client has this representation. If-None-Match beats If-Modified-Since, even when it is garbage."""
    if (tags := fields.get(b"if-none-match")) is not None:
        return tags == etag or tags.strip() == b"*" or any(match[2] == etag for match in _TAGS.finditer(tags))
    if (since := fields.get(b"if-modified-since")) is not None:
        if since == modified:
            return True
        moment = seconds(since)
        # A date in the future says nothing, unless it is the one we sent: files may be dated ahead a little.
        return moment is not None and modified_s <= moment <= now_s
    return False


def failed(fields: dict[bytes, bytes], etag: bytes, modified_s: int) -> bool:
    """Whether a precondition forbids the answer (412): If-Match, compared strongly, else If-Unmodified-Since."""
    if (tags := fields.get(b"if-match")) is not None:
        return tags.strip() != b"*" and not any(m[2] == etag and not m[1] for m in _TAGS.finditer(tags))
    if (since := fields.get(b"if-unmodified-since")) is not None:
        moment = seconds(since)
        return moment is not None and modified_s > moment
    return False


def codings(accept: bytes | None) -> tuple[str, ...]:
    """The content codings a client takes, best first; identity is what is left when none of them is there."""
    if not accept:
        return ()
    return _codings(accept) if len(accept) < _CACHED else _codings.__wrapped__(accept)


@lru_cache(maxsize=_CACHED)
def _codings(accept: bytes) -> tuple[str, ...]:
    weights: dict[str, float] = {}
    for part in accept.decode("latin-1").lower().split(","):
        if match := _CODING.fullmatch(part):
            weights.setdefault(match[1].removeprefix("x-"), _weight(match[2]))
    others = weights.get("*", 0.0)
    plain = weights.get("identity", 0.0)
    found = [(weight, coding) for coding in _CODINGS if (weight := weights.get(coding, others)) > 0 and weight >= plain]
    return tuple(coding for _, coding in sorted(found, key=lambda pair: -pair[0]))


def _weight(text: str | None) -> float:
    try:
        return min(float(text), 1.0) if text else 1.0
    except ValueError:
        return 0.0


def seconds(date: bytes) -> int | None:
    """An HTTP date (any of the three forms of RFC 9110, 5.6.7) as seconds since 1970, None when it is none."""
    try:
        moment = parsedate_to_datetime(date.decode("ascii"))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
