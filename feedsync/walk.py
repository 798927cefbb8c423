"""A walk through a folder: which of its files are new or changed, and what became of each.

Reading and parsing may be spread over worker processes when there is much to do; deciding and storing are
sequential, a batch to a transaction.
"""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from feedsync.errors import SourceError
from feedsync.load import Loaded, Refusal, Task, load_all
from feedsync.model import Arrival, Origin, Outcome
from feedsync.patience import Patience
from feedsync.sources import FileSource, Found, Stat, look, paths_told_as, printable, scan
from feedsync.store import FileRow
from feedsync.values import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from feedsync.ingest import Ingest
    from feedsync.report import SourceReport
    from feedsync.store import Quarantined, Reader
    from feedsync.survey import Survey
    from feedsync.workers import Workers

log = logging.getLogger("feedsync.sync")

_STORE_BATCH = 500
"""Documents to a transaction: each costs a sync of the disk."""

_ROWS = 5000


class Walker:
    """Walks folders for one run."""

    def __init__(self, ingest: Ingest, workers: Workers) -> None:
        self._ingest = ingest
        self._workers = workers
        self._request = ingest.request
        self.busy: dict[str, set[bytes]] = defaultdict(set)
        """Files that are being written, by source: worth another look soon."""

    def walk(self, source: FileSource, report: SourceReport, survey: Survey | None = None) -> None:
        """Ingest one source; its faults are in its report. After a `survey`, only what it found is looked at again."""
        with self._ingest.reading() as reader:
            source_id = reader.find_source(source.name)
            before = self._refused(reader, source, source_id) if source_id is not None else []
            last_error = reader.last_error(source_id) if source_id is not None else None
        if source_id is None:
            with self._ingest.writing() as writer:
                source_id = writer.source_id(source.name)
        quarantined = {refused.origin.location: (refused.code, refused.reason) for refused in before}
        patience = Patience(source.name, source.timeout_s, self._ingest.stop_if_asked)
        walk = _Walk(source, source_id, report, patience, quarantined, set(quarantined))
        try:
            tasks = self._surveyed(walk, survey) if survey else self._tasks(walk)
            for batch in _gathered(self._load(walk, tasks), _STORE_BATCH):
                self._store_batch(walk, batch)
                self._ingest.stop_if_asked()
                self._ingest.progress.step(len(batch))
            self._close(walk)
        except SourceError as error:
            report.error = str(error)
            report.failed += 1
            log.error("source failed", extra={"fields": {"source": source.name, "reason": str(error)}})
        changed = report.new or report.revised or report.merged or report.error != last_error
        recorded = walk.recorded and report.error is None
        if changed and not recorded and not self._request.dry_run:
            with self._ingest.writing() as writer:
                writer.record_run(source.name, self._ingest.now, report.error)
        report.add_up()

    def _refused(self, reader: Reader, source: FileSource, source_id: int) -> list[Quarantined]:
        """What was refused so far of what is looked at."""
        if self._request.paths is None:
            return reader.quarantined(source_id)
        return reader.quarantined_among(source_id, map(printable, self._request.paths.get(source.name, ())))

    def _tasks(self, walk: _Walk) -> Iterator[Task]:
        """The files that must be read; the others are counted here."""
        request, source = self._request, walk.source
        if request.paths is not None:
            yield from self._hinted(walk, request.paths.get(source.name, frozenset()))
            return
        if request.codes:
            yield from self._coded(walk)
            return
        self._ingest.progress.start(source.name, None)
        rows = self._rows(walk.source_id)
        row = next(rows, None)
        gone: list[FileRow] = []
        walk.known_before = row is not None
        for found in walk.patience.each(scan(source), _place):
            while row is not None and row.path < found.path:
                gone.append(row)
                row = next(rows, None)
            known = None
            if row is not None and row.path == found.path:
                known, row = row, next(rows, None)
            if found.refused:
                walk.refuse(found.location, Refusal.of(found.refused), found.path if known else None)
            elif known and not request.full and _same(known, found):
                walk.count_unchanged(found)
            else:
                yield _task(found, known)
        while row is not None:
            gone.append(row)
            row = next(rows, None)
        walk.gone = gone

    def _surveyed(self, walk: _Walk, survey: Survey) -> Iterator[Task]:
        """What a survey found, and what others refused since."""
        report = walk.report
        walk.known_before = True
        report.unchanged += survey.unchanged
        paths = set(survey.paths)
        for location in survey.standing:
            if location in walk.stale:
                walk.stale.discard(location)
                report.quarantined += 1
            else:
                paths |= paths_told_as(location)
        for location in tuple(walk.stale):
            if told := paths_told_as(location):
                paths |= told
            else:  # it stays refused until a walk through the whole folder
                walk.stale.discard(location)
        yield from self._looked(walk, paths)

    def _hinted(self, walk: _Walk, paths: Iterable[bytes]) -> Iterator[Task]:
        walk.partial = True
        yield from self._looked(walk, paths)

    def _looked(self, walk: _Walk, paths: Iterable[bytes]) -> Iterator[Task]:
        """Those of these files that must be read."""
        wanted = iter(sorted(paths))
        while some := list(itertools.islice(wanted, _ROWS)):
            with self._ingest.reading() as reader:
                rows = reader.rows_of(walk.source_id, some)
            looked = ((path, look(walk.source, path)) for path in some)
            for path, found in walk.patience.each(looked, _looked_place):
                row = rows.get(path)
                if found is None:
                    if row and not walk.partial:
                        walk.gone.append(row)
                elif found.refused:
                    walk.refuse(found.location, Refusal.of(found.refused), path if row else None)
                elif row and _same(row, found):
                    walk.count_unchanged(found)
                else:
                    yield _task(found, row)

    def _coded(self, walk: _Walk) -> Iterator[Task]:
        walk.partial = True
        keys = [key for key in self._ingest.keys.values() if key]
        with self._ingest.reading() as reader:
            locations = {location: key for key in keys for location in reader.locations(walk.source.name, key)}
        for found in walk.patience.each(scan(walk.source), _place):
            location = found.location
            key = locations.get(location) or next((k for k in keys if k in location), None)
            if key is None:
                continue
            self._ingest.note_found((key,))
            if found.refused:
                walk.refuse(location, Refusal.of(found.refused), found.path)
            else:
                yield Task(found)

    def _rows(self, source_id: int) -> Iterator[FileRow]:
        """The cache of a source's files, a stretch at a time, so that no snapshot outlives its use."""
        after = b""
        while True:
            with self._ingest.reading() as reader:
                rows = reader.file_rows(source_id, after, _ROWS)
            yield from rows
            if len(rows) < _ROWS:
                return
            after = rows[-1].path

    def _load(self, walk: _Walk, tasks: Iterator[Task]) -> Iterator[list[Loaded]]:
        force, patient = self._request.full or bool(self._request.codes), self._request.paths is not None
        return load_all(
            walk.source, self._ingest.zone, tasks, walk.patience, self._workers, force=force, patient=patient
        )

    def _store_batch(self, walk: _Walk, batch: list[Loaded]) -> None:
        rows: list[FileRow] = []
        arrivals: dict[str, list[Arrival]] = defaultdict(list)
        for loaded in batch:
            location = loaded.location
            if loaded.gone:
                continue
            if loaded.stat is not None:
                rows.append(FileRow(loaded.path, *loaded.stat, loaded.digest, loaded.settled))
            if loaded.unfinished:
                walk.report.pending += 1
                if loaded.stat is None:
                    self.busy[walk.source.name].add(loaded.path)
                log.info("unfinished", extra={"fields": {"source": walk.source.name, "file": location}})
            elif loaded.refused:
                walk.refuse(location, loaded.refused, None if loaded.stat else loaded.path)
            elif loaded.parsed:
                walk.accept(location, loaded)
                arrivals[loaded.parsed.article.key].append(Arrival(Origin(walk.source.name, location), loaded.parsed))
                for remark in loaded.parsed.remarks:
                    log.warning("remark", extra={"fields": {"file": location, "remark": remark}})
            else:
                walk.count_unchanged(loaded)
        refusals = walk.take_refusals()
        if not (rows or arrivals or refusals):
            return
        with self._ingest.writing() as writer:
            changes = self._ingest.take(writer, arrivals, {walk.source.name: walk.source.default_category})
            writer.put_files(walk.source_id, rows)
            writer.refuse(walk.source_id, refusals, self._ingest.now)
            writer.forget_files(walk.source_id, walk.take_unread())
            writer.release(walk.source_id, walk.take_accepted())
            outcomes = [outcome for change in changes for outcome in change.outcomes.values()]
            last = walk.partial and len(batch) < _STORE_BATCH
            if last and any(outcome is not Outcome.UNCHANGED for outcome in outcomes):
                writer.record_run(walk.source.name, self._ingest.now, None)  # nothing can fail any more
                walk.recorded = True
        for outcome in outcomes:
            walk.report.count(outcome)

    def _close(self, walk: _Walk) -> None:
        """What only shows at the end of a source: files that are gone, refusals that no longer hold."""
        if refusals := walk.take_refusals():
            with self._ingest.writing() as writer:
                writer.refuse(walk.source_id, refusals, self._ingest.now)
                writer.forget_files(walk.source_id, walk.take_unread())
        if walk.deserted:
            with self._ingest.reading() as reader:
                if reader.has_documents(walk.source_id):
                    raise SourceError(
                        f"source {walk.source.name}: {walk.source.path} had articles and now has none; "
                        "they stay published",
                        remedy="mount the folder again, or put a file in it",
                    )
        healed = [] if walk.partial else sorted(walk.stale)
        if healed or walk.gone:
            # Together: a file that is known and not refused is taken for read, should it come back as it was.
            with self._ingest.writing() as writer:
                writer.release(walk.source_id, healed)
                writer.forget_files(walk.source_id, [row.path for row in walk.gone])
                for row in walk.gone:
                    if moved := walk.fresh.get(row.digest):
                        writer.forget_document(walk.source_id, printable(row.path), moved)


