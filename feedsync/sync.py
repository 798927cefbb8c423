"""The straight line: sources, parse, plan, store, feeds. One function walks it, for everybody.

`run` is called by the scheduler, the watcher and `feedsync resync`. Reading and parsing may be spread over
worker processes when there is much to do; deciding and storing are sequential, a batch to a transaction.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from feedsync.errors import Interrupted, SourceError
from feedsync.load import Loaded, Refusal, Task, load_all
from feedsync.model import Arrival, Origin, Outcome
from feedsync.parse import key_from_user
from feedsync.plan import decide
from feedsync.report import SourceReport, SyncReport
from feedsync.sources import FileSource, Found, Stat, look, printable, scan
from feedsync.store import FileRow, Reader, Store, Writer
from feedsync.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from feedsync.publish import Publisher

log = logging.getLogger("feedsync.sync")

_STORE_BATCH = 500
"""Documents to a transaction: each costs a sync of the disk."""

_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Request:
    """What a run is asked to do; by default, look at everything and take what is new."""

    full: bool = False
    dry_run: bool = False
    codes: tuple[str, ...] = ()
    paths: dict[str, frozenset[bytes]] | None = None
    """Only these paths of these sources: what a watcher saw."""
    stopping: Callable[[], bool] = bool
    """Asked between batches; a run that is to stop raises Interrupted."""


@dataclass(slots=True)
class Progress:
    """Told how far a run is; does nothing by default."""

    start: Callable[[str, int | None], None] = lambda _what, _total: None
    step: Callable[[int], None] = lambda _count: None


def run(
    store: Store,
    publisher: Publisher,
    sources: Sequence[FileSource],
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
    OutputError, LockError; whatever concerns one document or one source only is in the report.
    """
    started = time.monotonic()
    progress = progress or Progress()
    report = SyncReport(dry_run=request.dry_run)
    with ExitStack() as stack:
        if not request.dry_run:
            stack.enter_context(store.lock(waiting))
        now = now or datetime.now(UTC)
        workers = workers or stack.enter_context(Workers("feedsync.load"))
        ingest = _Ingest(store, ZoneInfo(publisher.presentation.site.timezone), request, now, progress, workers, stack)
        if not request.dry_run:
            _recover(store, publisher)
        for source in sources:
            report.sources[source.name] = ingest.source(source)
        report.busy = {name: frozenset(paths) for name, paths in ingest.busy.items()}
        report.missing = ingest.missing()
        if request.dry_run:
            report.feeds = publisher.preview(ingest.writer())
        else:
            progress.start("publish", None)

            def step(count: int) -> None:
                _stop_if_asked(request)
                progress.step(count)

            report.feeds = publisher.publish(store, everything=request.full, progress=step)
    report.seconds = time.monotonic() - started
    return report


def _stop_if_asked(request: Request) -> None:
    if request.stopping():
        raise Interrupted("the run was stopped", remedy="the rest follows with the next run")


def _recover(store: Store, publisher: Publisher) -> None:
    """A feed that is due before anything was ingested means that the last run was cut short."""
    with store.reading() as reader:
        unfinished = publisher.behind(reader)
    if unfinished and (swept := publisher.tree.sweep()):
        log.info("swept", extra={"fields": {"temporary_files": swept}})


