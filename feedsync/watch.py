"""Watches the folders of sources, and tells what changed in them.

A source's own folder is watched at once. A second thread finds those below it, which takes a while where there are a
million files, and follows folders that come, go or are moved. A folder is watched before it is listed, so whatever
comes into it is either in the list or told of by the system.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import select
import threading
import time
from itertools import islice
from typing import TYPE_CHECKING

from inotify_simple import INotify, flags

from feedsync.errors import SourceError
from feedsync.sources import folders, is_folder, scan
from feedsync.values import replace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import Protocol

    from inotify_simple import Event

    from feedsync.sources import FileSource

    class Changed(Protocol):
        """Told of names in a source's folder that changed, or that all of it is worth a look (`folder`)."""

        def __call__(self, source: FileSource, paths: Collection[bytes], *, folder: bool) -> None: ...


log = logging.getLogger("feedsync.watch")

_STEP_MS = 5
"""What comes within one step is told together: of a file that is written there may be more to come."""
_MOVED_STEP_MS = 1
"""The same after files that were moved here, and so are whole."""
_DEBOUNCE_S = 0.2
_LOOK_MS = 1000
"""So often we look whether the folders of sources are still the same."""
_GRACE_S = 5
_FEW = 1000

_WHOLE = flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE
_GONE = flags.MOVED_FROM | flags.DELETE
_HERE = flags.CREATE | flags.MOVED_TO | flags.MODIFY | flags.CLOSE_WRITE | flags.ATTRIB
_SELF = flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT | flags.IGNORED
_ASKED = _GONE | _HERE | flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR

Roots = dict[bytes, tuple[int, int]]
"""The folders of sources that exist, each by its identity."""


class Watcher:
    """A thread that calls `changed` for what happens in the folders; so does one that looks for more of them."""

    def __init__(self, changed: Changed, *, recursive: bool = True) -> None:
        self._changed = changed
        self._recursive = recursive
        self._sources: tuple[FileSource, ...] = ()
        self._stopping = False
        self._begun = threading.Event()
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def watch(self, sources: tuple[FileSource, ...]) -> None:
        if sources != self._sources:
            self._sources = sources
            os.eventfd_write(self._woken, 1)

    def start(self) -> None:
        """From the return on nothing is missed, unless the disk takes seconds to answer."""
        self._thread.start()
        self._begun.wait(_GRACE_S)

    def stop(self) -> None:
        self._stopping = True
        os.eventfd_write(self._woken, 1)
        if self._thread.is_alive():
            self._thread.join(timeout=_GRACE_S)
        if not self._thread.is_alive():
            os.close(self._woken)

    def _run(self) -> None:
        while not self._stopping:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._woken)
            try:
                self._watch(self._sources)
            except Exception:
                self._begun.set()
                log.exception("watcher failed, trying again")
                self._wait(_LOOK_MS)

    def _wait(self, milliseconds: int, *others: int) -> bool:
        """Until something can be read; whether we were woken."""
        poll = select.poll()
        for descriptor in (self._woken, *others):
            poll.register(descriptor, select.POLLIN)
        ready = any(descriptor == self._woken for descriptor, _ in poll.poll(milliseconds))
        if ready:
            os.eventfd_read(self._woken)
        return ready

    def _watch(self, sources: tuple[FileSource, ...]) -> None:
        """Until the sources or their own folders are others."""
        roots = _roots(sources)
        if not roots:
            self._begun.set()
            self._wait(_LOOK_MS)
            return
        with INotify() as inotify, _Ground(inotify, sources, roots, self._changed) as ground:
            ground.begin(recursive=self._recursive)
            self._begun.set()
            while not self._wait(_LOOK_MS, inotify.fileno()):
                events = list(_together(inotify))
                if not ground.take(events) or _roots(sources) != roots:
                    return


