"""The database file: opening it safely, knowing that it is ours, and bringing its schema up to date."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from feedsync.errors import ConfigError, StoreError
from feedsync.store.schema import APPLICATION_ID, metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

SCHEMA = 11
"""The number of the newest migration; kept in `PRAGMA user_version`."""

BUSY_TIMEOUT_S = 30

_LITTLE_BYTES = 256_000

_DAMAGED = "`feedsync restore` a copy, or move it away with its -wal file and run `feedsync resync` to build it anew"
_REMEDIES = (
    ("locked", "another program has locked it", "stop that program; feedsync tries again with the next pass"),
    ("busy", "another program has locked it", "stop that program; feedsync tries again with the next pass"),
    (
        "full",
        "the disk is full",
        "free disk space, or inodes; nothing stored was lost, and what is new follows by itself",
    ),
    ("disk I/O", "the disk fails", "look at the kernel's log and the disk; then `feedsync doctor`"),
    ("readonly", "it cannot be written", "check its permissions and owner, and that its disk is not read-only"),
    ("unable to open", "it cannot be opened", "check the permissions of its folder, its disk space and free inodes"),
    ("too many", "too many files are open", "raise LimitNOFILE of the service, or `ulimit -n`"),
)
"""What SQLite says, what that means, what to do."""


def unusable(path: Path, error: BaseException) -> StoreError:
    """What a failure of the driver means, and what to do about it."""
    said = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    if isinstance(error, sqlite3.OperationalError):
        if ("disk I/O" in said or "unable to open" in said) and _full(path.parent):
            said = "full"  # SQLite does not say so when it is a file beside the database that has no room
        for word, meaning, remedy in _REMEDIES:
            if word in said:
                return StoreError(f"the database {path} cannot be used: {meaning}", remedy=remedy)
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return StoreError(f"the database {path} cannot be read: {said}", remedy=_DAMAGED)
    return StoreError(f"the database {path} cannot be used: {said}", remedy="check its disk and its permissions")


def path_of(url: str) -> Path:
    """The file of a SQLite URL. Raises ConfigError for any other."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(f"store.url {url!r} is not a database URL", remedy="sqlite:///var/feedsync.db") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ConfigError(
            f"store.url {parsed.render_as_string(hide_password=True)!r} is not a SQLite file",
            remedy="this version stores in SQLite only: sqlite:///var/feedsync.db",
        )
    return Path(parsed.database)


def open_engine(path: Path, *, writable: bool) -> Engine:
    """An engine whose every connection has the settings durability asks for; reads hold one snapshot."""
    locator = f"{uri(path)}?mode=rwc&uri=true" if writable else f"{reading_uri(path)}&uri=true"
    engine = create_engine(
        f"sqlite:///{locator}",
        poolclass=NullPool if not writable else None,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA cache_size = -16384")
        if writable:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA wal_autocheckpoint = 8000")  # 32 MB: fewer syncs in a big pass
        else:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", not writable)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _full(folder: Path) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _LITTLE_BYTES or (found.f_files > 0 and found.f_favail == 0)


def prepare(path: Path) -> None:
    """Create the database, or migrate it after copying it aside; raises StoreError when it cannot be used.

    A database of another program or of a newer schema is refused untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder of {path} cannot be made: {error.strerror}", remedy="check store.url") from error
    version = inspect(path)
    if version == SCHEMA:
        return
    if version:
        _copy_aside(path, version)
    _migrate(path, version)


def inspect(path: Path) -> int:
    """The schema number of a database, 0 when there is none yet. Writes nothing.

    Raises StoreError when the file is not ours, newer than this program, or damaged.
    """
    try:
        if not path.exists() or path.stat().st_size == 0:
            return 0
        with contextlib.closing(sqlite3.connect(reading_uri(path), uri=True, timeout=5)) as connection:
            connection.execute("BEGIN")  # one moment: another process may be about to make or migrate it
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except (sqlite3.DatabaseError, OSError) as error:
        raise unusable(path, error) from error
    if version > SCHEMA:
        raise StoreError(
            f"the database {path} has schema {version}, newer than this version's {SCHEMA}",
            remedy="upgrade feedsync, or restore the copy made before that upgrade",
        )
    if application != APPLICATION_ID:
        if not tables and not version:
            return 0
        raise StoreError(f"{path} is not a feedsync database", remedy="check store.url")
    return version


def _copy_aside(path: Path, version: int) -> None:
    """A copy beside the database, named after its schema, complete before it has its name."""
    target = path.with_name(f"{path.name}.schema-{version}.bak")
    partial = target.with_name(target.name + ".tmp")
    try:
        with (
            contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as source,
            contextlib.closing(sqlite3.connect(partial)) as copy,
        ):
            source.backup(copy)
        partial.replace(target)
        fsync_path(target)
        fsync_path(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"{path} could not be copied before its migration: {error}", remedy="free disk space"
        ) from error


def _build(connection: Connection) -> None:
    """A new database at once; a test holds the result against that of the migrations."""
    metadata.create_all(connection, checkfirst=False)
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (f"{SCHEMA:04d}",))


def _upgrade(connection: Connection) -> None:
    """An older database, step by step."""
    # Alembic costs 0.1 s to import and is needed once a release.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "feedsync:store/migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _migrate(path: Path, version: int) -> None:
    engine = open_engine(path, writable=True)
    try:
        with engine.begin() as connection:
            if version:
                _upgrade(connection)
            else:
                _build(connection)
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
    except DBAPIError as error:
        raise unusable(path, error.orig or error) from error
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    finally:
        engine.dispose()


def fsync_path(path: Path) -> None:
    """Make a file or a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reading_uri(path: Path) -> str:
    """The `file:` URI to read from without writing.

    On a read-only file system nobody writes, and SQLite could not make the files by which it would notice.
    """
    log = path.with_name(path.name + "-wal")
    try:
        frozen = bool(os.statvfs(path).f_flag & os.ST_RDONLY) and not (log.exists() and log.stat().st_size)
    except OSError:
        frozen = False
    return f"{uri(path)}?mode=ro" + ("&immutable=1" if frozen else "")


def uri(path: Path) -> str:
    """The `file:` URI of a path, without parameters."""
    return "file:" + str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
