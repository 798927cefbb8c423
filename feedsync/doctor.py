"""`feedsync doctor`: look at everything a service stands on, say what to do about what is not well. Writes nothing."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sqlite3
import time
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from feedsync import __version__, control
from feedsync.errors import FeedsyncError, OutputError, SourceError, StoreError
from feedsync.outputs import Tree
from feedsync.publish import Publisher
from feedsync.sources import FeedSource, FileSource, ListSource, UrlSource, scan
from feedsync.sources.address import shown
from feedsync.store import Store, backup, database, lock_holder
from feedsync.sync import EARLIEST
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from feedsync.config import Config
    from feedsync.sources import Source

_SOUND_SQLITE = (3, 51, 3)
_LIBRARIES = ("SQLAlchemy", "lxml", "nh3", "feedgen", "APScheduler", "httpx", "httptools", "inotify_simple", "msgspec")
_NETWORKED = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "afs", "fuse.sshfs", "fuse.s3fs"}
_MIN_FREE_BYTES = 200_000_000
_MIN_FREE_INODES = 2_000
_BIG_LOG_BYTES = 256_000_000
_CLOCK_SLACK_S = 120


class Level(StrEnum):
    """How bad it is; a note asks for nothing."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"
    UNUSABLE = "unusable"


class Finding(Struct, frozen=True):
    """What one look found, and what to do about it."""

    check: str
    level: Level
    message: str
    remedy: str = ""


def examine(config: Config) -> Iterator[Finding]:
    """Everything that was found, good and bad. Raises nothing that a look may meet."""
    looks: tuple[Callable[[Config], Iterator[Finding]], ...] = (
        _versions,
        _database,
        _processes,
        _tree,
        _space,
        _clock,
        _sources,
    )
    for look in looks:
        name = look.__name__.strip("_")
        try:
            yield from look(config)
        except FeedsyncError as error:
            yield Finding(name, Level.PROBLEM, error.message, error.remedy)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            yield Finding(name, Level.PROBLEM, f"{place}{error.strerror or error}", "check permissions and the disk")


def _versions(_config: Config) -> Iterator[Finding]:
    found = []
    for library in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{library} {version(library)}")
    what = f"feedsync {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    yield Finding("versions", Level.OK, ", ".join([what, *found]))
    if sqlite3.sqlite_version_info < _SOUND_SQLITE:
        yield Finding(
            "versions",
            Level.NOTE,
            f"SQLite {sqlite3.sqlite_version} is before 3.51.3, which mended a corruption when two processes write; "
            "feedsync's lock keeps its own from it",
            "let no other program write to the database; use a newer SQLite when your system has it",
        )


def _database(config: Config) -> Iterator[Finding]:
    path = database.path_of(config.store_url)
    try:
        schema = database.inspect(path)
        if schema == 0:
            yield _no_database(config, path)
            return
        backup.check(path)
    except StoreError as error:
        yield Finding("database", Level.UNUSABLE, error.message, error.remedy)
        return
    if schema != database.SCHEMA:
        yield Finding(
            "database",
            Level.WARNING,
            f"{path} has schema {schema}, this version's is {database.SCHEMA}",
            "the next pass copies it beside itself and migrates it",
        )
        return
    with Store.open_readonly(config.store_url) as store, store.reading() as reader:
        counts = reader.totals()
    size = path.stat().st_size
    yield Finding("database", Level.OK, f"{path}: schema {schema}, {counts['articles']} articles, {size} bytes, sound")
    if counts["quarantined"]:
        yield Finding(
            "database", Level.NOTE, f"{counts['quarantined']} documents are refused", "`feedsync quarantine` says why"
        )
    log = path.with_name(path.name + "-wal")
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _BIG_LOG_BYTES:
            yield Finding(
                "database",
                Level.WARNING,
                f"{log} has grown to {log.stat().st_size} bytes",
                "some program reads the database without end; stop it",
            )
    for place in (path, path.parent):
        if _shut(place):
            yield Finding("database", Level.PROBLEM, f"{place} cannot be written", _owner(place))


