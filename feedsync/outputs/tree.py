"""The published tree: what stands in it, and batches to change that."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from feedsync.outputs.batch import Batch, unusable
from feedsync.outputs.copies import has_copies
from feedsync.outputs.encode import SUFFIXES, decoded, suffixes
from feedsync.outputs.temporary import left_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

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
            raise unusable(self.root / folder, error) from error
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
            raise unusable(self.root / folder, error) from error

    def folders(self, folder: str) -> set[str]:
        """The names of the folders in a folder of the tree."""
        try:
            with os.scandir(self.root / folder) as entries:
                return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise unusable(self.root / folder, error) from error

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
            raise unusable(self.root / path, error) from error

    def size(self, path: str) -> int:
        """The size of a published file, 0 when there is none."""
        try:
            return (self.root / path).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError as error:
            raise unusable(self.root / path, error) from error

    def holds(self, path: str, content: bytes) -> bool:
        """Whether the file has this content, and the encoded copies it ought to have and no others."""
        if self.read(path) != content:
            return False
        target = os.fspath(self.root / path)
        try:
            copied = has_copies(path, target, len(content))
        except OSError as error:
            raise unusable(target, error) from error
        return copied and all(
            decoded(suffix, self.read(path + suffix) or b"") == content for suffix in suffixes(path, len(content))
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
        for path in left_below(os.fspath(self.root)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
                swept += 1
        return swept

    def leftovers(self) -> int:
        """How many temporary files `sweep` would remove."""
        return sum(1 for _ in left_below(os.fspath(self.root)))

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
