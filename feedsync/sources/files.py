"""A folder of article files, read recursively.

Only regular files below the folder are read. Whatever else bears a matching name (a FIFO, a socket, a
symbolic link that leaves the folder or goes round in a circle) is refused, never opened.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import stat
import time
from bisect import bisect
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from feedsync.cron import Cron
from feedsync.errors import Refused, SourceError
from feedsync.sources.policy import FetchPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_F_SETSIG = getattr(fcntl, "F_SETSIG", 10)
_READ_ALREADY = "symlink-inside"
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SLASH = ord("/")
_ESCAPED = re.compile(rb"(\\x[89a-f][0-9a-f])")
_ESCAPES = 8
_ENDS = re.compile(r"\*[^*?\[]*")
_STRETCH = 200
_STRETCH_S = 0.2
"""A stretch ends with so many names, or after so long: whoever waits is to hear that a slow disk moves."""

_PART = 20_000
"""So many names are sorted at once."""

_SETTLE_NS = 20_000_000
"""A file changed this shortly before it was read may change again within one tick of the file system's clock."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """Options of a source of kind `files`."""

    name: str
    path: Path
    pattern: tuple[str, ...] = ("*.md", "*.txt")
    interval_s: Annotated[float, Meta(gt=0)] = 60
    cron: Cron | None = None
    """Takes the place of the interval."""
    timeout_s: Annotated[float, Meta(gt=0)] = 30
    """How long one file, or the list of a folder, may take to answer."""
    max_body_bytes: Annotated[int, Meta(gt=0)] = 5_000_000
    default_category: str = "weifenlei"
    fetch: FetchPolicy | None = None
    """How to complete articles without a text from their source URLs; None: not at all."""

    @property
    def every_s(self) -> float:
        """The time between two scans."""
        return self.interval_s

    def matches(self, name: str) -> bool:
        return not name.startswith(".") and bool(_matcher(self.pattern)(os.fsencode(name)))


@lru_cache(maxsize=64)
def _matcher(patterns: tuple[str, ...]) -> Callable[[bytes], object]:
    """Whether a name is like one of these. Most patterns say how it ends, which is answered without a regular one."""
    ends = tuple(os.fsencode(pattern[1:]) for pattern in patterns if _ENDS.fullmatch(pattern))
    if len(ends) == len(patterns):
        return lambda name: name.endswith(ends)
    matched = re.compile("|".join(map(translate, patterns))).match
    return lambda name: matched(os.fsdecode(name))


class Stat(NamedTuple):
    """What tells one state of a file from another without reading it. A tuple: there may be a million."""

    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, result: os.stat_result) -> Stat:
        return cls(result.st_size, result.st_mtime_ns, result.st_ctime_ns)

    def settled(self, now_ns: int) -> bool:
        """Whether a later change would be sure to show."""
        return max(self.mtime_ns, self.ctime_ns) < now_ns - _SETTLE_NS


class Found(NamedTuple):
    """A name in the folder: its path below it in bytes, and its state, or why it is refused."""

    path: bytes
    stat: Stat | None
    refused: Refused | None = None

    @property
    def location(self) -> str:
        return printable(self.path)


class Stretch(NamedTuple):
    """Names that follow each other in a folder. Plain tuples, in the order of their bytes, to be compared at once."""

    files: list[tuple[bytes, int, int, int]]
    """Path, size, mtime and ctime."""
    refused: list[Found]

    @property
    def last(self) -> bytes:
        """The last path."""
        return max((paths[-1][0] for paths in (self.files, self.refused) if paths), default=b"")


class StillBeingWritten(Exception):
    """Somebody has the file open for writing, or it changed under our eyes."""


def printable(path: bytes) -> str:
    """A path as text, whatever its bytes."""
    return path.decode("utf-8", "backslashreplace")


def paths_told_as(location: str) -> set[bytes]:
    """The paths for which `printable` may stand; none when they are too many to tell."""
    parts = _ESCAPED.split(location.encode())
    if len(parts) > 2 * _ESCAPES + 1:
        return set()
    choices = [(part, bytes.fromhex(part[2:].decode())) if n % 2 else (part,) for n, part in enumerate(parts)]
    return {path for path in map(b"".join, product(*choices)) if printable(path) == location}


def scan(source: FileSource) -> Iterator[Found]:
    """Every matching name in the folder, in the order of the paths' bytes. Raises SourceError; see `stretches`."""
    for files, refused in stretches(source):
        found = [Found(path, Stat(size, mtime_ns, ctime_ns)) for path, size, mtime_ns, ctime_ns in files]
        yield from sorted(found + refused, key=itemgetter(0)) if refused else found