def _no_database(config: Config, path: Path) -> Finding:
    feed = Tree(config.output).read("all.atom") or b""
    if b"<entry" in feed:
        return Finding(
            "database",
            Level.PROBLEM,
            f"there is no database {path}, but {config.output} shows articles",
            "`feedsync restore` a copy; without one, `feedsync resync` builds it anew from the sources",
        )
    return Finding("database", Level.WARNING, f"there is no database {path} yet", "run `feedsync resync`")


def _processes(config: Config) -> Iterator[Finding]:
    path = database.path_of(config.store_url)
    daemon = lock_holder(Store.daemon_lock_path(path))
    if daemon is None:
        yield Finding("processes", Level.NOTE, "no daemon runs", "start it with `feedsync run`, or as a service")
    else:
        answer = control.ask(control.socket_path(path))
        if answer is None:
            yield Finding(
                "processes", Level.WARNING, f"the daemon, pid {daemon}, does not answer", "see its log; restart it"
            )
        elif answer.get("error"):
            yield Finding("processes", Level.PROBLEM, f"the daemon, pid {daemon}: {answer['error']}", "see its log")
        else:
            yield Finding("processes", Level.OK, f"the daemon runs, pid {daemon}")
    if (holder := lock_holder(Store.lock_path(path))) is not None:
        yield Finding("processes", Level.OK, f"a pass runs, pid {holder}")


def _tree(config: Config) -> Iterator[Finding]:
    tree = Tree(config.output)
    if not tree.root.exists():
        yield Finding("tree", Level.WARNING, f"there is no {tree.root} yet", "`feedsync publish` makes it")
        return
    tree.names()
    if not tree.root.is_dir():
        raise OutputError(f"{tree.root} is no folder", remedy="move it away, then `feedsync publish`")
    for place in (tree.root, tree.root / "category", tree.root / "article"):
        if place.exists() and _shut(place):
            yield Finding("tree", Level.PROBLEM, f"{place} cannot be written", _owner(place))
    try:
        store = Store.open_readonly(config.store_url)
    except StoreError:
        return  # told already
    publisher = Publisher(tree, config.presentation)
    with store, store.reading() as reader:
        if lost := publisher.audit.lost(reader, everything=True):
            yield Finding(
                "tree",
                Level.PROBLEM,
                f"{tree.root} shows {len(lost)} articles the store does not know ({lost[0]}...)",
                "`feedsync restore` a copy, or resync with the sources that had them; "
                "if the loss is meant, `feedsync publish --force`",
            )
        different = publisher.audit.glance(reader)
    if different:
        yield Finding(
            "tree",
            Level.WARNING,
            f"{len(different)} feeds are not as the store has them: {', '.join(different[:5])}",
            "the next pass publishes what is due; `feedsync publish` draws all anew",
        )
    elif not lost:
        yield Finding("tree", Level.OK, f"{tree.root} is what the store holds")
    if left := tree.leftovers():
        yield Finding(
            "tree", Level.NOTE, f"{left} temporary files of dead processes", "`feedsync publish` removes them"
        )


def _space(config: Config) -> Iterator[Finding]:
    seen = set()
    for name, place in (("database", database.path_of(config.store_url).parent), ("tree", config.output)):
        folder = _existing(place)
        if (device := folder.stat().st_dev) in seen:
            continue
        seen.add(device)
        space, free = os.statvfs(folder), shutil.disk_usage(folder).free
        kind, where, well = _file_system(folder), f"{folder} ({name})", True
        for bad, level, message, remedy in (
            (space.f_flag & os.ST_RDONLY, Level.PROBLEM, "is on a read-only file system", "mount it writable"),
            (free < _MIN_FREE_BYTES, Level.WARNING, f"has {free} bytes free", "free disk space"),
            (space.f_files > 0 and space.f_favail < _MIN_FREE_INODES, Level.WARNING,
             f"has {space.f_favail} inodes free", "remove files"),
            (kind in _NETWORKED and name == "database", Level.WARNING,
             f"is on {kind}, a network file system", "SQLite needs a local disk: move the database to one"),
        ):  # fmt: skip
            if bad:
                well = False
                yield Finding("space", level, f"{where} {message}", remedy)
        if well:
            yield Finding("space", Level.OK, f"{where}: {free} bytes free, {kind}")


