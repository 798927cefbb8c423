"""URLs to fetch: which are allowed, what belongs to one host, and how they may be shown."""

from __future__ import annotations

import re

import httpx

from feedsync.sources.fault import FetchFault
from feedsync.text import digest

MOST_CHARACTERS = 4096

_PARAMETER = re.compile(r"(?:(?<=[&;])|^)([^=&;#]+)=([^&;#]+)")
_SECRET = re.compile(
    r"(?:token|secret|passw(?:or)?d|pwd|(?:api|app|access|auth|secret)[-_]?key|signature|credentials?|(?:^|[-_])auth)$"
    r"|^(?:key|pass|sign?)$",
    re.IGNORECASE,
)
"""Names of parameters whose values open doors."""


def checked(url: str) -> httpx.URL:
    """An absolute http(s) URL. Raises FetchFault (`url`) for any other."""
    if len(url) > MOST_CHARACTERS:
        raise FetchFault("url", f"the URL has more than {MOST_CHARACTERS} characters")
    try:
        parsed = httpx.URL(url.strip())
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise FetchFault("url", f"it is not a URL: {error}", remedy="correct it") from error
    if parsed.scheme not in ("http", "https"):
        raise FetchFault("url", f"{parsed.scheme or 'no'} scheme: only http and https are fetched")
    if not parsed.host:
        raise FetchFault("url", "the URL names no host", remedy="correct it")
    return parsed


def origin_of(url: httpx.URL) -> str:
    """Scheme, host and port: what politeness is counted by."""
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    return f"{url.scheme}://{url.raw_host.decode('ascii', 'replace')}:{port}"


def shown(url: str | httpx.URL) -> str:
    """A URL as it may appear in logs, errors, feeds and the store: without a user name, a password or a token.

    In the place of a token stands a short digest of it, so that two such URLs are still two. What cannot be read as
    a URL is shown from its last `@` on, for there may be a password before that.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        text = str(url)
        return _without_secrets(text if "@" not in text else "…" + text[text.rindex("@") :])
    return _without_secrets(str(parsed.copy_with(username=None, password=None) if parsed.userinfo else parsed))


def _without_secrets(url: str) -> str:
    start, mark, query = url.partition("?")
    return start + mark + _PARAMETER.sub(_hidden, query) if mark else url


def _hidden(match: re.Match[str]) -> str:
    name, value = match.groups()
    if not _SECRET.search(name) or value.isdecimal():  # a number is an article's, whatever it is called
        return match.group()
    return f"{name}=hidden-{digest(value).hex()[:6]}"
