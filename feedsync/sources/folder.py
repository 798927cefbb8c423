"""What is in the folder of a source, read recursively.

Only regular files below the folder count. Whatever else bears a matching name (a FIFO, a socket, a symbolic link that
leaves the folder or goes round in a circle) is refused, never opened.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from bisect import bisect
from collections import deque
from itertools import islice, zip_longest
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from feedsync.errors import Refused, SourceError
from feedsync.sources.files import Found, Stat, blame_ourselves, matcher, not_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feedsync.sources.files import FileSource

_READ_ALREADY = "symlink-inside"
_SLASH = ord("/")
_STRETCH = 200
_STRETCH_S = 0.2
"""A stretch ends with so many names, or after so long: whoever waits is to hear that a slow disk moves."""

_PART = 20_000
"""So many names are sorted at once."""

_NUL = b"\0"
"""What stands between names in a text of many: no name holds it."""


class Stretch(NamedTuple):
    """Names that follow each other in a folder. Plain tuples, in the order of their bytes, to be compared at once."""

    files: list[tuple[bytes, int, int, int]]
    """Path, size, mtime and ctime."""
    refused: list[Found]

    @property
    def last(self) -> bytes:
        """The last path."""
        return max((paths[-1][0] for paths in (self.files, self.refused) if paths), default=b"")


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
        blame_ourselves(source, error)
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
        blame_ourselves(source, error)
        return Found(path, None, (_unreadable_folder if os.path.isdir(full) else _unreadable)(error))
    return None


def is_folder(source: FileSource, path: bytes) -> bool:
    """Whether a scan goes through a folder of this name."""
    root = os.fsencode(source.path)
    return not os.path.islink(os.path.join(root, path)) and _is_reached(path + b"/any", os.path.realpath(root))


def folders(source: FileSource, top: bytes = b"") -> Iterator[bytes]:
    """The folders a scan goes through, from one of them on; the source's own is b"". Files are not looked at.

    Each is told of before it is listed.
    """
    stack = [top]
    while stack:
        path = stack.pop()
        yield path
        try:
            with os.scandir(os.path.join(os.fsencode(source.path), path)) as listing:
                stack += [
                    os.path.join(path, entry.name)
                    for entry in listing
                    if not entry.name.startswith(b".") and entry.is_dir(follow_symlinks=False)
                ]
        except OSError:
            continue


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


def _stretches(source: FileSource, root: bytes, real_root: bytes) -> Iterator[Stretch]:
    """Depth first without recursion: somebody may nest folders deeper than Python its calls."""
    stack = [(b"", _names(source, root))]
    stretch, due = Stretch([], []), time.monotonic() + _STRETCH_S
    while stack:
        below, names = stack[-1]
        prefix = os.path.join(root, below)
        for name in names:
            path = below + name
            try:
                if name[-1] == _SLASH:
                    stack.append((path, _names(source, prefix + name)))
                    break
                result = os.lstat(prefix + name)
                if stat.S_ISREG(result.st_mode):
                    stretch.files.append((path, result.st_size, result.st_mtime_ns, result.st_ctime_ns))
                elif found := _judge(source, path, prefix + name, result, real_root):
                    _add(stretch, found)
            except FileNotFoundError:
                continue
            except OSError as error:
                blame_ourselves(source, error)
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


def _names(source: FileSource, folder: bytes) -> Iterator[bytes]:
    """The names in a folder that matter, folders with a slash behind them, in the order of the bytes of whole paths.

    They are all read before the first is told. Of a million, the names alone are kept, as long texts, for an entry with
    what is known of it takes ten times as much, and a name by itself twice as much; and they are sorted in parts, for
    to sort them at once would hold up every other thread for half a second.
    """
    matches = matcher(source.pattern)
    runs: list[bytes] = []
    bounds: list[bytes] = []
    with os.scandir(folder) as listing:
        names = (
            name + b"/" if is_folder else name
            for entry in listing
            if not (name := entry.name).startswith(b".")
            and ((is_folder := entry.is_dir(follow_symlinks=False)) or matches(name) or entry.is_symlink())
        )
        while run := list(islice(names, _PART)):
            bounds.append(run[0])
            run.sort()
            if len(run) < _PART and not runs:
                return _told(run)
            runs.append(_NUL.join(run))
    return _merged(runs, sorted(bounds))


def _merged(runs: list[bytes], bounds: list[bytes]) -> Iterator[bytes]:
    """Names out of sorted texts of them, those up to each bound at a time."""
    parts: deque[list[bytes]] = deque([] for _ in range(len(bounds) + 1))
    while runs:
        run = runs.pop().split(_NUL)
        start = 0
        for part, bound in zip_longest(parts, bounds):
            end = bisect(run, bound, start) if bound is not None else len(run)
            if start < end:
                part.append(_NUL.join(run[start:end]))
            start = end
    while parts:
        yield from _told(sorted([name for text in parts.popleft() for name in text.split(_NUL)]))


def _told(names: list[bytes]) -> Iterator[bytes]:
    """One after the other, each forgotten when it was told."""
    names.reverse()
    while names:
        yield names.pop()


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
        return Found(path, None, not_a_file(result.st_mode))
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