def _clock(config: Config) -> Iterator[Finding]:
    now = datetime.now(UTC)
    remedy = "set the clock (`timedatectl`), and keep it by NTP"
    if now < EARLIEST:
        yield Finding("clock", Level.PROBLEM, f"it says {now:%Y-%m-%d}, which cannot be", remedy)
        return
    newest = None
    with contextlib.suppress(StoreError), Store.open_readonly(config.store_url) as store, store.reading() as reader:
        newest = reader.newest_arrival()
    if newest is not None and (newest - now).total_seconds() > _CLOCK_SLACK_S:
        yield Finding("clock", Level.WARNING, f"it is behind the newest arrival, {newest:%Y-%m-%dT%H:%M:%SZ}", remedy)
        return
    with contextlib.suppress(OSError):
        ahead = (config.output / "all.atom").stat().st_mtime - time.time()
        if ahead > _CLOCK_SLACK_S:
            yield Finding("clock", Level.WARNING, f"all.atom is dated {ahead:.0f} s ahead of it", remedy)
            return
    yield Finding("clock", Level.OK, f"it says {now:%Y-%m-%dT%H:%M:%SZ}")


def _sources(config: Config) -> Iterator[Finding]:
    errors: dict[str, str | None] = {}
    with contextlib.suppress(StoreError), Store.open_readonly(config.store_url) as store, store.reading() as reader:
        errors = {row.name: row.error for row in reader.source_rows()}
    if not config.sources:
        yield Finding("sources", Level.WARNING, "none is configured", "add a table [[sources]]")
    for source in config.sources:
        if isinstance(source, FileSource) and (finding := _folder(source)):
            yield finding
        elif error := errors.get(source.name):
            yield Finding("sources", Level.WARNING, f"{source.name}: last time {error}", "run `feedsync resync`")
        else:
            yield Finding("sources", Level.OK, f"{source.name}: {_place(source)}")


def _folder(source: FileSource) -> Finding | None:
    """What is wrong with a folder just now."""
    try:
        found = next(scan(source), None)
    except SourceError as error:
        return Finding("sources", Level.PROBLEM, error.message, error.remedy)
    if found is not None:
        return None
    return Finding(
        "sources",
        Level.WARNING,
        f"{source.name}: {source.path} holds no {' or '.join(source.pattern)}",
        "mount the folder, or correct sources.path and sources.pattern",
    )


def _place(source: Source) -> str:
    match source:
        case FileSource():
            return str(source.path)
        case UrlSource():
            return f"{len(source.urls)} URLs" + (f" and those in {source.path}" if source.path else "")
        case ListSource() | FeedSource():
            return shown(source.url)
        case _:
            assert_never(source)


def _existing(place: Path) -> Path:
    place = place.absolute()
    return next(folder for folder in (place, *place.parents) if folder.exists())


def _file_system(folder: Path) -> str:
    """The kind of file system a folder is on, as the kernel names it."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split()
            if fields[2] == wanted:
                return fields[fields.index("-") + 1]
    return "an unknown file system"


def _shut(place: Path) -> bool:
    """Whether permissions, rather than a read-only file system, keep us from writing."""
    return not os.access(place, os.W_OK) and not os.statvfs(place).f_flag & os.ST_RDONLY


def _owner(place: Path) -> str:
    return f"give it to the user feedsync runs as (now {os.geteuid()}): it belongs to {place.stat().st_uid}"
