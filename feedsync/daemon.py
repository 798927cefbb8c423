"""The daemon: scheduler, watcher, HTTP server and word to systemd; how they start and stop is on this page.

All passes run one after another on the scheduler's single worker thread, whether a tick or the watcher asked
for them. The main thread waits for signals and minds the clock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import watchfiles
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from feedsync import __version__, control
from feedsync.errors import ConfigError, FeedsyncError, Interrupted
from feedsync.outputs import Tree
from feedsync.publish import Publisher
from feedsync.server import HttpServer, listen
from feedsync.store import Store, exclusive
from feedsync.sync import Request, run
from feedsync.web import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from feedsync.config import Config
    from feedsync.report import SyncReport
    from feedsync.sources import FileSource

log = logging.getLogger("feedsync.daemon")

_WATCH_STEP_MS = 10
_WATCH_DEBOUNCE_MS = 200
_RECHECK_S = (0.1, 0.2, 0.5, 1, 2, 5)
"""When to look again at files that are being written; after that, the next scan does."""

_TICK_S = 10.0
_CLOCK_JUMP_S = 30.0
_GRACE_S = 5


def serve(config: Config, reload: Callable[[], Config]) -> None:
    """Run until SIGTERM or SIGINT. `reload` reads the configuration again for SIGHUP.

    Raises LockError when a daemon runs on this database already, StoreError, OutputError, ServerError.
    """
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: signals.put(number))
    with ExitStack() as stack:
        store = stack.enter_context(Store.open(config.store_url))
        stack.enter_context(exclusive(store.path.with_name(store.path.name + ".daemon.lock"), timeout_s=0))
        listener = stack.enter_context(contextlib.closing(listen(config.server.host, config.server.port)))
        server = stack.enter_context(HttpServer(_web(config), [listener]))
        _catch_up(config, store)
        worker = stack.enter_context(_Worker(config, store))
        stack.enter_context(control.serving(control.socket_path(store.path), worker.status))
        address = f"http://{config.server.host}:{listener.getsockname()[1]}/"
        log.info("ready", extra={"fields": {"version": __version__, "address": address, "pid": os.getpid()}})
        notify(f"READY=1\nSTATUS=Serving {address}")
        _wait(signals, worker, server, reload)
        notify("STOPPING=1")
        log.info("stopping")
    log.info("stopped")


def _web(config: Config) -> Options:
    """What the HTTP server is to serve, and within which bounds."""
    server = config.server
    return Options(
        root=str(config.output),
        max_connections=server.max_connections,
        header_timeout_s=server.header_timeout_s,
        idle_timeout_s=server.idle_timeout_s,
        write_timeout_s=server.write_timeout_s,
        cache_bytes=server.cache_bytes,
    )


def _catch_up(config: Config, store: Store) -> None:
    """Publish what is due from the store alone, so that whoever is told READY finds feeds."""
    try:
        with store.lock(_say_waiting):
            Publisher(Tree(config.output), config.presentation).publish(store)
    except FeedsyncError as error:
        log.error("nothing published yet", extra={"fields": {"reason": str(error)}})


def _wait(signals: queue.SimpleQueue[int], worker: _Worker, server: HttpServer, reload: Callable[[], Config]) -> None:
    """Until told to stop: reload on SIGHUP, and mind the clock, whose jumps would silence the scheduler."""
    offset = time.time() - time.monotonic()
    while True:
        try:
            number = signals.get(timeout=_TICK_S)
        except queue.Empty:
            jump = time.time() - time.monotonic() - offset
            if abs(jump) > _CLOCK_JUMP_S:
                log.warning("clock jumped", extra={"fields": {"seconds": round(jump)}})
                offset += jump
                worker.reschedule()
            server.check()
            continue
        if number != signal.SIGHUP:
            return
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            config = reload()
            worker.adopt(config)
            server.adopt(_web(config))
            log.info("reloaded")
            notify("READY=1")
        except ConfigError as error:
            for problem in error.problems or (str(error),):
                log.error("reload refused, the old configuration stays", extra={"fields": {"reason": problem}})
            notify(f"READY=1\nSTATUS=Reload refused: {error.message}")


class _Worker:
    """The passes: when they run, with which options, and how the last ones ended."""

    def __init__(self, config: Config, store: Store) -> None:
        self._store = store
        self._config = config
        self._publisher = Publisher(Tree(config.output), config.presentation)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._changed: dict[str, set[bytes]] = defaultdict(set)
        self._rechecks = 0
        self._ran: dict[str, dict[str, Any]] = {}
        self._error: str | None = None
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._on_trouble, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
        self._watcher = _Watcher(self._on_change)

    def __enter__(self) -> _Worker:
        self._plan()
        self._scheduler.start()
        self._watcher.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopping.set()
        self._watcher.stop()
        # Once no job is due, the scheduler's thread cannot stumble over its own shutdown.
        self._scheduler.remove_all_jobs()
        self._scheduler.shutdown(wait=True)

    def adopt(self, config: Config) -> None:
        """Go on with another configuration; where to listen and what to store in needs a restart."""
        for old, new, name in (
            (
                (self._config.server.host, self._config.server.port),
                (config.server.host, config.server.port),
                "server.host, server.port",
            ),
            (self._config.store_url, config.store_url, "store"),
            (self._config.output, config.output, "output"),
        ):
            if old != new:
                log.warning("a change needs a restart", extra={"fields": {"table": name}})
        with self._lock:
            self._config = config
            self._publisher = Publisher(Tree(self._publisher.tree.root), config.presentation)
        self._plan()

    def reschedule(self) -> None:
        """Let every source be scanned now, and on its interval from now on."""
        self._plan()

    def status(self) -> dict[str, Any]:
        """What only the running daemon knows."""
        due = {job.id: job.next_run_time for job in self._scheduler.get_jobs() if job.next_run_time}
        with self._lock:
            return {
                "pid": os.getpid(),
                "version": __version__,
                "error": self._error,
                "sources": {
                    source.name: {
                        "last_run": self._ran.get(source.name),
                        "next_run": due[source.name].isoformat(timespec="seconds") if source.name in due else None,
                    }
                    for source in self._config.sources
                },
            }

    def _plan(self) -> None:
        names = {source.name for source in self._config.sources}
        for job in self._scheduler.get_jobs():
            if job.id not in names:
                job.remove()
        for source in self._config.sources:
            self._scheduler.add_job(
                self._scan,
                "interval",
                args=[source.name],
                seconds=source.interval_s,
                id=source.name,
                next_run_time=datetime.now(UTC),
                replace_existing=True,
            )
        self._watcher.watch(self._config.sources)

    def _scan(self, name: str) -> None:
        self._pass(
            [source for source in self._config.sources if source.name == name],
            Request(stopping=self._stopping.is_set),
        )

    def _on_change(self, source: FileSource, paths: Iterable[bytes], *, folder: bool) -> None:
        """The watcher saw something: look at just that, as soon as the worker is free."""
        if folder:
            self._scheduler.add_job(self._scan, args=[source.name])
            return
        with self._lock:
            idle = not self._changed
            self._changed[source.name].update(paths)
        if idle:
            self._rechecks = 0
            self._scheduler.add_job(self._take_changed)

    def _take_changed(self) -> None:
        with self._lock:
            changed = {name: frozenset(paths) for name, paths in self._changed.items()}
            self._changed.clear()
        sources = [source for source in self._config.sources if source.name in changed]
        report = self._pass(sources, Request(paths=changed, stopping=self._stopping.is_set))
        if report is not None and report.busy and self._rechecks < len(_RECHECK_S):
            delay = timedelta(seconds=_RECHECK_S[self._rechecks])
            self._rechecks += 1
            with self._lock:
                for name, paths in report.busy.items():
                    self._changed[name].update(paths)
            self._scheduler.add_job(self._take_changed, "date", run_date=datetime.now(UTC) + delay)

    def _pass(self, sources: list[FileSource], request: Request) -> SyncReport | None:
        with self._lock:
            publisher = self._publisher
        try:
            report = run(self._store, publisher, sources, request, waiting=_say_waiting)
        except Interrupted:
            return None
        except FeedsyncError as error:
            if str(error) != self._error:
                log.error("pass failed", extra={"fields": {"reason": str(error)}})
            self._error = str(error)
            return None
        self._error = next((r.error for r in report.sources.values() if r.error), None)
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        for name, result in report.sources.items():
            self._ran[name] = {"at": ended, "error": result.error}
            if result.new or result.revised or result.merged:
                fields = {
                    "source": name,
                    "new": result.new,
                    "revised": result.revised,
                    "merged": result.merged,
                    "feeds": report.feeds.written,
                    "ms": round(report.seconds * 1000),
                }
                log.info("pass", extra={"fields": fields})
        return report

    def _on_trouble(self, event: JobExecutionEvent) -> None:
        if event.code == EVENT_JOB_MAX_INSTANCES:
            log.warning("scan skipped, the last one still runs", extra={"fields": {"source": event.job_id}})
            return
        self._error = f"{type(event.exception).__name__}: {event.exception}"
        log.error("job failed", extra={"fields": {"reason": self._error, "traceback": event.traceback}})


class _Watcher:
    """Watches the folders of all sources in a thread of its own, and tells what changed in them."""

    def __init__(self, changed: Callable[..., None]) -> None:
        self._changed = changed
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
            step=_WATCH_STEP_MS,
            debounce=_WATCH_DEBOUNCE_MS,
            rust_timeout=1000,
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
            folder = any(os.path.isdir(root + path) for path in inside)
            if files or folder:
                self._changed(source, files, folder=folder)


def _say_waiting(pid: str) -> None:
    log.info("waiting for the pass of another process", extra={"fields": {"pid": pid}})


def notify(message: str) -> None:
    """Tell systemd (sd_notify), when it listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect("\0" + address[1:] if address.startswith("@") else address)
        client.sendall(message.encode())
