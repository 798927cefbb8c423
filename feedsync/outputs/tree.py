"""The published tree: files that are always the complete old one or the complete new one.

A batch writes each changed file beside its target, makes the bytes durable, renames, and makes the folders
durable (docs/decisions/0005-durable-files.md). A file whose bytes did not change is not touched.

Encoded copies (`all.atom.gz`) stand beside their originals and bear the same mtime: by it anybody can tell
that they belong together. They are put in place before the original and removed before it, so whoever has
seen the new original finds no older copy (docs/decisions/0010-encoded-copies.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Self

from feedsync.errors import OutputError
from feedsync.outputs.encode import SUFFIXES, decoded, encoded, suffixes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
_ASIDE_FROM_BYTES = 65_536
_COPIERS = 2
_COPYING = 8
"""So many large files at most are held in memory until their copies are made."""

_SYNC_ALL_FROM = 4
"""From this many files on, one syncfs is cheaper than an fsync for each."""

_PUBLIC, _PUBLIC_FOLDER = 0o644, 0o755
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
_NEXT_SECOND_NS = 1_000_000_000
_OUTDATED_BY_S = 2
"""A file may be dated up to a second into the future; see `_outdate`."""

Mark = tuple[int, int] | None
"""Inode and mtime of a folder; None when there is none."""


class Tree:
    """The output folder. Raises OutputError, naming the path, when it cannot be used."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, folder: str = "") -> set[str]:
        """The names of the files in a folder of the tree, without the encoded copies of others among them."""
        try:
            with os.scandir(self.root / folder) as entries:
                present = {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise _unusable(self.root / folder, error) from error
        return {name for name in present if not (name.endswith(SUFFIXES) and name[:-3] in present)}

    def each(self, folder: str) -> Iterator[str]:
        """The same one after the other, in no order: of a million, nothing is kept."""
        try:
            with os.scandir(self.root / folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False) and not (
                        entry.name.endswith(SUFFIXES) and (self.root / folder / entry.name[:-3]).is_file()
                    ):
                        yield entry.name
        except FileNotFoundError:
            return
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

    def holds(self, path: str, content: bytes) -> bool:
        """Whether the file has this content, and the encoded copies it ought to have and no others."""
        if self.read(path) != content:
            return False
        due = suffixes(path, len(content))
        target = self.root / path
        return all(
            _belongs(_beside(target, suffix), target) and decoded(suffix, self.read(path + suffix) or b"") == content
            if suffix in due
            else not _beside(target, suffix).exists()
            for suffix in SUFFIXES
        )

    def marks(self, folders: Iterable[str]) -> tuple[Mark, ...]:
        """What differs for each of these folders once something came into it or went, and of one that was replaced."""
        found: list[Mark] = []
        for folder in folders:
            try:
                status = (self.root / folder).stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_ino, status.st_mtime_ns))
        return tuple(found)

    def sweep(self) -> int:
        """Remove temporary files left by processes that are gone; how many there were."""
        swept = 0
        for path in self._left():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
                swept += 1
        return swept

    def leftovers(self) -> int:
        """How many temporary files `sweep` would remove."""
        return sum(1 for _ in self._left())

    def _left(self) -> Iterator[str]:
        for folder, folders, files in os.walk(self.root):
            for name in (*files, *folders):  # a link on its way is one or the other, or leads nowhere yet
                match = _TEMPORARY.fullmatch(name)
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    if match and not _writing(int(match.group(1)), os.lstat(path).st_mtime):
                        yield path

    def batch(self, *, aside: bool = True) -> Batch:
        """A set of files to put in place together; with `aside`, copies of large ones are made by other threads."""
        return Batch(self.root, aside=aside)

    @contextlib.contextmanager
    def preparing(self) -> Iterator[Batch]:
        """A set of files that another process puts in place."""
        batch = Batch(self.root, aside=False)
        try:
            yield batch
        finally:
            batch.abandon()


@dataclass(frozen=True, slots=True)
class Prepared:
    """Files that were written beside their targets, and what is to go: all that is left of a batch to be settled."""

    pending: dict[str, Path]
    removed: list[Path]
    undue: list[Path]
    folders: set[Path]

    def abandon(self) -> None:
        for temporary in self.pending.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


