"""The content of a file, whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from feedsync.errors import Refused
from feedsync.sources.files import Stat, blame_ourselves, not_a_file

if TYPE_CHECKING:
    from feedsync.sources.files import FileSource, Found

_F_SETSIG = getattr(fcntl, "F_SETSIG", 10)
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class StillBeingWritten(Exception):
    """Somebody has the file open for writing, or it changed under our eyes."""


def read(source: FileSource, found: Found) -> tuple[bytes, Stat]:
    """The whole content of a file, and the state it was read in.

    Raises FileNotFoundError when it is gone, StillBeingWritten when it is not whole yet, and Refused
    (`unreadable`, `not-a-file`, `too-large`).
    """
    full = b"%s/%s" % (os.fsencode(source.path), found.path)
    try:
        try:
            descriptor = os.open(full, _READING)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            descriptor = os.open(os.path.realpath(full), _READING)  # a symbolic link
    except FileNotFoundError:
        raise
    except OSError as error:
        blame_ourselves(source, error)
        raise Refused(
            "unreadable",
            f"the file cannot be opened: {error.strerror}",
            remedy="correct its permissions or owner",
        ) from error
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise not_a_file(before.st_mode)
        if before.st_size > source.max_body_bytes:
            raise Refused(
                "too-large",
                f"the file has {before.st_size} bytes, more than max_body_bytes = {source.max_body_bytes}",
                remedy="shorten it, or raise max_body_bytes of the source",
            )
        if _open_for_writing(descriptor):
            raise StillBeingWritten
        content = _read_all(descriptor, before.st_size)
        after = os.fstat(descriptor)
    except OSError as error:
        raise Refused(
            "unreadable", f"the file cannot be read: {error.strerror}", remedy="check the disk it is on"
        ) from error
    finally:
        os.close(descriptor)
    found_as = Stat.of(after)
    if Stat.of(before) != found_as or len(content) != found_as.size:
        raise StillBeingWritten
    return content, found_as


def _open_for_writing(descriptor: int) -> bool:
    """Whether any process has the file open for writing, asked of the kernel by way of a lease.

    Where leases are not to be had (another owner's file, a network file system) the answer is no.
    """
    try:
        # Should a writer come while the lease is held, the kernel sends this signal; it is ignored by default.
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except (OSError, AttributeError):
        return False
    with suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _read_all(descriptor: int, size: int) -> bytes:
    """What was there when its size was asked; growth since then shows in the next stat."""
    content = os.read(descriptor, size)
    while len(content) < size and (part := os.read(descriptor, size - len(content))):
        content += part
    return content
