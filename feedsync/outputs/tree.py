"""The published tree: files that are always the complete old one or the complete new one.

A batch writes each changed file beside its target, makes the bytes durable, renames, and makes the folders
durable (docs/decisions/0005-durable-files.md). A file whose bytes did not change is not touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from typing import TYPE_CHECKING, Self

from feedsync.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
_SYNC_ALL_FROM = 32
"""From this many files on, one syncfs is cheaper than an fsync for each."""

_NEXT_SECOND_NS = 1_000_000_000


class Tree:
    """The output folder. Raises OutputError, naming the path, when it cannot be used."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, folder: str = "") -> set[str]:
        """The names of the files in a folder of the tree."""
        try:
            with os.scandir(self.root / folder) as entries:
                return {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise _unusable(self.root / folder, error) from error

    def folders(self, folder: str) -> set[str]:
        """The names of the folders in a folder of the tree."""
        try:
            with os.scandir(self.root / folder) as entries:
                return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise _unusable(self.root / folder, error) from error

    def has_alias(self, path: str, target: str) -> bool:
        """Whether there is a symbolic link at a path that leads to this target, relative to it."""
        try:
            return str((self.root / path).readlink()) == target
        except OSError:
            return False

    def read(self, path: str) -> bytes | None:
        """The bytes of a published file, None when there is none."""
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unusable(self.root / path, error) from error

    def sweep(self) -> int:
        """Remove temporary files left by processes that are gone; how many there were."""
        swept = 0
        for folder, _, files in os.walk(self.root):
            for name in files:
                match = _TEMPORARY.fullmatch(name)
                if match and not _alive(int(match.group(1))):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(os.path.join(folder, name))
                        swept += 1
        return swept

    def batch(self) -> Batch:
        """A set of files to put in place together."""
        return Batch(self.root)


class Batch:
    """Files on their way into the tree. Use as a context manager: they are in place, durably, at its end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pending: dict[str, Path] = {}
        self._removed: set[Path] = set()
        self._folders: set[Path] = set()

    def put(self, path: str, content: bytes) -> bool:
        """Whether the file differs from what is there, and so will be replaced."""
        target = self._root / path
        try:
            old = _same_size(target, len(content))
            if old is not None and target.read_bytes() == content:
                return False
            if target.parent not in self._folders:
                self._make_folder(target.parent)
            temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            self._pending[path] = temporary
            _write(temporary, content)
            _outdate(temporary, target)
        except OSError as error:
            raise _unusable(target, error) from error
        return True

    def alias(self, path: str, target: str) -> bool:
        """Whether a symbolic link to this target, relative to it, is put in place: nobody may see it half made."""
        link = self._root / path
        try:
            if link.is_symlink() and str(link.readlink()) == target:
                return False
            self._make_folder(link.parent)
            temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            os.replace(temporary, link)
        except OSError as error:
            raise _unusable(link, error) from error
        return True

    def remove(self, path: str) -> bool:
        """Whether the file was there, and so is gone at the end."""
        target = self._root / path
        if not target.exists():
            return False
        self._removed.add(target)
        self._folders.add(target.parent)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        if kind is not None:
            self._abandon()
            return
        try:
            self._settle()
        except OSError as error:
            self._abandon()
            raise _unusable(self._root, error) from error

    def _settle(self) -> None:
        temporaries = list(self._pending.values())
        if len(temporaries) >= _SYNC_ALL_FROM and _syncfs(self._root):
            pass
        else:
            for temporary in temporaries:
                _fsync(temporary)
        for path, temporary in self._pending.items():
            os.replace(temporary, self._root / path)
        self._pending.clear()
        for target in self._removed:
            target.unlink(missing_ok=True)
        for folder in sorted(self._folders):
            _fsync(folder)

    def _make_folder(self, folder: Path) -> None:
        made = []
        probe = folder
        while not probe.exists():
            made.append(probe)
            probe = probe.parent
        folder.mkdir(parents=True, exist_ok=True)
        for new in made:
            _fsync(new.parent)
        self._folders.add(folder)

    def _abandon(self) -> None:
        for temporary in self._pending.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _outdate(temporary: Path, target: Path) -> None:
    """`Last-Modified` has whole seconds and must grow with each change, so the file is dated past its former self."""
    with contextlib.suppress(FileNotFoundError):
        former = target.stat().st_mtime_ns
        now = temporary.stat().st_mtime_ns
        if now // _NEXT_SECOND_NS <= former // _NEXT_SECOND_NS:
            later = (former // _NEXT_SECOND_NS + 1) * _NEXT_SECOND_NS
            os.utime(temporary, ns=(later, later))


def _same_size(target: Path, size: int) -> int | None:
    try:
        found = target.lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if found == size else None


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _syncfs(root: Path) -> bool:
    """Make everything on the file system durable with one call; False where there is none."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return bool(syncfs(descriptor) == 0)
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _unusable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}",
        remedy="check output.path: its disk space, its permissions, and that it is a folder",
    )


def walk(root: Path) -> Iterator[str]:
    """Every file of the tree by its path, temporary files left out."""
    for folder, _, files in os.walk(root):
        for name in files:
            if not _TEMPORARY.fullmatch(name):
                yield os.path.relpath(os.path.join(folder, name), root)
