"""Files on their way into the published tree, and how they get there.

A batch writes each changed file beside its target, makes the bytes durable, renames, and makes the folders
durable (docs/decisions/0005-durable-files.md). A file whose bytes did not change is not touched.

Encoded copies are put in place before their original and removed before it, so whoever has seen the new original
finds no older copy (docs/decisions/0010-encoded-copies.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Self

from feedsync.errors import OutputError
from feedsync.outputs.aside import aside
from feedsync.outputs.copies import copies_of, exists, has_copies, write_copies
from feedsync.outputs.encode import SUFFIXES, can_have_copies, suffixes
from feedsync.outputs.held import hold, let_go
from feedsync.outputs.temporary import temporary_for, write
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from feedsync.outputs.aside import Aside

_ASIDE_FROM_BYTES = 65_536
_COPYING = 8
"""So many large files at most are held in memory until their copies are made."""

_HELD = 64
"""So many former files at most are held open while others take their places."""

_SYNC_ALL_FROM = 4
"""From this many files on, one syncfs is cheaper than an fsync for each."""

_PUBLIC_FOLDER = 0o755
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
_NEXT_SECOND_NS = 1_000_000_000


class Prepared(Struct, frozen=True):
    """Files that were written beside their targets, and what is to go: all that is left of a batch to be settled."""

    pending: dict[str, str]
    removed: list[str]
    undue: list[str]
    folders: set[str]

    def abandon(self) -> None:
        for temporary in self.pending.values():
            with contextlib.suppress(OSError):
                os.unlink(temporary)


class Batch:
    """Files on their way into the tree. Use as a context manager: they are in place, durably, at its end."""

    def __init__(self, root: Path, *, aside: bool) -> None:
        self._root = os.fspath(root)
        self._aside = aside
        self._pending: dict[str, str] = {}
        self._removed: list[str] = []
        self._undue: list[str] = []
        self._folders: set[str] = set()
        self._given: set[str] = set()
        self._copying: deque[Aside] = deque()

    def put(self, path: str, content: bytes) -> bool:
        """Whether the file differs from what is there, and so will be replaced. The last word on a path counts."""
        target = self._at(path)
        try:
            self._take_back(path)
            former = _size(target)
            differs = former != len(content) or _read(target) != content
            if differs:
                self._make_folder(os.path.dirname(target))
                temporary = temporary_for(target)
                copies = self._expect_copies(path, len(content))
                self._pending[path] = temporary
                write(temporary, content)
                if former is not None:
                    _outdate(temporary, target)
                self._copy(content, copies, temporary)
            elif not has_copies(path, target, len(content)):
                self._make_folder(os.path.dirname(target))
                self._copy(content, self._expect_copies(path, len(content)), target)
            else:
                # It may have been renamed by a process that was killed before it made that durable.
                self._folders.add(os.path.dirname(target))
        except OSError as error:
            raise unusable(target, error) from error
        return differs

    def alias(self, path: str, target: str) -> bool:
        """Whether a symbolic link to this target, relative to it, was not there and is now.

        What stands in its place (a copy of the tree made by a tool that follows links) makes room. Where the file
        system knows no links, there is none.
        """
        link = self._at(path)
        try:
            if os.path.islink(link) and os.readlink(link) == target:
                return False
            self._make_folder(os.path.dirname(link))
            if os.path.isdir(link) and not os.path.islink(link):
                shutil.rmtree(link)  # a copy of the tree was made with its links followed
            temporary = temporary_for(link)
            _unlink(temporary)
            os.symlink(target, temporary)
            os.replace(temporary, link)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return False
            raise unusable(link, error) from error
        return True

    def remove(self, path: str) -> bool:
        """Whether the file was there, or a copy that a batch cut short left of it; nothing of it is at the end."""
        target = self._at(path)
        self._take_back(path)
        places = [*(copies_of(target) if can_have_copies(path) else ()), target]
        try:
            if not any(map(exists, places)):
                return False
        except OSError as error:
            raise unusable(target, error) from error
        self._removed += places
        self._folders.add(os.path.dirname(target))
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        if kind is None:
            self.settle()
        else:
            self.abandon()

    def __len__(self) -> int:
        """How many files it knows of: those that wait to be put in place, copies among them, or all it was given."""
        return max(len(self._pending), len(self._given))

    def hand_over(self) -> Prepared:
        """What is ready so far, for another process to adopt; this batch knows no more of it. Raises OSError."""
        self._finish_copies()
        prepared = Prepared(self._pending, self._removed, self._undue, self._folders)
        self._pending, self._removed, self._undue, self._folders = {}, [], [], set()
        self._given.clear()
        return prepared

    def adopt(self, prepared: Prepared) -> None:
        """Put these in place as well, after what was given before."""
        self._pending |= prepared.pending
        self._removed += prepared.removed
        self._undue += prepared.undue
        self._folders |= prepared.folders

    def settle(self) -> None:
        """Put what was given so far in place, durably, in the order in which it was given."""
        try:
            self._settle()
        except OSError as error:
            self.abandon()
            raise unusable(self._root, error) from error
        except BaseException:
            self.abandon()
            raise

    def _settle(self) -> None:
        self._finish_copies()
        temporaries = list(self._pending.values())
        if len(temporaries) >= _SYNC_ALL_FROM and _syncfs(self._root):
            pass
        else:
            for temporary in temporaries:
                _fsync(temporary)
        former = hold(self._root, map(self._at, self._pending)) if self._aside and len(self._pending) <= _HELD else []
        try:
            for undue in self._undue:
                _unlink(undue)
            for path, temporary in self._pending.items():
                os.replace(temporary, self._at(path))
            self._pending.clear()
            for target in self._removed:
                _unlink(target)
            for folder in sorted(self._folders):
                _fsync(folder)
        finally:
            let_go(former)
        self._undue.clear()
        self._removed.clear()
        self._given.clear()
        self._folders.clear()

    def _take_back(self, path: str) -> None:
        """Drop what was said of a path before, if anything was."""
        if path not in self._given:
            self._given.add(path)
            return
        places = [self._at(path), *copies_of(self._at(path))]
        self._finish_copies()
        for suffix in ("", *SUFFIXES):
            if temporary := self._pending.pop(path + suffix, None):
                _unlink(temporary)
        self._removed = [place for place in self._removed if place not in places]
        self._undue = [place for place in self._undue if place not in places]

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _expect_copies(self, path: str, size: int) -> dict[str, str]:
        """The encoded copies of a file by their suffixes: in the order of things, before their original."""
        due, target = suffixes(path, size), self._at(path)
        copies = {suffix: temporary_for(target + suffix) for suffix in due}
        self._pending |= {path + suffix: temporary for suffix, temporary in copies.items()}
        self._undue += [target + suffix for suffix in SUFFIXES if suffix not in due]
        return copies

    def _copy(self, content: bytes, copies: dict[str, str], original: str) -> None:
        """Write the encoded copies, dated like the original."""
        if not self._aside or len(content) < _ASIDE_FROM_BYTES:
            write_copies(content, copies, original)
            return
        while len(self._copying) >= _COPYING:
            self._copying.popleft().finish()
        self._copying.append(aside(write_copies, content, copies, original))

    def _finish_copies(self) -> None:
        while self._copying:
            self._copying.pop().finish()  # those nobody has begun are the last

    def _make_folder(self, folder: str) -> None:
        if folder in self._folders:
            return
        made = []
        probe = folder
        while not exists(probe) and probe != _above(probe):
            made.append(probe)
            probe = _above(probe)
        os.makedirs(folder, exist_ok=True)
        for new in made:
            os.chmod(new, _PUBLIC_FOLDER)
            _fsync(_above(new))
        self._folders.add(folder)

    def abandon(self) -> None:
        """Drop what was given and is not settled."""
        while self._copying:
            self._copying.pop().abandon()  # what there was to say of it is being said
        Prepared(self._pending, [], [], set()).abandon()


def unusable(path: str | Path, error: OSError) -> OutputError:
    """What to do about a file of the tree that cannot be written or read."""
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}",
        remedy="check output.path: its disk space, its permissions, and that it is a folder",
    )


def _outdate(temporary: str, target: str) -> None:
    """`Last-Modified` has whole seconds and must grow with each change, so the file is dated past its former self."""
    with contextlib.suppress(FileNotFoundError):
        former = os.stat(target).st_mtime_ns
        now = os.stat(temporary).st_mtime_ns
        if now // _NEXT_SECOND_NS <= former // _NEXT_SECOND_NS:
            later = (former // _NEXT_SECOND_NS + 1) * _NEXT_SECOND_NS
            os.utime(temporary, ns=(later, later))


def _above(folder: str) -> str:
    return os.path.dirname(folder) or "."


def _size(target: str) -> int | None:
    """The size of what is there, None when nothing is."""
    try:
        return os.lstat(target).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(target: str) -> bytes:
    with open(target, "rb") as file:
        return file.read()


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _syncfs(root: str) -> bool:
    """Make everything on the file system durable with one call; False where there is none."""
    syncfs = _syncfs_of_libc()
    if syncfs is None:
        return False
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return bool(syncfs(descriptor) == 0)
    finally:
        os.close(descriptor)


@cache
def _syncfs_of_libc() -> Callable[[int], int] | None:
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    return found
