"""The kinds of source: the table of each in the configuration, and the source it describes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from msgspec import Meta

from feedsync.cron import Cron
from feedsync.cron import parse as parse_cron
from feedsync.parse import ListShape, Rewrite, selector_fault
from feedsync.sources import FeedSource, FetchPolicy, FileSource, ListSource, Source, UrlSource

_Seconds = Annotated[float, Meta(gt=0)]
_Count = Annotated[int, Meta(gt=0)]
_Words = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class FetchTable:
    """`[fetch]`"""

    contact: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What all kinds share."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9\u4e00-\u9fff][\w.-]{0,63}$")]
    kind: str
    interval_s: _Seconds = 60
    cron: str = ""
    cron_timezone: str = "UTC"
    default_category: _Words = "weifenlei"
    max_body_bytes: _Count = 5_000_000
    allow_private: bool = False
    robots: bool = True
    per_host_concurrency: Annotated[int, Meta(ge=1, le=64)] = 2
    min_delay_ms: Annotated[float, Meta(ge=0)] = 0
    connect_timeout_s: _Seconds = 10
    read_timeout_s: _Seconds = 20
    total_timeout_s: _Seconds = 60
    max_redirects: Annotated[int, Meta(ge=0, le=20)] = 5
    headers: dict[str, str] = field(default_factory=dict)

    def policy(self, contact: str) -> FetchPolicy:
        """How to behave towards the servers of this source."""
        shared = set(FetchPolicy.__struct_fields__) - {"headers", "contact"}
        return FetchPolicy(
            **{name: getattr(self, name) for name in shared}, headers=tuple(self.headers.items()), contact=contact
        )

    def times(self) -> Cron | None:
        """The cron expression, which takes the place of the interval. Raises ValueError with what is wrong."""
        return parse_cron(self.cron, ZoneInfo(self.cron_timezone)) if self.cron else None

    def faults(self) -> list[str]:
        """What types do not say: `key: what is wrong` each."""
        found = []
        try:
            ZoneInfo(self.cron_timezone)
            self.times()
        except (KeyError, OSError):
            found.append(f"cron_timezone: there is no time zone {self.cron_timezone!r}; write 'UTC', say")
        except ValueError as error:
            found.append(f"cron: {error}")
        return found + [
            f"headers.{name}: it cannot stand in a header"
            for name, value in self.headers.items()
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not value.isascii() or not value.isprintable()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesTable(_Table):
    """`[[sources]]` of kind `files`"""

    path: _Words
    pattern: list[str] = field(default_factory=lambda: ["*.md", "*.txt"])
    timeout_s: _Seconds = 30
    fetch_missing: bool = False

    def faults(self) -> list[str]:
        found = _Table.faults(self)
        if not self.pattern or not all(self.pattern):
            found.append("pattern: it must name at least one pattern, such as '*.md'")
        return found

    def source(self, contact: str) -> Source:
        return FileSource(
            name=self.name,
            path=Path(self.path),
            pattern=tuple(self.pattern),
            interval_s=self.interval_s,
            cron=self.times(),
            timeout_s=self.timeout_s,
            max_body_bytes=self.max_body_bytes,
            default_category=self.default_category.strip(),
            fetch=self.policy(contact) if self.fetch_missing else None,
        )


@dataclass(frozen=True, slots=True)
class RewriteTable:
    """One of `rewrite`: a regular expression a page URL matches, and the URL where its text lives."""

    match: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlsTable(_Table):
    """`[[sources]]` of kind `urls`"""

    interval_s: _Seconds = 3600
    urls: list[str] = field(default_factory=list)
    path: str = ""
    rewrite: list[RewriteTable] = field(default_factory=list)
    content_selector: str = ""

    def faults(self) -> list[str]:
        found = _Table.faults(self)
        if not self.urls and not self.path:
            found.append("urls: name some, or a file of them with path")
        found += (f"urls: {fault}" for url in self.urls if (fault := _url_fault(url)))
        for number, rule in enumerate(self.rewrite):
            try:
                pattern = re.compile(rule.match)
                # A template is checked when it is used: use it on something that matches for sure.
                re.sub(f"(?:{rule.match})|$", rule.to, "")
                del pattern
            except (re.error, IndexError) as error:
                found.append(f"rewrite[{number}]: {error}")
        if self.content_selector and (fault := selector_fault(self.content_selector)):
            found.append(f"content_selector: {fault}")
        return found

    def source(self, contact: str) -> Source:
        return UrlSource(
            name=self.name,
            urls=tuple(self.urls),
            path=Path(self.path) if self.path else None,
            rewrite=tuple(Rewrite(re.compile(rule.match), rule.to) for rule in self.rewrite),
            content_selector=self.content_selector,
            interval_s=self.interval_s,
            cron=self.times(),
            default_category=self.default_category.strip(),
            policy=self.policy(contact),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTable(_Table):
    """`[[sources]]` of kind `list`"""

    interval_s: _Seconds = 300
    url: str
    records: str
    fields: dict[str, str] = field(default_factory=dict)
    detail_url: str
    body: _Words = "text"
    category: str = ""
    tag: str = ""

    def faults(self) -> list[str]:
        found = _Table.faults(self)
        found += (
            f"{key}: {fault}"
            for key, url in (("url", self.url), ("detail_url", self.detail_url))
            if (fault := _url_fault(url))
        )
        if "{info_code}" not in self.detail_url:
            found.append("detail_url: it must hold {info_code}")
        known = (*_FIELDS, "tags", "categories")
        found += (
            f"fields.{name}: there is no such field; the fields are {', '.join(known)}"
            for name in self.fields
            if name not in known
        )
        return found

    def source(self, contact: str) -> Source:
        return ListSource(
            name=self.name,
            url=self.url,
            shape=ListShape(
                records=self.records,
                fields=_FIELDS | self.fields,
                body=self.body,
                category=self.category.strip(),
                tag=self.tag.strip(),
            ),
            detail_url=self.detail_url,
            interval_s=self.interval_s,
            cron=self.times(),
            default_category=self.default_category.strip(),
            policy=self.policy(contact),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedTable(_Table):
    """`[[sources]]` of kind `feed`"""

    interval_s: _Seconds = 900
    url: str

    def faults(self) -> list[str]:
        found = _Table.faults(self)
        if fault := _url_fault(self.url):
            found.append(f"url: {fault}")
        return found

    def source(self, contact: str) -> Source:
        return FeedSource(
            name=self.name,
            url=self.url,
            interval_s=self.interval_s,
            cron=self.times(),
            default_category=self.default_category.strip(),
            policy=self.policy(contact),
        )


SourceTable = FilesTable | UrlsTable | ListTable | FeedTable

KINDS: dict[str, type[SourceTable]] = {"files": FilesTable, "urls": UrlsTable, "list": ListTable, "feed": FeedTable}
"""The table of each kind."""

_FIELDS = {
    "info_code": "infoCode",
    "title": "title",
    "published": "showtime",
    "outlet": "from",
    "digest": "digest",
    "page_url": "url_w",
}


def _url_fault(url: str) -> str:
    """Why this is no URL to fetch, "" when it is one; a password in it is not repeated."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"it is not a URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in url):
        return "write an absolute http(s) URL"
    return ""
