"""The store: one SQLite file that holds everything feedsync knows."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from sqlalchemy.exc import DBAPIError, OperationalError

from feedsync.errors import StoreError
from feedsync.store import database
from feedsync.store.lock import exclusive
from feedsync.store.places import Beside, Spot
from feedsync.store.read import FileRow, Quarantined, Reader, Revision, SourceRow, Term
from feedsync.store.write import ALL, CATEGORY, SYMBOL, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "ALL",
    "CATEGORY",
    "SYMBOL",
    "Beside",
    "FileRow",
    "Quarantined",
    "Reader",
    "Revision",
    "SourceRow",
    "Spot",
    "Store",
    "Term",
    "Writer",
    "exclusive",
]

LOCK_TIMEOUT_S = 600.0
"""How long a pass waits for another process's pass."""


class Store:
    """The database, opened for reading, or for reading and writing. Close it, or use it as a context manager."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self._writable = writable
        self._engine = database.open_engine(path, writable=writable)

    @classmethod
    def open(cls, url: str, waiting: Callable[[str], None] | None = None) -> Self:
        """Open for writing; creates or migrates the database. Raises StoreError, ConfigError, LockError."""
        path = database.path_of(url)
        with _explained(path):
            if database.inspect(path) != database.SCHEMA:
                with exclusive(cls.lock_path(path), timeout_s=LOCK_TIMEOUT_S, waiting=waiting):
                    database.prepare(path)
        return cls(path, writable=True)

    @classmethod
    def open_readonly(cls, url: str) -> Self:
        """Open what exists, writing nothing. Raises StoreError when there is none or it needs migrating."""
        path = database.path_of(url)
        with _explained(path):
            version = database.inspect(path)
        if version != database.SCHEMA:
            state = f"has the old schema {version}" if version else "does not exist yet"
            raise StoreError(f"the database {path} {state}", remedy="run `feedsync resync` first")
        return cls(path, writable=False)

    @staticmethod
    def exists(url: str) -> bool:
        """Whether there is a database already."""
        path = database.path_of(url)
        return path.exists() and path.stat().st_size > 0

    @classmethod
    @contextmanager
    def scratch(cls) -> Iterator[Self]:
        """An empty store that is gone afterwards."""
        with (
            tempfile.TemporaryDirectory(prefix="feedsync-") as folder,
            cls.open(f"sqlite:///{folder}/scratch.db") as store,
        ):
            yield store

    @staticmethod
    def lock_path(path: Path) -> Path:
        return path.with_name(path.name + ".lock")

    @contextmanager
    def lock(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """The right to run a pass: one process at a time."""
        with exclusive(self.lock_path(self.path), timeout_s=LOCK_TIMEOUT_S, waiting=waiting):
            yield

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A snapshot to read from."""
        with _explained(self.path), self._engine.connect() as connection:
            connection = connection.execution_options(reading=True)
            with connection.begin():
                yield Reader(connection)

    @contextmanager
    def writing(self, *, discard: bool = False) -> Iterator[Writer]:
        """A write transaction: all of it is kept at the end, or nothing (on an error, or with `discard`)."""
        with _explained(self.path), self._engine.connect() as connection, connection.begin() as transaction:
            yield Writer(connection)
            if discard:
                transaction.rollback()

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the driver's errors into ones that say what to do."""
    try:
        yield
    except OperationalError as error:
        reason = str(error.orig)
        remedy = "check the disk and the file's permissions"
        if "locked" in reason:
            remedy = "another program holds it; stop that, or wait"
        elif "full" in reason:
            remedy = "free disk space; nothing was lost"
        raise StoreError(f"the database {path} cannot be used: {reason}", remedy=remedy) from error
    except DBAPIError as error:
        raise StoreError(
            f"the database {path} cannot be used: {error.orig}",
            remedy="move it away and run `feedsync resync` to build it anew, or restore a copy",
        ) from error
