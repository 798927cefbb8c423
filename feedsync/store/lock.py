"""One writer at a time, across processes: an flock beside the database, free again when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from feedsync.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_POLL_S = 0.05


@contextmanager
def exclusive(
    path: Path,
    *,
    timeout_s: float,
    waiting: Callable[[str], None] | None = None,
    check: Callable[[], object] = lambda: None,
) -> Iterator[None]:
    """Hold the lock file `path`; `waiting` is told the holder's pid once, when there is one to wait for.

    `check` is called again and again while waiting; it may raise.

    Raises LockError when it was not free within `timeout_s`, or cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LockError(
            f"the lock file {path} cannot be opened: {error.strerror}", remedy="check its folder"
        ) from error
    try:
        _acquire(descriptor, path, timeout_s, waiting, check)
        with suppress(OSError):  # on a full disk the lock holds without the name of its holder
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(
    descriptor: int,
    path: Path,
    timeout_s: float,
    waiting: Callable[[str], None] | None,
    check: Callable[[], object],
) -> None:
    deadline = time.monotonic() + timeout_s
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
        except OSError as error:
            raise LockError(
                f"{path} cannot be locked: {error.strerror}", remedy="put the database on a local disk"
            ) from error
        else:
            return
        if not told and waiting is not None:
            waiting(holder)
            told = True
        if time.monotonic() >= deadline:
            raise LockError(f"another feedsync (pid {holder}) holds {path}", remedy="wait for it to finish, or stop it")
        check()
        time.sleep(_POLL_S)


def holder(path: Path) -> str | None:
    """The pid of the process that holds the lock file now (`unknown` when it left none); None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