class Batch:
    """Files on their way into the tree. Use as a context manager: they are in place, durably, at its end."""

    def __init__(self, root: Path, *, aside: bool) -> None:
        self._root = root
        self._aside = aside
        self._pending: dict[str, Path] = {}
        self._removed: list[Path] = []
        self._undue: list[Path] = []
        self._folders: set[Path] = set()
        self._given: set[str] = set()
        self._copying: deque[Future[None]] = deque()

    def put(self, path: str, content: bytes) -> bool:
        """Whether the file differs from what is there, and so will be replaced. The last word on a path counts."""
        target = self._root / path
        try:
            self._take_back(path)
            differs = _same_size(target, len(content)) is None or target.read_bytes() != content
            if differs:
                self._make_folder(target.parent)
                temporary = _temporary(target)
                copies = self._expect_copies(path, len(content))
                self._pending[path] = temporary
                _write(temporary, content)
                _outdate(temporary, target)
                self._copy(content, copies, temporary)
            elif not _has_copies(path, target, len(content)):
                self._make_folder(target.parent)
                self._copy(content, self._expect_copies(path, len(content)), target)
            else:
                # It may have been renamed by a process that was killed before it made that durable.
                self._folders.add(target.parent)
        except OSError as error:
            raise _unusable(target, error) from error
        return differs

    def alias(self, path: str, target: str) -> bool:
        """Whether a symbolic link to this target, relative to it, was not there and is now.

        What stands in its place (a copy of the tree made by a tool that follows links) makes room. Where the file
        system knows no links, there is none.
        """
        link = self._root / path
        try:
            if link.is_symlink() and str(link.readlink()) == target:
                return False
            self._make_folder(link.parent)
            if link.is_dir() and not link.is_symlink():
                shutil.rmtree(link)  # a copy of the tree was made with its links followed
            temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            os.replace(temporary, link)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return False
            raise _unusable(link, error) from error
        return True

    def remove(self, path: str) -> bool:
        """Whether the file was there, and so is gone at the end."""
        target = self._root / path
        self._take_back(path)
        if not target.exists():
            return False
        self._removed += [*(_beside(target, suffix) for suffix in SUFFIXES), target]
        self._folders.add(target.parent)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        if kind is None:
            self.settle()
        else:
            self.abandon()

    def __len__(self) -> int:
        """How many files, copies among them, wait to be put in place."""
        return len(self._pending)

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
            raise _unusable(self._root, error) from error
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
        for undue in self._undue:
            undue.unlink(missing_ok=True)
        for path, temporary in self._pending.items():
            os.replace(temporary, self._root / path)
        self._pending.clear()
        for target in self._removed:
            target.unlink(missing_ok=True)
        for folder in sorted(self._folders):
            _fsync(folder)
        self._undue.clear()
        self._removed.clear()
        self._given.clear()
        self._folders.clear()

    def _take_back(self, path: str) -> None:
        """Drop what was said of a path before, if anything was."""
        if path not in self._given:
            self._given.add(path)
            return
        places = [self._root / path, *(_beside(self._root / path, suffix) for suffix in SUFFIXES)]
        self._finish_copies()
        for suffix in ("", *SUFFIXES):
            if temporary := self._pending.pop(path + suffix, None):
                temporary.unlink(missing_ok=True)
        self._removed = [place for place in self._removed if place not in places]
        self._undue = [place for place in self._undue if place not in places]

    def _expect_copies(self, path: str, size: int) -> dict[str, Path]:
        """The encoded copies of a file by their suffixes: in the order of things, before their original."""
        due = suffixes(path, size)
        copies = {suffix: _temporary(_beside(self._root / path, suffix)) for suffix in due}
        self._pending |= {path + suffix: temporary for suffix, temporary in copies.items()}
        self._undue += [_beside(self._root / path, suffix) for suffix in SUFFIXES if suffix not in due]
        return copies

    def _copy(self, content: bytes, copies: dict[str, Path], original: Path) -> None:
        """Write the encoded copies, dated like the original."""
        if not self._aside or len(content) < _ASIDE_FROM_BYTES:
            _write_copies(content, copies, original)
            return
        while len(self._copying) >= _COPYING:
            self._copying.popleft().result()
        self._copying.append(_copiers().submit(_write_copies, content, copies, original))

    def _finish_copies(self) -> None:
        while self._copying:
            self._copying.popleft().result()

    def _make_folder(self, folder: Path) -> None:
        if folder in self._folders:
            return
        made = []
        probe = folder
        while not probe.exists():
            made.append(probe)
            probe = probe.parent
        folder.mkdir(parents=True, exist_ok=True)
        for new in made:
            new.chmod(_PUBLIC_FOLDER)
            _fsync(new.parent)
        self._folders.add(folder)

    def abandon(self) -> None:
        """Drop what was given and is not settled."""
        while self._copying:
            with contextlib.suppress(Exception):  # what there was to say of it is being said
                self._finish_copies()
        Prepared(self._pending, [], [], set()).abandon()


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


def _belongs(copy: Path, original: Path) -> bool:
    """Whether an encoded copy is of this very version of its original."""
    try:
        return copy.lstat().st_mtime_ns == original.lstat().st_mtime_ns
    except OSError:
        return False


def _has_copies(path: str, target: Path, size: int) -> bool:
    due = suffixes(path, size)
    return all(
        _belongs(_beside(target, suffix), target) if suffix in due else not _beside(target, suffix).exists()
        for suffix in SUFFIXES
    )


def _date_like(original: Path, copy: Path) -> None:
    mtime_ns = original.stat().st_mtime_ns
    os.utime(copy, ns=(mtime_ns, mtime_ns))


@cache
def _copiers() -> ThreadPoolExecutor:
    """Threads that make copies: encoders do not hold up Python while they work."""
    return ThreadPoolExecutor(_COPIERS, thread_name_prefix="copy")


def _write_copies(content: bytes, copies: dict[str, Path], original: Path) -> None:
    for suffix, copy in copies.items():
        _write(copy, encoded(suffix, content))
        _date_like(original, copy)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.fchmod(descriptor, _PUBLIC)  # whatever the umask: another program may be the one that serves it
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


def _writing(pid: int, modified_s: float) -> bool:
    """Whether a process lives that may have written a file then: ids come again, after a restart above all."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat, open("/proc/uptime", "rb") as uptime:
            fields = stat.read().rpartition(b")")[2].split()
            age_s = float(uptime.read().split()[0]) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return True
    if fields[0] in (b"Z", b"X"):  # dead, and its parent has not asked for its exit code
        return False
    return time.time() - modified_s < age_s + _OUTDATED_BY_S


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
