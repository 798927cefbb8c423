"""Identifiers, paths and URLs of everything published. They follow from the key or value alone and never change."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from feedsync.text import digest, strip_illegal

if TYPE_CHECKING:
    from feedsync.model import Site

ATOM_TYPE = "application/atom+xml"
RSS_TYPE = "application/rss+xml"
JSON_TYPE = "application/feed+json"

ALL = "all"
OPML = "feeds.opml"
INDEX = "index.html"
SEARCH = "search"
ARTICLE_FOLDER = "article"
GONE = ".gone"
REVISIONS = "revisions"
"""The part of an article's page that tells what changed."""
ASSETS_FOLDER = "assets"
LARGE = "large"
"""The folder under which every page stands once more, in large type."""

ERRORS = (404, 405, 410)

_PLAIN = re.compile(r"[a-z0-9][a-z0-9-]*")
_MAX_PLAIN = 200
_MAX_PREFIX = 40


def slug(value: str) -> str:
    """A safe file name for any value, on any disk: the value itself when it is one already.

    Any other value gives what is ASCII in it, an underscore, and a digest of the whole. A plain value never
    holds an underscore, so the two kinds cannot meet; two different values share a digest once in 2**64.
    """
    if len(value) <= _MAX_PLAIN and _PLAIN.fullmatch(value):
        return value
    return coded(value)


@lru_cache(maxsize=8192)
def coded(value: str) -> str:
    """The form of a slug that is not the value itself."""
    ascii_part = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:_MAX_PREFIX].strip("-")
    return f"{ascii_part or 'c'}_{digest(value).hex()[:16]}"


def article_id(site: Site, key: str) -> str:
    """The `tag:` URI (RFC 4151) of an article: no URL, title or date takes part, so nothing can change it."""
    return f"tag:{site.authority}:article/{key}"


def feed_id(site: Site, name: str) -> str:
    """The `tag:` URI of a feed; `name` is `all` or its path, such as `category/<slug>`."""
    return f"tag:{site.authority}:feed/{name}"


def article_path(key: str) -> str:
    return f"{ARTICLE_FOLDER}/{key}.html"


def gone_path(path: str) -> str:
    """The empty file that says of a path that what stood there was withdrawn: servers answer 410 (Gone)."""
    return path + GONE


def archive_path(stem: str, year: int, number: int) -> str:
    """A page of older articles: the `number`th of a year, from 1, counted from the oldest."""
    return f"{stem}/{year:04d}-{number}.html"


def error_path(status: int) -> str:
    return f"{status}.html"


def url(site: Site, path: str) -> str:
    """The absolute URL of a published path."""
    return f"{site.base_url.rstrip('/')}/{path}"


def label(category: str, suggested: str, configured: dict[str, str]) -> str:
    """What people read for a category: configured, else the tag of its posts less one final 新闻, else the value."""
    chosen = configured.get(category) or suggested.removesuffix("新闻").strip() or suggested or category
    return tag_label(strip_illegal(chosen))


def tag_label(tag: str) -> str:
    """What people read for a tag: readers take an ASCII comma for the end of one."""
    return tag.replace(",", "，")


def aliases(key: str) -> list[str]:
    """The spellings of an infoCode by which an article is known."""
    return [f"NW{key}", key] if key.isdigit() else [key]
