"""Published files as they are served, the hot ones in memory or open, each held against the disk at every request.

A file is only ever replaced whole, by renaming, so its inode, mtime and size say which version it is. When the
tree is gone for a while (unmounted, being replaced), the last good copy is served, and what is not in memory is
`Gone`, which is no 404: a reader would drop a feed for that.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from email.utils import formatdate
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING

from feedsync.values import Struct, field
from feedsync.web.kinds import CROSS_ORIGIN, Kind, cache_control, kind_of
from feedsync.web.message import File, Response, head

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedReader

WITNESS = "all.atom"
"""The file every published tree has."""
_SUFFIXES = {"br": ".br", "gzip": ".gz"}
_OPEN_FROM_BYTES = 32_768
"""From here on the kernel sends a file faster itself than we could: it is kept open, not in memory."""
OPEN_COST_BYTES = 64_000
"""What an open file counts for in the cache, so that there are never too many."""
_COST_BYTES = 2000
"""What an entry costs beside its contents."""
_DIGEST_TO_BYTES = 16_000_000
"""The ETag of a larger file is made of mtime and size: reading it would keep all others waiting."""
_ALTERNATES = {"atom": "application/atom+xml", "rss": "application/rss+xml", "json": "application/feed+json"}


_ATTEMPTS = 5


class Gone(Exception):
    """The tree cannot be read just now."""


class _Replaced(Exception):
    """Another version was put in place between looking and opening."""


class Representation(Struct, frozen=True):
    """One encoding of one version of a file, with both answers to it."""

    etag: bytes
    modified: bytes
    modified_s: int
    whole: Response
    same: Response


Version = tuple[int, int, int, int]


class _Entry(Struct):
    version: Version
    representations: dict[str, Representation | None] = field(default_factory=dict)
    held_bytes: int = _COST_BYTES


class Files:
    """The files below a folder, found by their paths."""

    def __init__(self, root: str, cache_bytes: int, formats: Sequence[str] = tuple(_ALTERNATES)) -> None:
        self._formats = [form for form in _ALTERNATES if form in formats]
        self._root = Path(root)
        self._prefix = f"{root}/"
        self._capacity_bytes = cache_bytes
        self._held_bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def find(self, path: str, codings: tuple[str, ...]) -> Representation | None:
        """The file in the best of these codings that it has, None when there is no such file. Raises Gone."""
        kind = kind_of(path)
        if kind is None:
            return None
        for _ in range(_ATTEMPTS):
            try:
                return self._find(path, kind, codings)
            except _Replaced:
                self._drop(path)
        raise Gone

    @property
    def held_bytes(self) -> int:
        """What is in memory."""
        return self._held_bytes

    def withdrawn(self, path: str) -> bool:
        """Whether what stood at a path was withdrawn: an empty file of its name and `.gone` says so."""
        return os.path.lexists(f"{self._prefix}{path}.gone")

    def _find(self, path: str, kind: Kind, codings: tuple[str, ...]) -> Representation | None:
        entry = self._entries.get(path)
        try:
            version = _version(os.stat(self._prefix + path))
            if entry is None or entry.version != version:
                entry = _Entry(version)
                self._keep(path, entry)
            else:
                self._entries.move_to_end(path)
            return self._choose(path, kind, entry, codings)
        except (FileNotFoundError, NotADirectoryError):
            return self._missing(path, entry, codings)
        except OSError as error:
            return _last_good(entry, codings, error)

    def _missing(self, path: str, entry: _Entry | None, codings: tuple[str, ...]) -> Representation | None:
        """No such file, unless the whole tree is gone."""
        if not self._root.joinpath(WITNESS).exists():
            return _last_good(entry, codings, None)
        self._drop(path)
        return None

    def _choose(self, path: str, kind: Kind, entry: _Entry, codings: tuple[str, ...]) -> Representation:
        for coding in codings:
            if coding not in entry.representations:
                self._load(path, kind, entry, coding)
            if found := entry.representations[coding]:
                return found
        if not entry.representations.get(""):
            self._load(path, kind, entry, "")
        plain = entry.representations[""]
        assert plain is not None
        return plain

    def _load(self, path: str, kind: Kind, entry: _Entry, coding: str) -> None:
        """Read one representation of this version; None when it has none in this coding."""
        try:
            real = self._resolve(path)
            file = os.fdopen(_open_below(self._root, real + _SUFFIXES[coding] if coding else real), "rb")
        except FileNotFoundError:
            if not coding:
                raise
            entry.representations[coding] = None
            return
        with file:
            found = os.fstat(file.fileno())
            if coding and found.st_mtime_ns != entry.version[1]:
                entry.representations[coding] = None  # of another version: the original stands for itself
                return
            if not coding and _version(found) != entry.version:
                raise _Replaced
            etag, body = _read(file, found)
        entry.representations[coding] = self._represent(real, kind, found, coding, etag, body)
        self._account(entry, OPEN_COST_BYTES if isinstance(body, File) else len(body))

    def _resolve(self, path: str) -> str:
        """Where links lead (pages stand once more under `large/`). FileNotFoundError when that is not in the tree."""
        root = os.path.realpath(self._root)
        real = os.path.realpath(os.path.join(root, path))
        if not real.startswith(root + "/"):
            raise FileNotFoundError(path)
        return real.removeprefix(root + "/")

    def _represent(
        self, path: str, kind: Kind, found: os.stat_result, coding: str, etag: str, body: bytes | File
    ) -> Representation:
        modified_s = int(found.st_mtime)
        modified = formatdate(modified_s, usegmt=True)
        size = body.size if isinstance(body, File) else len(body)
        validators = (
            ("ETag", etag),
            ("Last-Modified", modified),
            ("Cache-Control", cache_control(path, kind)),
            ("Vary", "Accept-Encoding"),
        )
        content = [("Content-Type", kind.media_type), ("Content-Length", str(size))]
        if coding:
            content.append(("Content-Encoding", coding))
        return Representation(
            etag.encode(),
            modified.encode(),
            modified_s,
            Response(200, head(content, validators, kind.fields, self._links(path)), body),
            Response(304, head(validators, CROSS_ORIGIN if kind.feed else ())),
        )

    def _links(self, path: str) -> list[tuple[str, str]]:
        """A page's feeds (autodiscovery without reading the page)."""
        stem, _, extension = path.rpartition(".")
        if extension != "html" or path.startswith("article/"):
            return []
        stem = "all" if stem == "index" else stem
        links = [
            f'</{stem}.{form}>; rel="alternate"; type="{_ALTERNATES[form]}"'
            for form in self._formats
            if self._root.joinpath(f"{stem}.{form}").exists()
        ]
        return [("Link", ", ".join(links))] if links else []

    def _keep(self, path: str, entry: _Entry) -> None:
        self._drop(path)
        self._entries[path] = entry
        self._held_bytes += entry.held_bytes
        self._shrink()

    def _account(self, entry: _Entry, size: int) -> None:
        entry.held_bytes += size
        self._held_bytes += size
        self._shrink()

    def _shrink(self) -> None:
        while self._held_bytes > self._capacity_bytes and len(self._entries) > 1:
            _, dropped = self._entries.popitem(last=False)
            self._held_bytes -= dropped.held_bytes

    def _drop(self, path: str) -> None:
        if dropped := self._entries.pop(path, None):
            self._held_bytes -= dropped.held_bytes


