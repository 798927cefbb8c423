"""The encoded copies of published files, made once, for every server that finds them beside the originals."""

from __future__ import annotations

import zlib

import brotli
from isal import isal_zlib

SUFFIXES = (".br", ".gz")
"""What is put behind a file's name, as nginx (gzip_static, brotli_static) and Caddy (precompressed) look for it."""

_TEXT = (".atom", ".rss", ".json", ".opml", ".html", ".css", ".svg", ".xml", ".txt")
_GZIP_FROM_BYTES = 1400
"""A smaller file is one packet anyway."""
_BROTLI_FROM_BYTES = 16_384
"""Below this, Brotli saves less than a packet over gzip."""
_BROTLI_TO_BYTES = 131_072
"""Brotli takes seven times as long as our gzip, for a sixth less: nothing to wait for at each new article."""
_ARTICLES = "article/"
_ARTICLE_FROM_BYTES = 14_600
"""An article's page is fetched once, not polled: what fits into the ten packets a connection begins with is not faster
for being small, and a million copies cost a block of disk and a file to write each."""

_GZIP_LEVEL = 2
_BROTLI_QUALITY = 5
_GZIP_WINDOW = 31
_PACKED_LEVEL = 1
_PACKED_WINDOW = -15


def suffixes(path: str, size: int) -> tuple[str, ...]:
    """Which encoded copies a file of this name and size in bytes has."""
    least = _ARTICLE_FROM_BYTES if path.startswith(_ARTICLES) else _GZIP_FROM_BYTES
    if size < least or not can_have_copies(path):
        return ()
    return SUFFIXES if _BROTLI_FROM_BYTES <= size <= _BROTLI_TO_BYTES else (".gz",)


def original_of(path: str) -> str:
    """The path of which this is an encoded copy, or this path itself."""
    for suffix in SUFFIXES:
        path = path.removesuffix(suffix)
    return path


def can_have_copies(path: str) -> bool:
    """Whether a file of this name has encoded copies when it is large enough."""
    return path.endswith(_TEXT)


def encoded(suffix: str, content: bytes) -> bytes:
    """An encoded copy. The same content gives the same bytes: no name, no time in them."""
    return _brotli(content) if suffix == ".br" else _gzip(content)


def decoded(suffix: str, content: bytes) -> bytes | None:
    """What an encoded copy holds, None when it is broken."""
    try:
        return brotli.decompress(content) if suffix == ".br" else zlib.decompress(content, _GZIP_WINDOW)
    except (brotli.error, zlib.error):
        return None


def packed(content: bytes) -> bytes:
    """Content to be kept in memory: packing 23 KB takes 35 us and leaves 6, unpacking them 23 us."""
    return isal_zlib.compress(content, _PACKED_LEVEL, _PACKED_WINDOW)


def unpacked(content: bytes) -> bytes:
    """What was packed."""
    return isal_zlib.decompress(content, _PACKED_WINDOW)


def _gzip(content: bytes) -> bytes:
    return isal_zlib.compress(content, _GZIP_LEVEL, _GZIP_WINDOW)


def _brotli(content: bytes) -> bytes:
    return bytes(brotli.compress(content, mode=brotli.MODE_TEXT, quality=_BROTLI_QUALITY))