def stretches(source: FileSource) -> Iterator[Stretch]:
    """Every matching name in the folder, a stretch at a time, in the order of the paths' bytes.

    Raises SourceError when the folder is missing or cannot be listed.
    """
    root = os.fsencode(source.path)
    try:
        if not stat.S_ISDIR(os.stat(root).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        yield from _stretches(source, root, os.path.realpath(root))
    except OSError as error:
        _blame_ourselves(source, error)
        raise SourceError(
            f"source {source.name}: the folder {source.path} cannot be read: {error.strerror or error}",
            remedy="mount or create it, or correct sources.path",
        ) from error


def look(source: FileSource, path: bytes) -> Found | None:
    """One name in the folder, as `scan` would find it; None when it is gone or `scan` would not tell of it."""
    root = os.fsencode(source.path)
    full, real_root = os.path.join(root, path), os.path.realpath(root)
    if path.startswith(b"/") or b"\0" in path or not _is_reached(path, real_root):
        return None
    try:
        result = os.lstat(full)
        if not stat.S_ISDIR(result.st_mode):
            return _judge(source, path, full, result, real_root)
        os.scandir(full).close()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _blame_ourselves(source, error)
        return Found(path, None, (_unreadable_folder if os.path.isdir(full) else _unreadable)(error))
    return None


def is_folder(source: FileSource, path: bytes) -> bool:
    """Whether a scan goes through a folder of this name."""
    root = os.fsencode(source.path)
    return not os.path.islink(os.path.join(root, path)) and _is_reached(path + b"/any", os.path.realpath(root))


def _is_reached(path: bytes, real_root: bytes) -> bool:
    """Whether a scan comes to a path: no folder above it is hidden, a link, or not to be listed."""
    folder = os.path.normpath(os.path.join(real_root, os.path.dirname(path)))
    if b"/." in b"/" + path or os.path.realpath(folder) != folder:
        return False
    try:
        while True:
            os.scandir(folder).close()
            if len(folder) <= len(real_root):
                return True
            folder = os.path.dirname(folder)
    except OSError:
        return False


def read(source: FileSource, found: Found) -> tuple[bytes, Stat]:
    """The whole content of a file, and the state it was read in.

    Raises FileNotFoundError when it is gone, StillBeingWritten when it is not whole yet, and Refused
    (`unreadable`, `not-a-file`, `too-large`).
    """
    full = os.path.join(os.fsencode(source.path), found.path)
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
        _blame_ourselves(source, error)
        raise Refused(
            "unreadable",
            f"the file cannot be opened: {error.strerror}",
            remedy="correct its permissions or owner",
        ) from error
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise _not_a_file(before.st_mode)
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
    if Stat.of(before) != Stat.of(after) or len(content) != after.st_size:
        raise StillBeingWritten
    return content, Stat.of(after)


def _stretches(source: FileSource, root: bytes, real_root: bytes) -> Iterator[Stretch]:
    """Depth first without recursion: somebody may nest folders deeper than Python its calls."""
    stack = [(b"", _in_order(_names(source, root)))]
    stretch, due = Stretch([], []), time.monotonic() + _STRETCH_S
    while stack:
        below, names = stack[-1]
        prefix = os.path.join(root, below)
        for name in names:
            path = below + name
            try:
                if name[-1] == _SLASH:
                    stack.append((path, _in_order(_names(source, prefix + name))))
                    break
                result = os.lstat(prefix + name)
                if stat.S_ISREG(result.st_mode):
                    stretch.files.append((path, result.st_size, result.st_mtime_ns, result.st_ctime_ns))
                elif found := _judge(source, path, prefix + name, result, real_root):
                    _add(stretch, found)
            except FileNotFoundError:
                continue
            except OSError as error:
                _blame_ourselves(source, error)
                why = (_unreadable_folder if name[-1] == _SLASH else _unreadable)(error)
                stretch.refused.append(Found(path.rstrip(b"/"), None, why))
            if len(stretch.files) + len(stretch.refused) >= _STRETCH or time.monotonic() > due:
                yield stretch
                stretch, due = Stretch([], []), time.monotonic() + _STRETCH_S
        else:
            stack.pop()
        if time.monotonic() > due:  # folders in which nothing matters
            yield stretch
            stretch, due = Stretch([], []), time.monotonic() + _STRETCH_S
    yield stretch


def _add(stretch: Stretch, found: Found) -> None:
    if found.stat is None:
        stretch.refused.append(found)
    else:
        stretch.files.append((found.path, *found.stat))


def _names(source: FileSource, folder: bytes) -> list[bytes]:
    """The names in a folder that matter, folders with a slash behind them.

    Of a million entries the names alone are kept: an entry with what is known of it takes ten times as much.
    """
    matches = _matcher(source.pattern)
    with os.scandir(folder) as listing:
        return [
            name + b"/" if is_folder else name
            for entry in listing
            if not (name := entry.name).startswith(b".")
            and ((is_folder := entry.is_dir(follow_symlinks=False)) or matches(name) or entry.is_symlink())
        ]


def _in_order(names: list[bytes]) -> Iterator[bytes]:
    """Names in the order of the bytes of whole paths, each forgotten when it was told.

    In parts, for to sort a million at once would hold up every other thread for half a second.
    """
    bounds = sorted(names[::_PART])
    parts: list[list[bytes]] = [[] for _ in range(len(bounds) + 1)]
    while names:
        name = names.pop()
        parts[bisect(bounds, name)].append(name)
    for part in parts:
        part.sort(reverse=True)
        while part:
            yield part.pop()


def _judge(source: FileSource, path: bytes, full: bytes, result: os.stat_result, real_root: bytes) -> Found | None:
    matches = source.matches(os.fsdecode(os.path.basename(path)))
    if stat.S_ISLNK(result.st_mode):
        refused = _judge_link(full, real_root)
        # A link to a folder has no matching name, and yet hides articles.
        if refused and (matches or _hides_articles(full, refused)):
            return Found(path, None, refused)
    if not matches:
        return None
    if stat.S_ISLNK(result.st_mode):
        result = os.stat(full)
    if not stat.S_ISREG(result.st_mode):
        return Found(path, None, _not_a_file(result.st_mode))
    return Found(path, Stat.of(result))


def _judge_link(full: bytes, real_root: bytes) -> Refused | None:
    """Why a symbolic link is not followed; None when it leads to a file within the folder."""
    try:
        target = os.path.realpath(full, strict=True)
        mode = os.stat(target).st_mode
    except OSError as error:
        loops = error.errno == errno.ELOOP
        return Refused(
            "symlink",
            "the symbolic link goes round in a circle" if loops else "the symbolic link leads nowhere",
            remedy="remove it, or put the file itself here",
        )
    if target != real_root and not target.startswith(os.path.join(real_root, b"")):
        return Refused(
            "symlink", "the symbolic link leaves the folder of its source", remedy="put the file itself here"
        )
    if stat.S_ISDIR(mode):
        above = os.path.join(os.path.realpath(os.path.dirname(full)), b"")
        around = full == target or above.startswith(os.path.join(target, b""))
        if around:
            return Refused("symlink", "the symbolic link goes round in a circle", remedy="remove it")
        return Refused(_READ_ALREADY, "the symbolic link leads to a folder that is read already", remedy="remove it")
    return None


def _hides_articles(full: bytes, refused: Refused) -> bool:
    """Whether a link of any name matters: it leads to a folder outside, or round in a circle."""
    if refused.code == _READ_ALREADY:
        return False
    try:
        return stat.S_ISDIR(os.stat(full).st_mode)
    except OSError as error:
        return error.errno == errno.ELOOP


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


def _not_a_file(mode: int) -> Refused:
    kinds = ((stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))
    kind = next((name for test, name in kinds if test(mode)), "a device")
    return Refused("not-a-file", f"it is {kind}, not a file", remedy="move it out of the folder")


def _blame_ourselves(source: FileSource, error: OSError) -> None:
    """Raise SourceError when it is this process that lacks something: no document is to be refused for that."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise SourceError(
            f"source {source.name}: it cannot be read just now: {error.strerror}",
            remedy="raise LimitNOFILE (`ulimit -n`) or the memory of the service; the next pass reads the rest",
        ) from error


def _unreadable(error: OSError) -> Refused:
    return Refused(
        "unreadable", f"the file cannot be opened: {error.strerror}", remedy="correct its permissions, owner or name"
    )


def _unreadable_folder(error: OSError) -> Refused:
    return Refused(
        "unreadable",
        f"the folder cannot be listed: {error.strerror}",
        remedy="correct its permissions or owner",
    )
