"""A source that is a folder of article files: its options, and what is known of a file in it."""

from __future__ import annotations

import errno
import os
import re
import stat
from fnmatch import translate
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from feedsync.cron import Cron
from feedsync.errors import Refused, SourceError
from feedsync.sources.policy import FetchPolicy
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_ESCAPED = re.compile(rb"(\\x[89a-f][0-9a-f])")
_ESCAPES = 8
_ENDS = re.compile(r"\*[^*?\[]*")

_SETTLE_NS = 20_000_000
"""A file changed this shortly before it was read may change again within one tick of the file system's clock."""


class FileSource(Struct, frozen=True):
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
        return not name.startswith(".") and bool(matcher(self.pattern)(os.fsencode(name)))


@lru_cache(maxsize=64)
def matcher(patterns: tuple[str, ...]) -> Callable[[bytes], object]:
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


def not_a_file(mode: int) -> Refused:
    """What to say of a name that is no regular file, by its mode."""
    kinds = ((stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))
    kind = next((name for test, name in kinds if test(mode)), "a device")
    return Refused("not-a-file", f"it is {kind}, not a file", remedy="move it out of the folder")


def blame_ourselves(source: FileSource, error: OSError) -> None:
    """Raise SourceError when it is this process that lacks something: no document is to be refused for that."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise SourceError(
            f"source {source.name}: it cannot be read just now: {error.strerror}",
            remedy="raise LimitNOFILE (`ulimit -n`) or the memory of the service; the next pass reads the rest",
        ) from error
