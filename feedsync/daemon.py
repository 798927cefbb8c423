"""The daemon: scheduler, watcher, HTTP server and word to systemd; how they start and stop is on this page.

The main thread waits for signals, and tells systemd that all is well as long as everything gets on: the scheduler
beats, and passes show progress. An HTTP server that hangs is replaced.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import logging
import os
import select
import signal
import socket
import sys
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from feedsync import __version__, control
from feedsync.errors import ConfigError, ServerError
from feedsync.passes import Passes
from feedsync.schedule import Clock, Schedule
from feedsync.server import HttpServer, listen
from feedsync.sources import FileSource, UrlSource
from feedsync.store import Store, exclusive
from feedsync.systemd import inherited_sockets, notify, watchdog_s
from feedsync.watch import Watcher
from feedsync.web import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from feedsync.config import Config

log = logging.getLogger("feedsync.daemon")

_TICK_S = 10.0
_STALLED_S = 600.0
"""A pass that shows no progress for so long hangs: in the database, say, or on the disk of the tree."""

_TURNS_S = 0.0005
"""Whoever waits for the interpreter gets it after this, not 5 ms: a copy of some megabytes takes eight such turns."""

_SILENT_S = 60.0
_INDEX_S = 30.0


def serve(config: Config, reload: Callable[[], Config]) -> None:
    """Run until SIGTERM or SIGINT. `reload` reads the configuration again for SIGHUP.

    Raises LockError when a daemon runs on this database already, StoreError, OutputError, ServerError.
    """
    sys.setswitchinterval(_TURNS_S)
    faulthandler.enable()  # the stacks of all threads, when the watchdog's SIGABRT ends us
    with ExitStack() as stack:
        signals = stack.enter_context(_signals())
        store = stack.enter_context(Store.open(config.store_url))
        stack.enter_context(exclusive(Store.daemon_lock_path(store.path), timeout_s=0))
        listeners = _listeners(config)
        for listener in listeners:
            stack.enter_context(contextlib.closing(listener))
        server = stack.enter_context(HttpServer(_web(config), listeners))
        worker = stack.enter_context(_Worker(config, store))
        worker.begin()
        stack.enter_context(control.serving(control.socket_path(store.path), worker.status))
        where = ", ".join(map(_address, listeners))
        log.info("ready", extra={"fields": {"version": __version__, "address": where, "pid": os.getpid()}})
        notify(f"READY=1\nSTATUS=Serving {where}")
        _wait(signals, worker, server, reload)
        notify("STOPPING=1")
        log.info("stopping")
    log.info("stopped")


def _listeners(config: Config) -> list[socket.socket]:
    """The sockets systemd holds for us; without them, one of our own at [server]."""
    inherited = inherited_sockets()
    if not inherited:
        return [listen(config.server.host, config.server.port)]
    log.info("systemd listens, [server] is not used", extra={"fields": {"address": _address(inherited[0])}})
    return inherited


def _address(listener: socket.socket) -> str:
    match listener.family, listener.getsockname():
        case socket.AF_INET6, (host, port, *_):
            return f"http://[{host}]:{port}/"
        case socket.AF_INET, (host, port):
            return f"http://{host}:{port}/"
        case _, name:
            return f"unix:{name}"


def _web(config: Config) -> Options:
    """What the HTTP server is to serve, and within which bounds."""
    server = config.server
    base_url = config.presentation.site.base_url.rstrip("/")
    return Options(
        root=str(config.output),
        redirects={old: base_url + new for old, new in config.redirects.items()},
        formats=config.presentation.site.formats,
        max_connections=server.max_connections,
        header_timeout_s=server.header_timeout_s,
        idle_timeout_s=server.idle_timeout_s,
        write_timeout_s=server.write_timeout_s,
        cache_bytes=server.cache_bytes,
        store_url=config.store_url,
        presentation=config.presentation.to_json(),
    )


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket from which the numbers of signals can be read, each a byte.

    A handler in Python runs only once the main thread runs, which may just have gone to sleep; this wakes it.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: None)
        yield reader
        signal.set_wakeup_fd(-1)


def _wait(signals: socket.socket, worker: _Worker, server: HttpServer, reload: Callable[[], Config]) -> None:
    """Until told to stop: reload on SIGHUP, mind the clock, and feed the watchdog while everything gets on."""
    clock = Clock()
    tick_s = min(_TICK_S, (watchdog_s() or _TICK_S) / 3)
    while True:
        if select.select([signals], [], [], tick_s)[0]:
            numbers = signals.recv(4096)
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                return
            _reload(worker, server, reload)
        if jump := clock.jump_s():
            log.warning("clock jumped", extra={"fields": {"seconds": jump}})
            worker.rearm()
        server.check()
        if hang := worker.hang():
            log.critical("hangs, and systemd is not told that all is well", extra={"fields": {"reason": hang}})
        else:
            notify("WATCHDOG=1")


def _reload(worker: _Worker, server: HttpServer, reload: Callable[[], Config]) -> None:
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        server.adopt(_web(worker.adopt(reload())))
    except ConfigError as error:
        for problem in error.problems or (str(error),):
            log.error("reload refused, the old configuration stays", extra={"fields": {"reason": problem}})
        worker.refused = str(error)
        notify(f"READY=1\nSTATUS=Reload refused: {error.message}")
        return
    except ServerError as error:
        log.error("the old HTTP server goes on", extra={"fields": {"reason": str(error)}})
        worker.refused = str(error)
        notify(f"READY=1\nSTATUS=Reloaded, but for the HTTP server: {error.message}")
        return
    worker.refused = None
    log.info("reloaded")
    notify("READY=1\nSTATUS=Reloaded")


class _Worker:
    """Schedule, watcher and passes, put together."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._passes = Passes(config, store)
        self._schedule = Schedule(self._passes.scan, self._passes.failed, self._passes.skipped)
        self._watcher = Watcher(self._on_change)
        self._list_watcher = Watcher(self._on_list_change, recursive=False)
        self.refused: str | None = None
        """Why the last reload was refused."""

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._passes.stop()
        self._watcher.stop()
        self._list_watcher.stop()
        self._schedule.stop()

    def adopt(self, config: Config) -> Config:
        """Go on with another configuration, but where to listen, store and publish: that needs a restart.

        What is in force now.
        """
        now = self._config
        kept = dataclasses.replace(
            config,
            store_url=now.store_url,
            output=now.output,
            server=dataclasses.replace(config.server, host=now.server.host, port=now.server.port),
        )
        for name, changed in (
            ("server.host, server.port", config.server != kept.server),
            ("store", config.store_url != kept.store_url),
            ("output", config.output != kept.output),
        ):
            if changed:
                log.warning("a change needs a restart", extra={"fields": {"table": name}})
        self._config = kept
        self._passes.adopt(kept)
        self._plan()
        self._schedule.soon(self._passes.publish)
        return kept

    def begin(self) -> None:
        """Publish what is due, unless that would take long, so that whoever is told READY finds feeds; then work."""
        caught_up = self._passes.catch_up()
        self._plan()
        self._schedule.soon(self._passes.warm_up if caught_up else self._passes.publish)
        self._schedule.often(self._passes.index, _INDEX_S)
        self._schedule.start()
        self._watcher.start()
        self._list_watcher.start()

    def rearm(self) -> None:
        """Let nothing wait for a time that the clock has taken back."""
        self._schedule.rearm()

    def hang(self) -> str | None:
        """What does not get on, if anything."""
        if (stalled := self._passes.stalled_s()) > _STALLED_S:
            return f"a pass has shown no progress for {stalled:.0f} s"
        if (silent := self._schedule.silent_s()) > _SILENT_S:
            return f"the scheduler has not run for {silent:.0f} s"
        return None

    def status(self) -> dict[str, Any]:
        """What only the running daemon knows."""
        due = self._schedule.due()
        problems = self._passes.problems()
        if self.refused:
            problems.append(f"the last reload was refused: {self.refused}")
        if hang := self.hang():
            problems.append(hang)
        sources = self._passes.status()
        for name, source in sources.items():
            source["next_run"] = due[name].strftime("%Y-%m-%dT%H:%M:%SZ") if name in due else None
        return {
            "pid": os.getpid(),
            "version": __version__,
            "health": "degraded" if problems else "ok",
            "problems": problems,
            "sources": sources,
        }

    def _plan(self) -> None:
        self._schedule.plan(self._config.sources)
        self._watcher.watch(tuple(source for source in self._config.sources if isinstance(source, FileSource)))
        # To a watcher, a file of URLs is a folder in which just one name matters.
        self._list_watcher.watch(
            tuple(
                FileSource(source.name, source.path.parent, (source.path.name,))
                for source in self._config.sources
                if isinstance(source, UrlSource) and source.path
            )
        )

    def _on_change(self, source: FileSource, paths: Collection[bytes], *, folder: bool) -> None:
        """The watcher saw something: look at just that, as soon as may be; at all of it where that is called for."""
        if folder:
            self._schedule.scan_now(source.name)
        if paths and self._passes.note(source.name, paths):
            self._schedule.soon(self._look)

    def _on_list_change(self, source: FileSource, paths: Collection[bytes], *, folder: bool) -> None:
        if paths and not folder:
            self._schedule.scan_now(source.name)

    def _look(self, *, again: bool = False) -> None:
        if (again_s := self._passes.look(again=again)) is not None:
            self._schedule.soon(partial(self._look, again=True), again_s)