class _Walk(Struct):
    """A walk through one source: what is counted and collected on the way."""

    source: FileSource
    source_id: int
    report: SourceReport
    patience: Patience
    quarantined: dict[str, tuple[str, str]]
    stale: set[str]
    gone: list[FileRow] = field(default_factory=list)
    fresh: dict[bytes, str] = field(default_factory=dict)
    """The articles of contents read in this pass: a file gone whose content is here has only moved."""
    known_before: bool = False
    partial: bool = False
    recorded: bool = False
    """The store knows how it went."""
    _unread: list[bytes] = field(default_factory=list)
    _refusals: list[tuple[str, str, str, str]] = field(default_factory=list)
    _accepted: list[str] = field(default_factory=list)

    @property
    def deserted(self) -> bool:
        """Whether a whole folder held nothing that is, or may become, an article."""
        report = self.report
        return not (self.partial or report.new or report.revised or report.merged or report.unchanged or report.pending)

    def refuse(self, location: str, refused: Refusal, unread: bytes | None = None) -> None:
        """Count and remember a refusal. What was known of a file that cannot be read no longer holds (`unread`)."""
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
            if unread is not None:
                self._unread.append(unread)
            self._refusals.append((location, refused.code, refused.reason, refused.remedy))

    def accept(self, location: str, loaded: Loaded) -> None:
        if self.known_before and loaded.parsed and not loaded.same:
            self.fresh[loaded.digest] = loaded.parsed.article.key
        if location in self.quarantined:
            self.stale.discard(location)
            self._accepted.append(location)

    def count_unchanged(self, file: Found | Loaded) -> None:
        if self.quarantined and file.location in self.quarantined:
            self.stale.discard(file.location)
            self.report.quarantined += 1
        else:
            self.report.unchanged += 1

    def take_unread(self) -> list[bytes]:
        taken, self._unread = self._unread, []
        return taken

    def take_refusals(self) -> list[tuple[str, str, str, str]]:
        taken, self._refusals = self._refusals, []
        return taken

    def take_accepted(self) -> list[str]:
        taken, self._accepted = self._accepted, []
        return taken


def _place(found: Found) -> str:
    return f"the folder after {found.location}"


def _looked_place(looked: tuple[bytes, Found | None]) -> str:
    return f"the folder after {printable(looked[0])}"


def _task(found: Found, row: FileRow | None) -> Task:
    return Task(found, Stat(row.size, row.mtime_ns, row.ctime_ns), row.digest) if row else Task(found)


def _same(row: FileRow, found: Found) -> bool:
    return row.settled and found.stat == (row.size, row.mtime_ns, row.ctime_ns)


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
