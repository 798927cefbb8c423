"""The configuration file: TOML read into the option types of the modules, every fault found at once."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from feedsync.errors import ConfigError
from feedsync.feeds import Presentation, Window
from feedsync.kinds import KINDS, FetchTable
from feedsync.model import CustomFeed, Site
from feedsync.parse.footer import web_url
from feedsync.query import QueryError, selection_of
from feedsync.sources import Source
from feedsync.text import one_line, strip_illegal
from feedsync.values import replace

VARIABLE = "FEEDSYNC_CONFIG"
PLACES = (Path("config/feedsync.toml"), Path("/etc/feedsync/feedsync.toml"))

ALWAYS_PUBLISHED = frozenset({"/", "/index.html", "/feeds.opml"})
_PATH = re.compile(r"/(?:[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?)?")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SiteTable:
    """`[site]`"""

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    base_url: str
    authority: str
    language: str = "zh-CN"
    timezone: str = "Asia/Shanghai"
    icon: str = ""


@dataclass(frozen=True, slots=True)
class StoreTable:
    """`[store]`"""

    url: str = "sqlite:///var/feedsync.db"


@dataclass(frozen=True, slots=True)
class OutputTable:
    """`[output]`"""

    path: str = "var/public"
    pages: bool = True
    search: bool = True
    explain: bool = False


@dataclass(frozen=True, slots=True)
class FeedsTable:
    """`[feeds]`"""

    min_entries: Annotated[int, Meta(ge=1)] = 50
    window_hours: Annotated[int, Meta(ge=0)] = 48
    max_entries: Annotated[int, Meta(ge=1)] = 500
    redirects: dict[str, str] = field(default_factory=dict)
    reannounce_revisions: bool = False
    tombstone_days: Annotated[int, Meta(ge=0, le=36500)] = 30
    custom: list[dict[str, Any]] = field(default_factory=list)
    outlets: bool = True
    tags: bool = True
    symbols: bool = True
    rss: bool = True
    json: bool = True

    @property
    def formats(self) -> tuple[str, ...]:
        """The extensions of the formats asked for."""
        return ("atom", *(name for name, wanted in (("rss", self.rss), ("json", self.json)) if wanted))


_Words = Annotated[str, Meta(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class CustomTable:
    """`[[feeds.custom]]`"""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]
    title: _Words
    query: str = ""
    any_of: list[_Words] = field(default_factory=list)
    none_of: list[_Words] = field(default_factory=list)
    outlets: list[_Words] = field(default_factory=list)
    symbols: list[_Words] = field(default_factory=list)
    min_characters: Annotated[int, Meta(ge=0)] = 0

    def feed(self) -> CustomFeed:
        return CustomFeed(
            self.name,
            self.title,
            self.query,
            tuple(self.any_of),
            tuple(self.none_of),
            tuple(self.outlets),
            tuple(self.symbols),
            self.min_characters,
        )


@dataclass(frozen=True, slots=True)
class ServerTable:
    """`[server]`"""

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    header_timeout_s: Annotated[float, Meta(gt=0)] = 10
    idle_timeout_s: Annotated[float, Meta(gt=0)] = 60
    write_timeout_s: Annotated[float, Meta(gt=0)] = 30
    cache_bytes: Annotated[int, Meta(ge=1_000_000)] = 64_000_000


@dataclass(frozen=True, slots=True)
class CategoryTable:
    """`[categories.<value>]`"""

    label: Annotated[str, Meta(min_length=1, max_length=100)]


@dataclass(frozen=True, slots=True)
class Config:
    """All options, checked."""

    file: Path
    presentation: Presentation
    store_url: str
    output: Path
    server: ServerTable
    sources: tuple[Source, ...]
    redirects: dict[str, str] = field(default_factory=dict)
    """Paths below `base_url` that moved for good, each to the path that took its place; both begin with `/`."""


TABLES: dict[str, type] = {
    "site": SiteTable,
    "store": StoreTable,
    "output": OutputTable,
    "feeds": FeedsTable,
    "server": ServerTable,
    "fetch": FetchTable,
    "categories": CategoryTable,
}


def find(option: str | None) -> Path:
    """The configuration file: the option, else $FEEDSYNC_CONFIG, else the usual places. Raises ConfigError."""
    named = option or os.environ.get(VARIABLE)
    if named:
        path = Path(named)
        if not path.is_file():
            raise ConfigError(f"there is no configuration file {path}", remedy=f"check --config or ${VARIABLE}")
        return path
    for path in PLACES:
        if path.is_file():
            return path
    looked = " nor ".join(map(str, PLACES))
    raise ConfigError(f"there is no configuration file: neither {looked}", remedy="name one with --config FILE")


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises ConfigError with all its faults, each with its place."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy="check its permissions") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", remedy="correct that line") from error
    return _Checker(path, tables).config()


class _Checker:
    """Collects every fault of a file before any is reported."""

    def __init__(self, path: Path, tables: dict[str, Any]) -> None:
        self.path = path
        self.tables = tables
        self.problems: list[str] = []

    def config(self) -> Config:
        self._unknown(self.tables, [*TABLES, "sources"], "")
        site = self._table("site", SiteTable)
        store = self._table("store", StoreTable)
        output = self._table("output", OutputTable)
        feeds = self._table("feeds", FeedsTable)
        server = self._table("server", ServerTable)
        fetch = self._table("fetch", FetchTable) or FetchTable()
        self._check_contact(fetch)
        sources = self._sources(fetch.contact)
        labels = self._labels()
        if site:
            self._check_site(site)
        if feeds:
            self._check_redirects(feeds.redirects, ALWAYS_PUBLISHED.union(f"/all.{name}" for name in feeds.formats))
        custom = self._custom(feeds.custom, site.timezone if site else "UTC") if feeds else ()
        if feeds and feeds.max_entries < feeds.min_entries:
            self.problems.append("feeds.max_entries: it must not be less than feeds.min_entries")
        if self.problems or not (site and store and output and feeds and server):
            count = len(self.problems)
            raise ConfigError(
                f"{self.path} has {count} fault{'s' if count != 1 else ''}",
                tuple(self.problems),
                remedy="correct them and run `feedsync check-config`",
            )
        return Config(
            file=self.path,
            presentation=Presentation(
                site=_addressed(
                    Site(**{f.name: getattr(site, f.name) for f in dataclasses.fields(site)}, formats=feeds.formats)
                ),
                window=Window(feeds.min_entries, feeds.window_hours, feeds.max_entries, feeds.reannounce_revisions),
                labels=labels,
                pages=output.pages,
                tombstone_days=feeds.tombstone_days,
                explain=output.explain,
                search=output.search,
                outlets=feeds.outlets,
                tags=feeds.tags,
                symbols=feeds.symbols,
                custom=custom,
            ),
            store_url=store.url,
            output=Path(output.path),
            server=server,
            sources=sources,
            redirects=feeds.redirects,
        )

    def _table(self, name: str, kind: type[_T]) -> _T | None:
        value = self.tables.get(name, {})
        if not isinstance(value, dict):
            self.problems.append(f"{name}: it must be a table [{name}]")
            return None
        return self._fields(value, kind, name)

    def _fields(self, values: dict[str, Any], kind: type[_T], place: str) -> _T | None:
        hints = get_type_hints(kind, include_extras=True)
        self._unknown(values, list(hints), place + ".")
        good: dict[str, Any] = {}
        sound = True
        for option in dataclasses.fields(kind):  # type: ignore[arg-type]
            if option.name not in values:
                if option.default is dataclasses.MISSING and option.default_factory is dataclasses.MISSING:
                    self.problems.append(f"{place}.{option.name}: it is required")
                    sound = False
                continue
            try:
                good[option.name] = msgspec.convert(values[option.name], hints[option.name])
            except msgspec.ValidationError as error:
                reason = re.sub(r"`(\w+)`", r"\1", str(error))
                self.problems.append(f"{place}.{option.name}: {reason}, not {values[option.name]!r}")
                sound = False
        return kind(**good) if sound else None

    def _unknown(self, values: dict[str, Any], known: list[str], place: str) -> None:
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1, 0.5) or difflib.get_close_matches(key, known, 1, 0)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                self.problems.append(f"{place}{key}: there is no such key{hint}")

    def _sources(self, contact: str) -> tuple[Source, ...]:
        tables = self.tables.get("sources", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.problems.append("sources: write each as a table [[sources]]")
            return ()
        sources: list[Source] = []
        for number, table in enumerate(tables):
            place = f"sources[{number}]"
            kind = KINDS.get(table.get("kind", ""))
            if kind is None:
                known = ", ".join(map(repr, KINDS))
                if "kind" in table:
                    self.problems.append(f"{place}.kind: there is no kind {table['kind']!r}; the kinds are {known}")
                else:
                    self.problems.append(f"{place}.kind: it is required; the kinds are {known}")
                continue
            read = self._fields(table, kind, place)
            if read is None:
                continue
            if any(source.name == read.name for source in sources):
                self.problems.append(f"{place}.name: another source is called {read.name!r} already")
            if "cron" in table and "interval_s" in table and kind is not KINDS["urls"]:
                self.problems.append(f"{place}.cron: a source has either cron or interval_s, not both")
            if faults := read.faults():
                self.problems += (f"{place}.{fault}" for fault in faults)
            else:
                sources.append(read.source(contact))
        return tuple(sources)

    def _check_contact(self, fetch: FetchTable) -> None:
        if fetch.contact and not re.fullmatch(r"(?:mailto:[^\s@()<>]+@|https?://)[^\s()<>]+", fetch.contact):
            self.problems.append(
                "fetch.contact: write where the owner of a site can reach you, such as 'mailto:you@example.org', "
                f"not {fetch.contact!r}"
            )

    def _labels(self) -> dict[str, str]:
        tables = self.tables.get("categories", {})
        if not isinstance(tables, dict):
            self.problems.append("categories: write each as a table [categories.<value>]")
            return {}
        labels = {}
        for value, table in tables.items():
            if not isinstance(table, dict):
                self.problems.append(f"categories.{value}: it must be a table [categories.{value}]")
            elif read := self._fields(table, CategoryTable, f"categories.{value}"):
                labels[value] = read.label
        return labels

    def _custom(self, tables: list[dict[str, Any]], timezone: str) -> tuple[CustomFeed, ...]:
        try:
            zone: tzinfo = ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):
            zone = UTC  # that is a fault of its own
        feeds: dict[str, CustomFeed] = {}
        for number, table in enumerate(tables):
            place = f"feeds.custom[{number}]"
            read = self._fields(table, CustomTable, place)
            if read is None:
                continue
            if read.name in feeds:
                self.problems.append(f"{place}.name: another feed is called {read.name!r} already")
            elif read.name == "index":
                self.problems.append(f"{place}.name: 'index' is the list of all custom feeds; choose another")
            if strip_illegal(one_line(read.title)) != read.title:
                self.problems.append(f"{place}.title: write it on one line")
            feeds[read.name] = read.feed()
            try:
                selection_of(feeds[read.name], zone)
            except QueryError as error:
                self.problems.append(
                    f"{place}.query: the feed {read.name!r} cannot be: {error.message}; {error.remedy}"
                )
        return tuple(feeds[name] for name in sorted(feeds))

    def _check_redirects(self, redirects: dict[str, str], published: frozenset[str]) -> None:
        for old, new in redirects.items():
            place = f"feeds.redirects.{old!r}"
            if not _PATH.fullmatch(old) or old in published:
                self.problems.append(f"{place}: write a path that is published no more, such as '/category/old.atom'")
            elif not _PATH.fullmatch(new):
                self.problems.append(f"{place}: write the path it moved to, such as '/category/new.atom', not {new!r}")
            elif new in redirects:
                self.problems.append(f"{place}: {new!r} is redirected itself; name the last of the row")

    def _check_site(self, site: SiteTable) -> None:
        plain = re.fullmatch(r"https?://[^\s/?#@\"<>]+(?:/[^\s?#\"<>]*)?", site.base_url)
        if not plain or not web_url(site.base_url):
            self.problems.append(f"site.base_url: write an absolute http(s) URL, not {site.base_url!r}")
        if not re.fullmatch(r"[A-Za-z0-9.@_-]+,\d{4}(?:-\d{2}){0,2}", site.authority):
            self.problems.append(
                f"site.authority: write a domain you own and a year, such as 'example.org,2026', not {site.authority!r}"
            )
        if not re.fullmatch(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*", site.language):
            self.problems.append(f"site.language: write a language tag such as 'zh-CN', not {site.language!r}")
        if site.icon and not (re.fullmatch(r"https?://[^\s\"<>]+", site.icon) and web_url(site.icon)):
            self.problems.append(f"site.icon: write an absolute http(s) URL, not {site.icon!r}")
        if "\n" in site.title or not site.title.strip():
            self.problems.append("site.title: write it on one line")
        try:
            ZoneInfo(site.timezone)
        except (KeyError, ValueError, OSError):
            self.problems.append(f"site.timezone: there is no time zone {site.timezone!r}; write 'Asia/Shanghai', say")


def _addressed(site: Site) -> Site:
    """With its addresses in ASCII: some readers know no other, and HTTP fields hold nothing else."""
    return replace(site, base_url=web_url(site.base_url), icon=web_url(site.icon))
