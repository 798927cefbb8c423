"""The store: one SQLite file that holds everything feedsync knows."""

from __future__ import annotations

import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Self

from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from feedsync.errors import LockError, StoreError
from feedsync.store import database
from feedsync.store.codec import id_of_key
from feedsync.store.custom import Custom
from feedsync.store.fetches import Fetches, FetchRow, FetchSummary, HostRow
from feedsync.store.filing import LEARNT, filed
from feedsync.store.lock import exclusive
from feedsync.store.lock import holder as lock_holder
from feedsync.store.places import Beside, Spot
from feedsync.store.read import Reader, Revision, Stamp, Tombstone
from feedsync.store.search import WORTHWHILE, Index, Stopped, stoppable
from feedsync.store.sources import FileRow, Quarantined, SourceRow
from feedsync.store.terms import Term
from feedsync.store.write import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "LEARNT",
    "WORTHWHILE",
    "Beside",
    "Custom",
    "FetchRow",
    "FetchSummary",
    "Fetches",
    "FileRow",
    "HostRow",
    "Index",
    "Quarantined",
    "Reader",
    "Revision",
    "SourceRow",
    "Spot",
    "Stamp",
    "Stopped",
    "Store",
    "Term",
    "Tombstone",
    "Writer",
    "exclusive",
    "filed",
    "id_of_key",
    "lock_holder",
    "stoppable",
]

LOCK_TIMEOUT_S = 600.0
"""How long a pass waits for another one."""

_TURN_S = 0.5

_CLOSE_TIMEOUT_S = 2.0


class Store:
    """The database, opened for reading, or for reading and writing. Close it, or use it as a context manager."""

    def __init__(self, path: Path, *, writable: bool, one_pass: bool = False) -> None:
        self.path = path
        self._writable = writable
        self._one_pass = one_pass
        self._turns: dict[str, threading.Lock] = {}
        self._engine = database.open_engine(path, writable=writable)
        self.identity = _identity(path)
        """Of the file that is open: another when it was replaced; see `lock`."""

    @classmethod
    def open(cls, url: str, waiting: Callable[[str], None] | None = None, *, one_pass: bool = False) -> Self:
        """Open for writing; creates or migrates the database. Raises StoreError, ConfigError, LockError.

        With `one_pass`, its connections are closed at the end of each pass rather than kept for the next.
        """
        path = database.path_of(url)
        with _explained(path):
            if database.inspect(path) != database.SCHEMA:
                with exclusive(cls.lock_path(path), timeout_s=LOCK_TIMEOUT_S, waiting=waiting):
                    database.prepare(path)
        return cls(path, writable=True, one_pass=one_pass)

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
    def lock_path(path: Path, lane: str = "") -> Path:
        return path.with_name(f"{path.name}.{lane}.lock" if lane else f"{path.name}.lock")

    @staticmethod
    def daemon_lock_path(path: Path) -> Path:
        return path.with_name(path.name + ".daemon.lock")

    def forget_publishing(self) -> None:
        """Make every feed and page due, as in a store that never published: the tree may be of a later one."""
        with self.lock(), self.writing() as writer:
            writer.mark_all()
            writer.set_state("drawn", "")

    @contextmanager
    def lock(
        self,
        waiting: Callable[[str], None] | None = None,
        check: Callable[[], object] = lambda: None,
        *,
        lane: str = "",
    ) -> Iterator[None]:
        """The right to run a pass: one thread of one process at a time. Raises LockError.

        `waiting` is told the pid of another process that has it; `check` is called while waiting, and may raise.
        A `lane` is a right of its own: to fetch a source, say, which takes long and writes only now and then.
        """
        turn = self._turns.setdefault(lane, threading.Lock())
        for _ in range(int(LOCK_TIMEOUT_S / _TURN_S)):
            if turn.acquire(timeout=_TURN_S):
                break
            check()
        else:
            raise LockError("another pass of this process does not end", remedy="see `feedsync status`")
        path = self.lock_path(self.path, lane)
        try:
            with exclusive(path, timeout_s=LOCK_TIMEOUT_S, waiting=waiting, check=check):
                if not lane:
                    self._recognise()
                try:
                    yield
                finally:
                    if self._one_pass and not lane:
                        self._engine.dispose()
        finally:
            turn.release()

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

    def index_some(self, limit: int) -> int:
        """Index articles that changed, when they are many enough to be worth it. How many there were."""
        with self.reading() as reader:
            if Index(reader.connection).pending(WORTHWHILE) < WORTHWHILE:
                return 0
        with self.lock(), self.writing() as writer:
            return Index(writer.connection).catch_up(limit)

    def _recognise(self) -> None:
        """Open anew what was replaced since the last pass: what is written to the former file is lost."""
        found = _identity(self.path)
        if found == self.identity:
            return
        self._engine.dispose()
        if found is None:
            raise StoreError(
                f"the database {self.path} is gone; the feeds stay as they are",
                remedy="put it back, or `feedsync restore` a copy; a restart builds it anew from the sources",
            )
        with _explained(self.path):
            version = database.inspect(self.path)
        if version != database.SCHEMA:
            raise StoreError(
                f"the database {self.path} was replaced by one of schema {version}", remedy="restart feedsync"
            )
        self.identity = found

    def close(self) -> None:
        """Close all connections; the last one moves what is in the log into the database, so under the lock, too.

        SQLite before 3.51.3 may corrupt a database when one process moves the log while another commits.
        """
        if not self._writable:
            self._engine.dispose()
            return
        if self._one_pass and isinstance(pool := self._engine.pool, QueuePool) and not pool.checkedin():
            return
        with ExitStack() as stack:
            # Whoever holds it for long has connections open, and then closing ours moves nothing.
            with suppress(LockError):
                stack.enter_context(exclusive(self.lock_path(self.path), timeout_s=_CLOSE_TIMEOUT_S))
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands under a name now; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the driver's errors into ones that say what to do."""
    try:
        yield
    except DBAPIError as error:
        raise database.unusable(path, error.orig or error) from error
