"""The daemon's passes: with which options they run, how they ended, and whether those that run get on."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feedsync.errors import FeedsyncError, Interrupted
from feedsync.outputs import Tree
from feedsync.publish import Publisher
from feedsync.sync import Progress, Request, run
from feedsync.values import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from feedsync.config import Config
    from feedsync.report import SyncReport
    from feedsync.sources import Source
    from feedsync.store import Store

log = logging.getLogger("feedsync.passes")

_SLOW_S = 120.0
"""A pass that shows no progress for so long is worth a word in `status`."""

_INDEX_STEP = 32
"""At a million articles it takes 0.1 s, for which others wait."""
_INDEX_PAUSE_S = 0.0125

_GIVE_WAY_S = 1.0
"""So long at a time, surveys and the index wait while articles that have just come are published."""

_GIVE_WAY_SHARE = 3.0
"""In all, so many times as long as they worked, and the time above: they too get on, however much comes."""

_RECHECK_S = (0.1, 0.2, 0.5, 1, 2, 5)
"""When to look again at files that are being written; after that, the next scan does."""


class Record(Struct):
    """How the passes over one source went, since this daemon started."""

    passes: int = 0
    failures: int = 0
    skipped: int = 0
    last_run: datetime | None = None
    last_seconds: float = 0.0
    last_success: datetime | None = None
    last_error: tuple[datetime, str] | None = None
    failing: bool = False
    overrunning: bool = False

    def ended(self, error: str | None, seconds: float) -> None:
        self.passes += 1
        self.last_run, self.last_seconds = datetime.now(UTC), seconds
        self.overrunning = False
        self.failing = error is not None
        if error is None:
            self.last_success = self.last_run
        else:
            self.failures += 1
            self.last_error = (self.last_run, error)


class _Running(Struct):
    """A pass on its way. Whoever asks whether to stop shows that it gets on."""

    sources: tuple[str, ...]
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    moved: float = field(default_factory=time.monotonic)


class Passes:
    """Runs passes, from any thread; the store lets them in one at a time."""

    def __init__(self, config: Config, store: Store) -> None:
        self._store = store
        self._sources = config.sources
        self._publisher = Publisher(Tree(config.output), config.presentation)
        self._stopping = threading.Event()
        self._calm = threading.Event()
        """Nothing is under way for which somebody waits."""
        self._calm.set()
        self._lock = threading.Lock()
        self._records: dict[str, Record] = defaultdict(Record)
        self._running: list[_Running] = []
        self._error: str | None = None
        self._changed: dict[str, set[bytes]] = defaultdict(set)
        self._busy: dict[str, frozenset[bytes]] = {}
        """Names of files that were being written when they were looked at."""
        self._rechecks = 0
        self._recheck_due = False

    def stop(self) -> None:
        """Let passes stop at their next step, and start none."""
        self._stopping.set()
        self._calm.set()

    def adopt(self, config: Config) -> None:
        """Run with another configuration from the next pass on."""
        with self._lock:
            self._sources = config.sources
            self._publisher = Publisher(Tree(self._publisher.tree.root), config.presentation)

    def scan(self, name: str) -> None:
        """A whole pass over one source."""
        self._pass([source for source in self._sources if source.name == name], {"give_way": self._giving_way()})

    def publish(self) -> None:
        """Publish what is due; reads no source."""
        self._pass([], {})

    def catch_up(self) -> bool:
        """Publish what is due from the store alone, so that whoever is told that we are ready finds feeds.

        True when `warm_up` is to follow; False when it would take long, as after an upgrade: then `publish` is, and
        until its end the feeds are those of before.
        """
        try:
            with self._store.lock(_say_waiting):
                if swept := self._publisher.recover(self._store):
                    log.info("swept", extra={"fields": {"temporary_files": swept}})
                with self._store.reading() as reader:
                    if self._publisher.takes_long(reader):
                        return False
                self._publisher.publish(self._store)
        except FeedsyncError as error:
            log.error("nothing published yet", extra={"fields": {"reason": str(error)}})
        self._calm.clear()
        return True

    def warm_up(self) -> None:
        """Do now what would make the first article wait, unless it has come already."""

        def check() -> None:
            if self._stopping.is_set() or self._changed:
                raise Interrupted("there is better to do")

        try:
            with self._store.lock(check=check):
                self._publisher.warm_up(self._store, check)
        except Interrupted:
            pass
        except FeedsyncError as error:
            self._note_failure((), str(error), 0.0)
        finally:
            self._calm_down()

    def index(self) -> None:
        """Bring the search index up to date, in small steps between which passes get their turn."""
        give_way = self._giving_way()
        try:
            give_way()
            while not self._stopping.is_set() and self._store.index_some(_INDEX_STEP):
                self._stopping.wait(_INDEX_PAUSE_S)
                give_way()
        except FeedsyncError as error:
            self._note_failure((), str(error), 0.0)

    def note(self, source: str, paths: Iterable[bytes]) -> bool:
        """Remember names that changed. True when nothing was remembered before, so that `look` is to be called."""
        with self._lock:
            first = not self._changed
            self._changed[source].update(paths)
            self._rechecks = 0
            self._calm.clear()
            return first

    def look(self, *, again: bool = False) -> float | None:
        """A pass over just the names that changed. In how many seconds to call it `again`, if at all."""
        with self._lock:
            if again:
                self._recheck_due = False
            names = self._changed.keys() | self._busy.keys()
            changed = {name: self._busy.get(name, frozenset()).union(self._changed.get(name, ())) for name in names}
            self._changed.clear()
            self._busy = {}
            sources = [source for source in self._sources if source.name in changed]
        try:
            report = self._pass(sources, {"paths": changed, "fetch": False}) if changed else None
        finally:
            self._calm_down()
        if report is None or not report.busy:
            return None
        with self._lock:
            if self._rechecks == len(_RECHECK_S):
                return None
            self._busy = report.busy
            if self._recheck_due:
                return None  # that will be the look at them
            self._recheck_due = True
            self._rechecks += 1
            return _RECHECK_S[self._rechecks - 1]

    def skipped(self, name: str) -> None:
        """A source was due while it was still being scanned."""
        with self._lock:
            record = self._records[name]
            record.skipped += 1
            first, record.overrunning = not record.overrunning, True
        if first:
            log.warning("scan skipped, the last one still runs", extra={"fields": {"source": name}})

    def failed(self, name: str, error: BaseException) -> None:
        """A pass ended with what nobody expected: a fault of ours, or no memory."""
        reason = f"{type(error).__name__}: {error}"
        with self._lock:
            self._error = reason
            if name:
                self._records[name].ended(reason, 0.0)
        trace = "".join(traceback.format_exception(error))
        log.error("pass failed", extra={"fields": {"source": name, "reason": reason, "traceback": trace}})

    def stalled_s(self) -> float:
        """For how long the pass that got on least has shown no progress."""
        with self._lock:
            return max((time.monotonic() - running.moved for running in self._running), default=0.0)

    def problems(self) -> list[str]:
        """What is wrong just now, for people."""
        with self._lock:
            found = [self._error] if self._error else []
            for source in self._sources:
                record = self._records[source.name]
                if record.failing and record.last_error and record.last_error[1] not in found:
                    found.append(record.last_error[1])
                if record.overrunning:
                    found.append(f"source {source.name}: its scans take longer than the time between them")
            for running in self._running:
                if (stalled := time.monotonic() - running.moved) > _SLOW_S:
                    names = ", ".join(running.sources) or "publishing"
                    found.append(f"the pass over {names} has shown no progress for {stalled:.0f} s")
            return found

    def status(self) -> dict[str, dict[str, Any]]:
        """Of each source, how its passes went."""
        with self._lock:
            since = {name: running.since for running in self._running for name in running.sources}
            return {source.name: _told(self._records[source.name], since.get(source.name)) for source in self._sources}

    def _giving_way(self) -> Callable[[], None]:
        """What a piece of work that can wait calls now and then: it waits while there is something to publish."""
        began, waited = time.monotonic(), 0.0

        def give_way() -> None:
            nonlocal waited
            started = time.monotonic()
            worked = started - began - waited
            left = min(_GIVE_WAY_S, _GIVE_WAY_S + _GIVE_WAY_SHARE * worked - waited)
            if left > 0 and not self._calm.is_set():
                self._calm.wait(left)
                waited += time.monotonic() - started

        return give_way

    def _calm_down(self) -> None:
        with self._lock:
            if not self._changed:
                self._calm.set()

    def _pass(self, sources: Sequence[Source], options: dict[str, Any]) -> SyncReport | None:
        running = _Running(tuple(source.name for source in sources))

        def stopping() -> bool:
            running.moved = time.monotonic()
            return self._stopping.is_set()

        def moved(*_progress: object) -> None:
            running.moved = time.monotonic()

        with self._lock:
            publisher = self._publisher
            self._running.append(running)
        started = time.monotonic()
        try:
            report = run(
                self._store,
                publisher,
                sources,
                Request(stopping=stopping, **options),
                progress=Progress(moved, moved),
                waiting=_say_waiting,
            )
        except Interrupted:
            return None
        except FeedsyncError as error:
            self._note_failure(running.sources, str(error), time.monotonic() - started)
            return None
        finally:
            with self._lock:
                self._running.remove(running)
        self._note_success(report)
        return report

    def _note_failure(self, names: Iterable[str], reason: str, seconds: float) -> None:
        with self._lock:
            news = reason != self._error
            self._error = reason
            for name in names:
                self._records[name].ended(reason, seconds)
        if news:
            log.error("pass failed", extra={"fields": {"reason": reason}})

    def _note_success(self, report: SyncReport) -> None:
        with self._lock:
            self._error = None
            for name, result in report.sources.items():
                self._records[name].ended(result.error, report.seconds)
        for name, result in report.sources.items():
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


def _told(record: Record, since: datetime | None) -> dict[str, Any]:
    error = record.last_error
    return {
        "running_since": _time(since),
        "last_run": {
            "at": _time(record.last_run),
            "seconds": round(record.last_seconds, 3),
            "error": error[1] if error and record.failing else None,
        }
        if record.last_run
        else None,
        "last_success": _time(record.last_success),
        "last_error": {"at": _time(error[0]), "error": error[1]} if error else None,
        "passes": record.passes,
        "failures": record.failures,
        "skipped": record.skipped,
    }


def _time(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _say_waiting(pid: str) -> None:
    log.info("waiting for the pass of another process", extra={"fields": {"pid": pid}})