class _Ingest:
    """One run's way from sources into the store."""

    def __init__(
        self,
        store: Store,
        zone: ZoneInfo,
        request: Request,
        now: datetime,
        progress: Progress,
        workers: Workers,
        stack: ExitStack,
    ) -> None:
        self._store = store
        self._zone = zone
        self._request = request
        self._now = now
        self._progress = progress
        self._workers = workers
        self._stack = stack
        self._shared: Writer | None = None
        self._keys = {code: key_from_user(code) for code in request.codes}
        self._found_keys: set[str] = set()
        self.busy: dict[str, set[bytes]] = defaultdict(set)

    def writer(self) -> Writer:
        """The one transaction of a dry run, rolled back at its end."""
        if self._shared is None:
            self._shared = self._stack.enter_context(self._store.writing(discard=True))
        return self._shared

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        if self._request.dry_run:
            yield self.writer()
        else:
            with self._store.writing() as writer:
                yield writer

    @contextmanager
    def _reading(self) -> Iterator[Reader]:
        if self._request.dry_run:
            yield self.writer()
        else:
            with self._store.reading() as reader:
                yield reader

    def source(self, source: FileSource) -> SourceReport:
        """Ingest one source; its faults are in its report."""
        report = SourceReport()
        with self._reading() as reader:
            source_id = reader.find_source(source.name)
            before = reader.quarantined(source_id) if source_id is not None else []
            last_error = reader.last_error(source_id) if source_id is not None else None
        if source_id is None:
            with self._writing() as writer:
                source_id = writer.source_id(source.name)
        quarantined = {refused.origin.location: (refused.code, refused.reason) for refused in before}
        walk = _Walk(source, source_id, report, quarantined, set(quarantined))
        try:
            tasks = self._tasks(walk)
            for batch in _gathered(self._load(source, tasks), _STORE_BATCH):
                self._store_batch(walk, batch)
                _stop_if_asked(self._request)
                self._progress.step(len(batch))
            self._close(walk)
        except SourceError as error:
            report.error = str(error)
            report.failed += 1
            log.error("source failed", extra={"fields": {"source": source.name, "reason": str(error)}})
        changed = report.new or report.revised or report.merged or report.error != last_error
        if changed and not self._request.dry_run:
            with self._writing() as writer:
                writer.record_run(source.name, self._now, report.error)
        report.seen = report.new + report.revised + report.merged + report.unchanged + report.quarantined
        return report

    def missing(self) -> list[str]:
        """The codes asked for that no source has."""
        return sorted(code for code, key in self._keys.items() if key not in self._found_keys)

    def _tasks(self, walk: _Walk) -> Iterator[Task]:
        """The files that must be read; the others are counted here."""
        request, source = self._request, walk.source
        if request.paths is not None:
            yield from self._hinted(walk, request.paths.get(source.name, frozenset()))
            return
        if request.codes:
            yield from self._coded(walk)
            return
        self._progress.start(source.name, None)
        rows = self._rows(walk.source_id)
        row = next(rows, None)
        gone: list[FileRow] = []
        walk.known_before = row is not None
        for found in scan(source):
            while row is not None and row.path < found.path:
                gone.append(row)
                row = next(rows, None)
            known = None
            if row is not None and row.path == found.path:
                known, row = row, next(rows, None)
            if found.refused:
                walk.refuse(found.location, Refusal.of(found.refused))
            elif known and not request.full and _same(known, found):
                walk.count_unchanged(found.location)
            else:
                yield _task(found, known)
        while row is not None:
            gone.append(row)
            row = next(rows, None)
        walk.gone = gone

    def _hinted(self, walk: _Walk, paths: Iterable[bytes]) -> Iterator[Task]:
        for path in sorted(paths):
            found = look(walk.source, path)
            if found is None:
                continue
            if found.refused:
                walk.refuse(found.location, Refusal.of(found.refused))
                continue
            with self._reading() as reader:
                row = reader.file_row(walk.source_id, path)
            if row and _same(row, found):
                walk.count_unchanged(found.location)
            else:
                yield _task(found, row)
        walk.partial = True

    def _coded(self, walk: _Walk) -> Iterator[Task]:
        walk.partial = True
        keys = [key for key in self._keys.values() if key]
        with self._reading() as reader:
            locations = {location: key for key in keys for location in reader.locations(walk.source.name, key)}
        for found in scan(walk.source):
            location = found.location
            key = locations.get(location) or next((k for k in keys if k in location), None)
            if key is None:
                continue
            self._found_keys.add(key)
            if found.refused:
                walk.refuse(location, Refusal.of(found.refused))
            else:
                yield Task(found)

    def _rows(self, source_id: int) -> Iterator[FileRow]:
        """The cache of a source's files, a stretch at a time, so that no snapshot outlives its use."""
        after = b""
        while True:
            with self._reading() as reader:
                rows = reader.file_rows(source_id, after, _ROWS)
            yield from rows
            if len(rows) < _ROWS:
                return
            after = rows[-1].path

    def _load(self, source: FileSource, tasks: Iterator[Task]) -> Iterator[list[Loaded]]:
        force, patient = self._request.full or bool(self._request.codes), self._request.paths is not None
        return load_all(source, self._zone, tasks, self._workers, force=force, patient=patient)

    def _store_batch(self, walk: _Walk, batch: list[Loaded]) -> None:
        rows: list[FileRow] = []
        arrivals: dict[str, list[Arrival]] = defaultdict(list)
        for loaded in batch:
            location = loaded.location
            if loaded.gone:
                continue
            if loaded.stat is not None:
                settled = loaded.stat.settled(time.time_ns()) and not loaded.unfinished
                stat = loaded.stat
                rows.append(FileRow(loaded.path, stat.size, stat.mtime_ns, stat.ctime_ns, loaded.digest, settled))
            if loaded.unfinished:
                walk.report.pending += 1
                if loaded.stat is None:
                    self.busy[walk.source.name].add(loaded.path)
                log.info("unfinished", extra={"fields": {"source": walk.source.name, "file": location}})
            elif loaded.refused:
                walk.refuse(location, loaded.refused)
            elif loaded.parsed:
                walk.accept(location, loaded)
                arrivals[loaded.parsed.article.key].append(Arrival(Origin(walk.source.name, location), loaded.parsed))
                for remark in loaded.parsed.remarks:
                    log.warning("remark", extra={"fields": {"file": location, "remark": remark}})
            else:
                walk.count_unchanged(location)
        refusals = walk.take_refusals()
        if not (rows or arrivals or refusals):
            return
        with self._writing() as writer:
            known = writer.known(list(arrivals)) if arrivals else {}
            defaults = {walk.source.name: walk.source.default_category}
            changes = [decide(known.get(key), arrived, defaults, self._now) for key, arrived in arrivals.items()]
            writer.apply(changes, self._now)
            writer.put_files(walk.source_id, rows)
            writer.refuse(walk.source_id, refusals, self._now)
        for change in changes:
            self._found_keys.add(change.after.article.key)
            for outcome in change.outcomes.values():
                walk.count(outcome)

    def _close(self, walk: _Walk) -> None:
        """What only shows at the end of a source: files that are gone, refusals that no longer hold."""
        refusals = walk.take_refusals()
        healed = sorted(walk.accepted if walk.partial else walk.stale)
        if refusals or healed:
            with self._writing() as writer:
                writer.refuse(walk.source_id, refusals, self._now)
                writer.release(walk.source_id, healed)
        if walk.deserted:
            with self._reading() as reader:
                if reader.has_documents(walk.source_id):
                    raise SourceError(
                        f"source {walk.source.name}: {walk.source.path} had articles and now has none; "
                        "they stay published",
                        remedy="mount the folder again, or put a file in it",
                    )
        if walk.gone:
            with self._writing() as writer:
                writer.forget_files(walk.source_id, [row.path for row in walk.gone])
                for row in walk.gone:
                    if moved := walk.fresh.get(row.digest):
                        writer.forget_document(walk.source_id, printable(row.path), moved)


