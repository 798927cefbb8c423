"""The encoded copies of a file, beside it (`all.atom.gz`).

They bear the mtime of their original: by it anybody can tell that they belong together.
"""

from __future__ import annotations

import errno
import os

from feedsync.outputs.encode import SUFFIXES, encoded, suffixes
from feedsync.outputs.temporary import write


def copies_of(target: str) -> list[str]:
    """Where copies of a file may be."""
    return [target + suffix for suffix in SUFFIXES]


def has_copies(path: str, target: str, size: int) -> bool:
    """Whether a file has the copies that one of this path and size ought to have, and no others."""
    due = suffixes(path, size)
    return all(
        belongs(target + suffix, target) if suffix in due else not exists(target + suffix) for suffix in SUFFIXES
    )


def exists(path: str) -> bool:
    """Whether a path leads anywhere. Raises OSError when that cannot be told: what may be there is not gone."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise
    return True


def belongs(copy: str, original: str) -> bool:
    """Whether an encoded copy is of this very version of its original."""
    try:
        return os.lstat(copy).st_mtime_ns == os.lstat(original).st_mtime_ns
    except OSError:
        return False


def write_copies(content: bytes, copies: dict[str, str], original: str) -> None:
    """Write copies, to paths by their suffixes, dated like their original."""
    for suffix, copy in copies.items():
        write(copy, encoded(suffix, content))
        mtime_ns = os.stat(original).st_mtime_ns
        os.utime(copy, ns=(mtime_ns, mtime_ns))
