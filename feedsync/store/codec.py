"""Domain values to columns and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from feedsync.errors import StoreError
from feedsync.model import Article
from feedsync.text import digest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Article)

_CODED, _TITLED, _UPSTREAM = "x-", "t-", "u-"


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def encode(article: Article) -> bytes:
    return _encoder.encode(article)


def decode(facts: bytes) -> Article:
    return _decoder.decode(facts)


def narrow(text: str) -> str | bytes:
    """Text as it is stored, in UTF-8 (as text) or UTF-16 (as bytes), whichever is shorter.

    A Chinese character takes three bytes in the one and two in the other; see docs/decisions/0030-narrow-text.md.
    """
    if text.isascii():
        return text
    encoded = text.encode("utf-16-le")
    return encoded if len(encoded) < len(text.encode()) else text


def widen(stored: str | bytes) -> str:
    """The text that `narrow` made this of. Raises StoreError when it made nothing like that."""
    if isinstance(stored, str):
        return stored
    try:
        return stored.decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise StoreError(
            f"the database holds a text that is damaged: {error}", remedy="`feedsync restore` a copy of the database"
        ) from error


def id_of_key(key: str) -> int:
    """The 63-bit row id of a key, in an order that agrees with the keys': infoCodes by time, then the others."""
    if key.startswith(_TITLED):
        return 2 * 10**18 + int(key[len(_TITLED) :], 16)
    if key.startswith(_CODED):
        return 4 * 10**18 + int.from_bytes(digest(key)[:7], "big")
    if key.startswith(_UPSTREAM):
        return 5 * 10**18 + int(key[len(_UPSTREAM) :], 16)
    return int(key)
