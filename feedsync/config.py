"""The configuration file: TOML read into the option types of the modules, every fault found at once."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from feedsync.cron import Cron
from feedsync.cron import parse as parse_cron
from feedsync.errors import ConfigError
from feedsync.feeds import Window
from feedsync.model import Site
from feedsync.publish import Presentation
from feedsync.sources import FileSource

VARIABLE = "FEEDSYNC_CONFIG"
PLACES = (Path("config/feedsync.toml"), Path("/etc/feedsync/feedsync.toml"))

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


@dataclass(frozen=True, slots=True)
class FeedsTable:
    """`[feeds]`"""

    min_entries: Annotated[int, Meta(ge=1)] = 50
    window_hours: Annotated[int, Meta(ge=0)] = 48
    max_entries: Annotated[int, Meta(ge=1)] = 500


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
class SourceTable:
    """`[[sources]]` of kind `files`"""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9\u4e00-\u9fff][\w.-]{0,63}$")]
    kind: str
    path: Annotated[str, Meta(min_length=1)]
    pattern: list[str] = field(default_factory=lambda: ["*.md", "*.txt"])
    interval_s: Annotated[float, Meta(gt=0)] = 60
    cron: str = ""
    cron_timezone: str = "UTC"
    timeout_s: Annotated[float, Meta(gt=0)] = 30
    max_body_bytes: Annotated[int, Meta(gt=0)] = 5_000_000
    default_category: Annotated[str, Meta(min_length=1)] = "weifenlei"


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
    sources: tuple[FileSource, ...]


TABLES: dict[str, type] = {
    "site": SiteTable,
    "store": StoreTable,
    "output": OutputTable,
    "feeds": FeedsTable,
    "server": ServerTable,
    "sources": SourceTable,
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
        self._unknown(self.tables, list(TABLES), "")
        site = self._table("site", SiteTable)
        store = self._table("store", StoreTable)
        output = self._table("output", OutputTable)
        feeds = self._table("feeds", FeedsTable)
        server = self._table("server", ServerTable)
        sources = self._sources()
        labels = self._labels()
        if site:
            self._check_site(site)
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
                site=Site(**{f.name: getattr(site, f.name) for f in dataclasses.fields(site)}),
                window=Window(feeds.min_entries, feeds.window_hours, feeds.max_entries),
                labels=labels,
                pages=output.pages,
            ),
            store_url=store.url,
            output=Path(output.path),
            server=server,
            sources=sources,
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

    def _sources(self) -> tuple[FileSource, ...]:
        tables = self.tables.get("sources", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.problems.append("sources: write each as a table [[sources]]")
            return ()
        sources: list[FileSource] = []
        for number, table in enumerate(tables):
            place = f"sources[{number}]"
            if "kind" in table and table["kind"] != "files":
                self.problems.append(f"{place}.kind: there is no kind {table['kind']!r}; the known kind is 'files'")
                continue
            read = self._fields(table, SourceTable, place)
            if read is None:
                continue
            if not read.pattern or not all(read.pattern):
                self.problems.append(f"{place}.pattern: it must name at least one pattern, such as '*.md'")
            cron = self._cron(table, read, place)
            if any(source.name == read.name for source in sources):
                self.problems.append(f"{place}.name: another source is called {read.name!r} already")
            sources.append(
                FileSource(
                    name=read.name,
                    path=Path(read.path),
                    pattern=tuple(read.pattern),
                    interval_s=read.interval_s,
                    cron=cron,
                    timeout_s=read.timeout_s,
                    max_body_bytes=read.max_body_bytes,
                    default_category=read.default_category.strip(),
                )
            )
        return tuple(sources)

    def _cron(self, table: dict[str, Any], read: SourceTable, place: str) -> Cron | None:
        if not read.cron:
            return None
        if "interval_s" in table:
            self.problems.append(f"{place}.cron: a source has either cron or interval_s, not both")
        if (zone := _zone(read.cron_timezone)) is None:
            self.problems.append(
                f"{place}.cron_timezone: there is no time zone {read.cron_timezone!r}; write 'UTC', say"
            )
            return None
        try:
            return parse_cron(read.cron, zone)
        except ValueError as error:
            self.problems.append(f"{place}.cron: {error}")
            return None

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

    def _check_site(self, site: SiteTable) -> None:
        if not re.fullmatch(r"https?://[^\s/?#@\"<>]+(?:/[^\s?#\"<>]*)?", site.base_url):
            self.problems.append(f"site.base_url: write an absolute http(s) URL, not {site.base_url!r}")
        if not re.fullmatch(r"[A-Za-z0-9.@_-]+,\d{4}(?:-\d{2}){0,2}", site.authority):
            self.problems.append(
                f"site.authority: write a domain you own and a year, such as 'example.org,2026', not {site.authority!r}"
            )
        if not re.fullmatch(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*", site.language):
            self.problems.append(f"site.language: write a language tag such as 'zh-CN', not {site.language!r}")
        if site.icon and not re.fullmatch(r"https?://[^\s\"<>]+", site.icon):
            self.problems.append(f"site.icon: write an absolute http(s) URL, not {site.icon!r}")
        if "\n" in site.title or not site.title.strip():
            self.problems.append("site.title: write it on one line")
        if _zone(site.timezone) is None:
            self.problems.append(f"site.timezone: there is no time zone {site.timezone!r}; write 'Asia/Shanghai', say")


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
