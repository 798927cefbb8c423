"""Watches the folders of sources, and tells what changed in them.

A source's own folder is watched at once; those below it when they are found, which takes a while where there are a
million files. watchfiles would look for them itself, but asks for the state of every file and lets no other thread of
the process work meanwhile: for half a minute, with a cold disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from itertools import islice
from typing import TYPE_CHECKING

import watchfiles

from feedsync.errors import SourceError
from feedsync.sources import folders, is_folder, scan
from feedsync.values import replace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Protocol

    from feedsync.sources import FileSource

    class Changed(Protocol):
        """Told of names in a source's folder that changed, and whether all of it is worth a look (`folder`)."""

        def __call__(self, source: FileSource, paths: Collection[bytes], *, folder: bool) -> None: ...


log = logging.getLogger("feedsync.watch")

_STEP_MS = 5
"""What comes within one step is told together. With 5, a file is told of after 8 ms; with 10, after 17."""
_DEBOUNCE_MS = 200
_QUIET_MS = 100
"""So long nothing changes, and we look whether the folders are still the same."""
_GRACE_S = 5
_FEW = 1000


class Watcher:
    """A thread that calls `changed` for what happens in the folders."""

    def __init__(self, changed: Changed, *, recursive: bool = True) -> None:
        self._changed = changed
        self._recursive = recursive
        self._sources: tuple[FileSource, ...] = ()
        self._stop = threading.Event()
        self._renew = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def watch(self, sources: tuple[FileSource, ...]) -> None:
        self._sources = sources
        self._renew.set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._renew.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_GRACE_S)

    def _run(self) -> None:
        ground = _Ground((), {}, self._renew)
        while not self._stop.is_set():
            self._renew.clear()
            sources, roots = self._sources, _roots(self._sources)
            if not roots:
                self._stop.wait(1)
                continue
            if (sources, roots) != (ground.sources, ground.roots):
                ground = _Ground(sources, roots, self._renew)
                if self._recursive:
                    ground.explore((source, b"") for source in sources)
            try:
                self._watch(ground)
            except FileNotFoundError:  # a folder went while it was about to be watched
                ground = _Ground((), {}, self._renew)
                self._stop.wait(_QUIET_MS / 1000)
            except Exception:
                log.exception("watcher failed, trying again")
                self._stop.wait(1)

    def _watch(self, ground: _Ground) -> None:
        """Until the folders are others. The first word of a watch sends a scan after what came before it."""
        found, first = ground.found, ground.is_known
        for changes in watchfiles.watch(
            *ground.roots,  # the system may allow no more
            *found.difference(ground.roots),
            watch_filter=None,
            step=_STEP_MS,
            debounce=_DEBOUNCE_MS,
            rust_timeout=_QUIET_MS,
            recursive=False,
            yield_on_timeout=True,
            stop_event=self._renew,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            if first:
                for source, folder in ground.news():
                    self._changed(source, _first_below(source, folder), folder=False)
                for source in ground.sources:
                    self._changed(source, (), folder=True)
            first = False
            paths = {path for _, path in changes}
            self._tell(ground, {os.fsencode(path) for path in paths})
            if paths & ground.roots.keys() or _roots(ground.sources) != ground.roots:
                return  # a folder was mounted, removed or replaced

    def _tell(self, ground: _Ground, paths: set[bytes]) -> None:
        """What changed; a folder that came or went changes what is to be watched, too."""
        moved = []
        for source in ground.sources:
            root = os.fsencode(source.path.absolute()) + b"/"
            inside = {path.removeprefix(root) for path in paths if path.startswith(root)}
            files = {path for path in inside if source.matches(os.fsdecode(os.path.basename(path)))}
            if self._recursive:
                for folder in inside:
                    if os.path.isdir(root + folder) and is_folder(source, folder):
                        files |= _first_below(source, folder)
                        moved.append((source, folder))
                    elif os.fsdecode(root + folder) in ground.found:
                        moved.append((source, folder))
            if files:
                self._changed(source, files, folder=False)
        if moved:
            ground.explore(moved)


class _Ground:
    """The folders to be watched for some sources. `changed` is set when there are others than before."""

    def __init__(
        self, sources: tuple[FileSource, ...], roots: dict[str, tuple[int, int]], changed: threading.Event
    ) -> None:
        self.sources = sources
        self.roots = roots
        self.found = frozenset(roots)
        self._changed = changed
        self._exploring = 0
        self._news: list[tuple[FileSource, bytes]] = []
        self._lock = threading.Lock()

    @property
    def is_known(self) -> bool:
        """Whether nobody is looking for more folders."""
        return not self._exploring

    def explore(self, places: Iterable[tuple[FileSource, bytes]]) -> None:
        """Look for folders at some places, each with all that is below it, in a thread: a slow disk holds up nobody."""
        places = list(places)
        with self._lock:
            self._exploring += 1
            self._news += [place for place in places if place[1]]
        threading.Thread(target=self._explore, args=(places,), name="explorer", daemon=True).start()

    def news(self) -> list[tuple[FileSource, bytes]]:
        """The folders that came since this was asked last: files may have come into them before they were watched."""
        with self._lock:
            news, self._news = self._news, []
        return news

    def _explore(self, places: list[tuple[FileSource, bytes]]) -> None:
        found, gone = set(), set()
        try:
            for source, top in places:
                root = os.fsencode(source.path.absolute())
                gone.add(os.fsdecode(os.path.join(root, top)).rstrip("/"))
                found |= {os.fsdecode(os.path.join(root, path)).rstrip("/") for path in folders(source, top)}
        finally:
            with self._lock:
                self._exploring -= 1
                kept = {path for path in self.found if path in self.roots or gone.isdisjoint(_upwards(path))}
                self.found = frozenset(kept.union(filter(_is_utf8, found)))
            self._changed.set()


def _roots(sources: Iterable[FileSource]) -> dict[str, tuple[int, int]]:
    """The folders of sources that exist, each by its identity."""
    found = {}
    for source in sources:
        with contextlib.suppress(OSError):
            result = source.path.stat()
            found[str(source.path.absolute())] = (result.st_dev, result.st_ino)
    return found


def _upwards(path: str) -> Iterable[str]:
    """A path, and those of all folders above it."""
    while path not in ("", "/"):
        yield path
        path = os.path.dirname(path)


def _is_utf8(path: str) -> bool:
    """Whether watchfiles can be told of it; what changes in other folders is found by scans alone."""
    return not any("\udc80" <= character <= "\udcff" for character in path)


def _first_below(source: FileSource, folder: bytes) -> set[bytes]:
    """Files in a folder that may have come as a whole: they need not wait for the scan that finds all of it."""
    try:
        found = scan(replace(source, path=source.path / os.fsdecode(folder)))
        return {os.path.join(folder, name.path) for name in islice(found, _FEW)}
    except SourceError:  # it is gone again
        return set()
