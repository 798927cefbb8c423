"""The straight line: sources, parse, plan, store, feeds. One function walks it, for everybody.

`run` is called by the scheduler, the watcher and `feedsync resync`. First everything that is read from files,
then everything that is fetched. The right to run a pass is held only while something is read, stored or published:
neither a folder of a million files nor a slow server keeps an article from its feed.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from feedsync.errors import ClockError, SourceError
from feedsync.ingest import Ingest, Progress, Request, stop_if_asked
from feedsync.patience import Patience
from feedsync.report import SourceReport, SyncReport
from feedsync.sources import FileSource, is_fetched
from feedsync.survey import Survey, survey
from feedsync.walk import Walker
from feedsync.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from feedsync.publish import Publisher
    from feedsync.sources import Source
    from feedsync.store import Reader, Store

__all__ = ["Progress", "Request", "SourceReport", "SyncReport", "run"]

log = logging.getLogger("feedsync.sync")

_PUBLISH_EVERY_S = 1.0
_PUBLISH_REST = 3.0
"""Where publishing takes long, it rests for so many times that, so that fetching gets on."""

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
"""A clock that says less has lost its battery."""

_SET_BACK = timedelta(days=1)
"""By so much a clock is set back by mistake (a zone, summer time); by more when it had been wrong before."""


def run(
    store: Store,
    publisher: Publisher,
    sources: Sequence[Source],
    request: Request,
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
    waiting: Callable[[str], None] | None = None,
    workers: Workers | None = None,
) -> SyncReport:
    """One pass over the sources: ingest, then publish what changed.

    `now` is the arrival of everything new in it (the clock unless given). `waiting` is told the pid of
    another process whose pass has to end first. `workers` may be on their way already. Raises StoreError,
    OutputError, LockError, ClockError; whatever concerns one document or one source only is in the report.
    """
    with ExitStack() as stack:
        workers = workers or stack.enter_context(Workers("feedsync.load", "feedsync.shares"))
        return _Run(store, publisher, request, now, progress or Progress(), waiting, workers).over(sources)


class _Run:
    """One pass and what it needs at hand."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        request: Request,
        now: datetime | None,
        progress: Progress,
        waiting: Callable[[str], None] | None,
        workers: Workers,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._request = request
        self._now = now
        self._progress = progress
        self._waiting = _others(waiting) if waiting else None
        self._report = SyncReport(dry_run=request.dry_run)
        self._drawn = False
        self._workers = workers

    def over(self, sources: Sequence[Source]) -> SyncReport:
        started = time.monotonic()
        fetched = [source for source in sources if is_fetched(source)] if self._request.fetch else []
        files = [source for source in sources if isinstance(source, FileSource)] if self._request.read else []
        for source in sources:  # in the order of the configuration
            if source in files or source in fetched:
                self._report.sources[source.name] = SourceReport()
        with ExitStack() as stack:
            if self._request.dry_run:
                ingest = self._rehearse(files, fetched, stack)
            else:
                ingest = self._read(files, stack) if files or not fetched else self._ingest(stack)
                if fetched:
                    self._fetch(fetched, ingest)
            self._report.missing = ingest.missing()
        self._report.seconds = time.monotonic() - started
        return self._report

    def _lock(self, lane: str = "") -> AbstractContextManager[None]:
        return self._store.lock(self._waiting, self._stop_if_asked, lane=lane)

    def _stop_if_asked(self) -> None:
        stop_if_asked(self._request)

    def _give_way(self) -> None:
        self._stop_if_asked()
        self._request.give_way()

    def _ingest(self, stack: ExitStack) -> Ingest:
        with self._store.reading() as reader:
            self._now = self._now or arrival_time(reader, datetime.now(UTC))
        zone = ZoneInfo(self._publisher.presentation.site.timezone)
        return Ingest(self._store, zone, self._request, self._now, self._progress, stack)

    def _read(self, sources: Sequence[FileSource], stack: ExitStack) -> Ingest:
        """Take in files and publish, in one go."""
        surveys, of = self._survey(sources)
        with self._lock():
            if of != self._store.identity:
                surveys = {}  # another database was put in its place
            ingest = self._ingest(stack)
            self._recover()
            self._walk(sources, ingest, surveys)
            self._publish()
        return ingest

    def _survey(self, sources: Sequence[FileSource]) -> tuple[dict[str, Survey], object]:
        """Of each source what is worth a look, if that is not everything; and of which database."""
        request = self._request
        surveys: dict[str, Survey] = {}
        if request.full or request.codes or request.paths is not None:
            return surveys, None
        with self._lock():
            database = self._store.identity
        for source in sources:
            self._progress.start(source.name, None)
            patience = Patience(source.name, source.timeout_s, self._stop_if_asked)
            self._give_way()
            with suppress(SourceError):  # the walk meets it again
                if found := survey(self._store, source, patience, self._give_way):
                    surveys[source.name] = found
        return surveys, database

    def _walk(self, sources: Sequence[FileSource], ingest: Ingest, surveys: Mapping[str, Survey]) -> None:
        walker = Walker(ingest, self._workers)
        for source in sources:
            walker.walk(source, self._report.sources[source.name], surveys.get(source.name))
        self._report.busy = {name: frozenset(paths) for name, paths in walker.busy.items()}

    def _fetch(self, sources: Sequence[Source], ingest: Ingest) -> None:
        """Fetch one source after the other; whatever came is published within a second or so."""
        from feedsync.collect import Collector  # httpx costs a tenth of a second to import

        due = time.monotonic() + _PUBLISH_EVERY_S

        def stored() -> None:
            nonlocal due
            started = time.monotonic()
            if started < due:
                return
            with self._lock():
                self._publish(quiet=True)
            ended = time.monotonic()
            due = ended + max(_PUBLISH_EVERY_S, _PUBLISH_REST * (ended - started))

        collector = Collector(ingest, self._lock, stored)
        for source in sources:
            with self._lock(lane=f"fetch-{source.name}"):
                collector.collect(source, self._report.sources[source.name])
        with self._lock():
            self._publish()

    def _rehearse(self, files: Sequence[FileSource], fetched: Sequence[Source], stack: ExitStack) -> Ingest:
        """A dry run: all in one transaction that is thrown away, begun only when no server is waited for any more."""
        ingest = self._ingest(stack)
        if fetched:
            from feedsync.collect import Collector

            collector = Collector(ingest, nullcontext, lambda: None)
            for source in fetched:
                collector.collect(source, self._report.sources[source.name])
            collector.close()
        self._walk(files, ingest, {})
        self._report.feeds = self._publisher.audit.preview(ingest.writer())
        return ingest

    def _publish(self, *, quiet: bool = False) -> None:
        if not quiet:
            self._progress.start("publish", None)

        def step(count: int) -> None:
            self._stop_if_asked()
            if not quiet:
                self._progress.step(count)

        everything = self._request.full and not self._drawn
        drawn = self._publisher.publish(self._store, everything=everything, workers=self._workers, progress=step)
        self._report.feeds = self._report.feeds + drawn if self._drawn else drawn
        self._drawn = True

    def _recover(self) -> None:
        if swept := self._publisher.recover(self._store, full=self._request.full):
            log.info("swept", extra={"fields": {"temporary_files": swept}})


def _others(waiting: Callable[[str], None]) -> Callable[[str], None]:
    """Tell of other processes only: within one, passes take turns as a matter of course."""

    def tell(pid: str) -> None:
        if pid != str(os.getpid()):
            waiting(pid)

    return tell


def arrival_time(reader: Reader, clock: datetime) -> datetime:
    """The arrival of what is new in this pass: the clock's time; when that was set back a little, after the newest.

    Raises ClockError when the clock cannot be right: an arrival stays for ever, and no article is shown as published
    after it.
    """
    if clock < EARLIEST:
        raise ClockError(
            f"the clock says {clock:%Y-%m-%d}, which cannot be; nothing was read",
            remedy="set it (`timedatectl`); the next pass makes up for this one",
        )
    newest = reader.newest_arrival()
    if newest is None or clock > newest:
        return clock
    if newest - clock <= _SET_BACK:
        return newest + timedelta(microseconds=1)
    log.warning(
        "clock far behind the newest arrival",
        extra={"fields": {"clock": clock.isoformat(), "newest": newest.isoformat()}},
    )
    return clock