def _last_good(entry: _Entry | None, codings: tuple[str, ...], error: Exception | None) -> Representation:
    if entry is not None:
        for coding in (*codings, ""):
            found = entry.representations.get(coding)
            if found:
                return found
    raise Gone from error


def _version(found: os.stat_result) -> Version:
    return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)


def _open_below(root: Path, path: str) -> int:
    """A descriptor of a regular file, through no symbolic link below the root. FileNotFoundError otherwise."""
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *above, name = path.split("/")
        for part in above:
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise FileNotFoundError(path)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except NotADirectoryError as error:
        raise FileNotFoundError(path) from error
    finally:
        os.close(folder)


def _read(file: BufferedReader, found: os.stat_result) -> tuple[str, bytes | File]:
    """The ETag and the content of an open file."""
    if found.st_size > _DIGEST_TO_BYTES:
        return f'"{found.st_mtime_ns:x}-{found.st_size:x}"', File(os.dup(file.fileno()), found.st_size)
    if found.st_size >= _OPEN_FROM_BYTES:
        digest = file_digest(file, "sha256").hexdigest()
        return f'"{digest[:32]}"', File(os.dup(file.fileno()), found.st_size)
    content = file.read(found.st_size)
    if len(content) != found.st_size:
        raise OSError(f"{file.name} is being written")
    return f'"{sha256(content).hexdigest()[:32]}"', content
