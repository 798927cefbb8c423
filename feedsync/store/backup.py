"""Copies of the database: made while others write, checked before they count, put back with everything they held."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feedsync.errors import StoreError, UsageError
from feedsync.store import database
from feedsync.store.database import BUSY_TIMEOUT_S, fsync_path

if TYPE_CHECKING:
    from pathlib import Path

_BESIDE = ("", "-wal", "-shm", "-journal")
"""What SQLite keeps of one database."""


def back_up(source: Path, target: Path, *, force: bool = False) -> int:
    """Copy the database as it is at one moment, check the copy and put it in place; its size in bytes.

    May run beside any number of readers and writers. Raises UsageError when `target` exists and not `force`,
    StoreError when either file cannot be used.
    """
    if database.inspect(source) == 0:
        raise StoreError(f"there is no database {source} to copy", remedy="run `feedsync resync` first")
    if target.exists():
        if target.samefile(source):
            raise UsageError(f"{target} is the database itself", remedy="name another file")
        if not force:
            raise UsageError(f"{target} exists already", remedy="name another file, or overwrite it with --force")
    copy(source, target)
    return target.stat().st_size


def copy(source: Path, target: Path) -> None:
    """A durable and checked copy that has its name only when it is complete. Raises StoreError."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        _private(partial)
        with (
            contextlib.closing(_reading(source)) as old,
            contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as new,
        ):
            # All pages in one step: a copy in portions starts anew whenever somebody writes in between.
            old.backup(new)
            # One file: no log beside it that could be forgotten when it is moved.
            new.execute("PRAGMA journal_mode = DELETE")
            _check(new, target)
        fsync_path(partial)
        partial.replace(target)
        fsync_path(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"{source} could not be copied to {target}: {_reason(error)}",
            remedy="check the disk space and the permissions of that folder",
        ) from error
    finally:
        for end in _BESIDE:
            with contextlib.suppress(OSError):
                partial.with_name(partial.name + end).unlink()


def check(path: Path) -> int:
    """The schema number of a sound copy. Raises StoreError when it is not ours, newer, damaged or absent."""
    if not path.is_file():
        raise StoreError(f"there is no file {path}", remedy="name a copy made by `feedsync backup`")
    version = database.inspect(path)
    if version == 0:
        raise StoreError(f"{path} holds nothing", remedy="name a copy made by `feedsync backup`")
    try:
        with contextlib.closing(_reading(path)) as connection:
            _check(connection, path)
    except sqlite3.Error as error:
        raise StoreError(f"{path} is damaged: {_reason(error)}", remedy="take another copy") from error
    return version


def put_back(copied: Path, target: Path) -> Path | None:
    """Replace the database by a copy; where the database that was there went, if there was one.

    Call it under the lock and the daemon's lock. At no moment is the old database lost. Raises StoreError.
    """
    check(copied)
    incoming = target.with_name(f"{target.name}.restored")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(copied, incoming)
        _give(incoming, target)
        aside = _set_aside(target)
        incoming.replace(target)
        fsync_path(target.parent)
    except OSError as error:
        raise StoreError(
            f"{copied} could not be put in the place of {target}: {_reason(error)}",
            remedy="check the permissions of its folder",
        ) from error
    finally:
        incoming.unlink(missing_ok=True)
    return aside


def _give(incoming: Path, target: Path) -> None:
    """Let the restored file belong to whom the former one (or its folder) belongs, whoever restores."""
    former = target if target.exists() else target.parent
    owner = former.stat()
    incoming.chmod(stat.S_IMODE(owner.st_mode) & 0o666)
    if os.geteuid() == 0:
        os.chown(incoming, owner.st_uid, owner.st_gid)


def _set_aside(target: Path) -> Path | None:
    """Move the present database away with all that belongs to it: an old log beside a new database ruins it."""
    if not any(target.with_name(target.name + end).exists() for end in _BESIDE):
        return None
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(target, timeout=BUSY_TIMEOUT_S)) as old:
        # Whole in one file before it moves; a damaged one moves as it is.
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    aside = target.with_name(f"{target.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    # The log first: a database without its log, which is empty, is whole; a log without its database is not.
    for end in reversed(_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            target.with_name(target.name + end).rename(aside.with_name(aside.name + end))
    fsync_path(target.parent)
    return aside


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (answer,) = connection.execute("PRAGMA quick_check").fetchone()
    if answer != "ok":
        raise StoreError(f"{path} is damaged: {answer}", remedy="restore an older copy; see `feedsync doctor`")
    if broken := connection.execute("PRAGMA foreign_key_check").fetchone():
        raise StoreError(f"{path} is damaged: a row of {broken[0]} leads nowhere", remedy="restore an older copy")


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(database.reading_uri(path), uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)


def _private(path: Path) -> None:
    """An empty file only its owner may read, as the database may be."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
