"""Watches the folders of sources, and tells what changed in them."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from itertools import islice
from typing import TYPE_CHECKING

import watchfiles

from feedsync.errors import SourceError
from feedsync.sources import is_folder, scan
from feedsync.values import replace

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Protocol

    from feedsync.sources import FileSource

    class Changed(Protocol):
        """Told of names in a source's folder that changed, and whether all of it is worth a look (`folder`)."""

        def __call__(self, source: FileSource, paths: Collection[bytes], *, folder: bool) -> None: ...


log = logging.getLogger("feedsync.watch")

_STEP_MS = 5
"""What comes within one step is told together. With 5, a file is told of after 8 ms; with 10, after 17."""
_DEBOUNCE_MS = 200
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
        self._thread.join(timeout=_GRACE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._renew.clear()
            folders = self._folders()
            if not folders:
                self._stop.wait(1)
                continue
            try:
                self._watch(folders)
            except Exception:
                log.exception("watcher failed, trying again")
                self._stop.wait(1)

    def _watch(self, folders: dict[str, tuple[int, int]]) -> None:
        """Until the folders are others. The first word of a watch sends a scan after what came before it."""
        first = True
        for changes in watchfiles.watch(
            *folders,
            watch_filter=None,
            step=_STEP_MS,
            debounce=_DEBOUNCE_MS,
            rust_timeout=1000,
            recursive=self._recursive,
            yield_on_timeout=True,
            stop_event=self._renew,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            paths = {path for _, path in changes}
            if first:
                for source in self._sources:
                    self._changed(source, (), folder=True)
            first = False
            self._tell({os.fsencode(path) for path in paths})
            if paths & folders.keys() or self._folders() != folders:
                return  # a folder was mounted, removed or replaced

    def _folders(self) -> dict[str, tuple[int, int]]:
        """The folders that exist, each by its identity."""
        found = {}
        for source in self._sources:
            with contextlib.suppress(OSError):
                result = source.path.stat()
                found[str(source.path.absolute())] = (result.st_dev, result.st_ino)
        return found

    def _tell(self, paths: set[bytes]) -> None:
        for source in self._sources:
            root = os.fsencode(source.path.absolute()) + b"/"
            inside = {path.removeprefix(root) for path in paths if path.startswith(root)}
            files = {path for path in inside if source.matches(os.fsdecode(os.path.basename(path)))}
            folders = [path for path in inside if os.path.isdir(root + path)]
            for folder in folders:
                if is_folder(source, folder):
                    files |= _first_below(source, folder)
            if files or folders:
                self._changed(source, files, folder=bool(folders))


def _first_below(source: FileSource, folder: bytes) -> set[bytes]:
    """Files in a folder that may have come as a whole: they need not wait for the scan that finds all of it."""
    try:
        found = scan(replace(source, path=source.path / os.fsdecode(folder)))
        return {os.path.join(folder, name.path) for name in islice(found, _FEW)}
    except SourceError:  # it is gone again
        return set()