@dataclass(slots=True)
class _Walk:
    """A walk through one source: what is counted and collected on the way."""

    source: FileSource
    source_id: int
    report: SourceReport
    quarantined: dict[str, tuple[str, str]]
    stale: set[str]
    accepted: set[str] = field(default_factory=set)
    gone: list[FileRow] = field(default_factory=list)
    fresh: dict[bytes, str] = field(default_factory=dict)
    """The articles of contents read in this pass: a file gone whose content is here has only moved."""
    known_before: bool = False
    partial: bool = False
    _refusals: list[tuple[str, str, str, str]] = field(default_factory=list)

    @property
    def deserted(self) -> bool:
        """Whether a whole folder held nothing that is, or may become, an article."""
        report = self.report
        return not (self.partial or report.new or report.revised or report.merged or report.unchanged or report.pending)

    def refuse(self, location: str, refused: Refusal) -> None:
        self.report.quarantined += 1
        self.stale.discard(location)
        if self.quarantined.get(location) != (refused.code, refused.reason):
            log.warning(
                "quarantined",
                extra={
                    "fields": {
                        "source": self.source.name,
                        "file": location,
                        "code": refused.code,
                        "reason": refused.reason,
                        "remedy": refused.remedy,
                    }
                },
            )
            self._refusals.append((location, refused.code, refused.reason, refused.remedy))

    def accept(self, location: str, loaded: Loaded) -> None:
        if self.known_before and loaded.parsed:
            self.fresh[loaded.digest] = loaded.parsed.article.key
        if location in self.quarantined:
            self.accepted.add(location)

    def count_unchanged(self, location: str) -> None:
        if location in self.quarantined:
            self.stale.discard(location)
            self.report.quarantined += 1
        else:
            self.report.unchanged += 1

    def count(self, outcome: Outcome) -> None:
        setattr(self.report, outcome.value, getattr(self.report, outcome.value) + 1)

    def take_refusals(self) -> list[tuple[str, str, str, str]]:
        taken, self._refusals = self._refusals, []
        return taken


def _task(found: Found, row: FileRow | None) -> Task:
    return Task(found, Stat(row.size, row.mtime_ns, row.ctime_ns), row.digest) if row else Task(found)


def _same(row: FileRow, found: Found) -> bool:
    return row.settled and found.stat == Stat(row.size, row.mtime_ns, row.ctime_ns)


def _gathered(batches: Iterable[list[Loaded]], size: int) -> Iterator[list[Loaded]]:
    """Batches put together until each has at least `size`."""
    gathered: list[Loaded] = []
    for batch in batches:
        gathered += batch
        if len(gathered) >= size:
            yield gathered
            gathered = []
    if gathered:
        yield gathered