class _Ground:
    """The folders that are watched for some sources, and what is told of them."""

    def __init__(self, inotify: INotify, sources: tuple[FileSource, ...], roots: Roots, changed: Changed) -> None:
        self._inotify = inotify
        self._sources = sources
        self._roots = roots
        self._changed = changed
        self._recursive = False
        self._paths: dict[int, tuple[bytes, ...]] = {}
        """Of each watch the ways by which sources come to its folder."""

        self._work: queue.SimpleQueue[tuple[FileSource | None, bytes]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._follow, name="explorer", daemon=True)
        self._ended = threading.Event()
        self._complained = False

    def __enter__(self) -> _Ground:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ended.set()
        self._work.put((None, b""))

    def begin(self, *, recursive: bool) -> None:
        """Watch the folders of the sources, then look for those below them. A scan finds what came before."""
        self._recursive = recursive
        for root in self._roots:
            self._add(root, flags.ONLYDIR)
        if recursive:
            for source in self._sources:
                self._work.put((source, b""))
            self._thread.start()
        else:
            for source in self._sources:
                self._changed(source, (), folder=True)

    def take(self, events: Iterable[Event]) -> bool:
        """Tell what happened. False when that cannot be known any more: all has to begin anew."""
        files: set[bytes] = set()
        sound = True
        for event in events:
            if event.mask & flags.Q_OVERFLOW:
                log.warning("more changed at once than the system tells; scanning")
                sound = False
            paths = self._paths.get(event.wd, ())
            if event.mask & flags.IGNORED:
                self._paths.pop(event.wd, None)
            if event.name:
                name = os.fsencode(event.name)
                for path in (os.path.join(folder, name) for folder in paths):
                    if event.mask & flags.ISDIR:
                        self._move(path, event.mask)
                    else:
                        files.add(path)
            elif roots := self._roots.keys() & set(paths):
                sound = sound and not event.mask & _SELF
                for source in self._sources:
                    if _root(source) in roots and self._recursive:
                        self._work.put((source, b""))  # it may be readable now
        for source in self._sources:
            self._tell(source, list(_inside(source, files)))
        return sound

    def _tell(self, source: FileSource, paths: list[bytes]) -> None:
        names = frozenset(path for path in paths if source.matches(os.fsdecode(os.path.basename(path))))
        if names:
            self._changed(source, names, folder=False)
        # Of a link to a folder a scan tells why it is not followed; where one was exchanged, others lead elsewhere.
        others = (os.path.join(_root(source), path) for path in paths if path not in names)
        if self._recursive and any(map(os.path.isdir, others)):
            self._changed(source, (), folder=True)

    def _move(self, path: bytes, mask: int) -> None:
        """A folder came, went or is another than before."""
        if self._recursive and mask & flags.MOVED_FROM:
            self._work.put((None, path))
        elif self._recursive and mask & _HERE:
            for source in self._sources:
                for folder in _inside(source, (path,)):
                    self._work.put((source, folder))

    def _follow(self) -> None:
        """Watch more folders, or fewer: the work of the second thread, in the order in which it came up."""
        while not self._ended.is_set():
            source, folder = self._work.get()
            try:
                if source is not None:
                    self._explore(source, folder)
                elif folder:
                    self._forget(folder)
            except Exception:
                if not self._ended.is_set():
                    log.exception("a folder cannot be watched")

    def _explore(self, source: FileSource, top: bytes) -> None:
        """Watch a folder and all below it. Of one that came, tell the files; otherwise let a scan find them."""
        if top and not is_folder(source, top):
            return
        root = _root(source)
        for folder in folders(source, top):
            if self._ended.is_set():
                return
            if folder:
                self._add(os.path.join(root, folder), flags.ONLYDIR | flags.DONT_FOLLOW)
        found = _first_below(source, top) if top else []
        if found:
            self._changed(source, frozenset(found[:_FEW]), folder=False)
        if not top or len(found) > _FEW:
            self._changed(source, (), folder=True)

    def _add(self, path: bytes, how: int) -> None:
        try:
            watch = self._inotify.add_watch(path, _ASKED | how)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP) and not self._complained:
                self._complained = True
                fields = {
                    "folder": os.fsdecode(path),
                    "reason": error.strerror,
                    "remedy": "raise fs.inotify.max_user_watches; until then, what comes waits for the next scan",
                }
                log.warning("a folder cannot be watched", extra={"fields": fields})
            return
        known = self._paths.get(watch, ())
        if path not in known:
            self._paths[watch] = (*known, path)

    def _forget(self, gone: bytes) -> None:
        """Watch no longer what was moved away."""
        below = os.path.join(gone, b"")
        for watch, paths in list(self._paths.items()):
            kept = tuple(path for path in paths if path != gone and not path.startswith(below))
            if kept:
                self._paths[watch] = kept
            else:
                self._paths.pop(watch, None)
                with contextlib.suppress(OSError):
                    self._inotify.rm_watch(watch)


def _together(inotify: INotify) -> Iterator[Event]:
    """What happened, and what follows at once."""
    deadline = time.monotonic() + _DEBOUNCE_S
    written: set[tuple[int, str]] = set()
    events = inotify.read(timeout=0)
    while events:
        for event in events:
            if event.mask & _WHOLE:
                written.discard((event.wd, event.name))
            else:
                written.add((event.wd, event.name))
        yield from events
        step_ms = _STEP_MS if written else _MOVED_STEP_MS
        events = inotify.read(timeout=step_ms) if time.monotonic() < deadline else ()


def _root(source: FileSource) -> bytes:
    return os.fsencode(source.path.absolute())


def _roots(sources: Iterable[FileSource]) -> Roots:
    found = {}
    for source in sources:
        with contextlib.suppress(OSError):
            result = source.path.stat()
            found[_root(source)] = (result.st_dev, result.st_ino)
    return found


def _inside(source: FileSource, paths: Iterable[bytes]) -> Iterator[bytes]:
    """Those in the folder of a source, as the source calls them."""
    root = os.path.join(_root(source), b"")
    return (path.removeprefix(root) for path in paths if path.startswith(root))


def _first_below(source: FileSource, folder: bytes) -> list[bytes]:
    """Files in a folder that may have come as a whole, and one more than need not wait for a scan."""
    try:
        found = scan(replace(source, path=source.path / os.fsdecode(folder)))
        return [os.path.join(folder, name.path) for name in islice(found, _FEW + 1)]
    except SourceError:  # it is gone again
        return []
