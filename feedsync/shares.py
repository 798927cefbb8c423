"""Publishing in shares: article pages, archives and feeds, drawn and made ready to be put in place.

What little is due is drawn here. Of much, worker processes draw their share: they read the same store and write the
temporary files, and this process alone puts files in place, in its order and under its lock. So a worker that is
killed costs a share drawn again, and one that outlives us leaves nothing but temporary files.
"""

from __future__ import annotations

import os
import time
from collections import deque
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from feedsync.drawing import EXTENSIONS, Drawing, instead, stem_of
from feedsync.errors import FeedsyncError
from feedsync.feeds import Presentation, formats_of, names, prepare_to_draw
from feedsync.former import Former, digest_of
from feedsync.model import ALL
from feedsync.outputs import Prepared, Tree
from feedsync.store import Spot, Store, Term
from feedsync.values import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from feedsync.outputs import Batch
    from feedsync.store import Reader
    from feedsync.workers import Workers

_T = TypeVar("_T")

MANY_FEEDS = 100
FEW_FEEDS = 20
MANY_PAGES = 2000
"""So many to draw, and worker processes pay for their start; those that run already, for what they have to import."""

PAGES_PER_SHARE = 500
_FEEDS_PER_SHARE = 20
_PARTS = 6
"""A share is so small a part of what is left."""

_AHEAD = 2
"""Shares a worker process has before it."""

_LOOK_S = 1.0
"""How often whoever waits asks whether to stop."""

_SHARE_TIMEOUT_S = 300.0
"""A share takes a second or so; a worker process that takes this long hangs or was stopped, and is given up."""

Point = tuple[int, int]
"""Where an article stands in the order of changes: its sequence, its id among equals."""


class PublishReport(Struct):
    """Feeds written and left as they were, one each whatever its formats; pages are counted apart."""

    written: int = 0
    unchanged: int = 0
    pages: int = 0
    removed: int = 0

    def __add__(self, later: PublishReport) -> PublishReport:
        """Both as one: what was left alone is what neither wrote."""
        written = self.written + later.written
        return PublishReport(
            written,
            max(0, later.written + later.unchanged - written),
            self.pages + later.pages,
            self.removed + later.removed,
        )

    def take(self, share: PublishReport) -> None:
        """Count a share of the same publication, too."""
        self.written += share.written
        self.pages += share.pages
        self.removed += share.removed


class FeedsReport(PublishReport):
    """Of a share of feeds, by the ids of their terms, also by what they are recognised."""

    digests: dict[int, bytes] = field(default_factory=dict)


class Pages(Struct, frozen=True):
    """The pages of so many articles after a point."""

    after: Point
    limit: int

    def put(self, drawing: Drawing, reader: Reader, batch: Batch) -> PublishReport:
        changed = reader.changed_entries(self.after, self.limit)
        return put_pages(batch, drawing.articles(reader, [(at[1], entry) for at, entry in changed])[0])


class Archives(Struct, frozen=True):
    """What changed of the archives of these categories, each with its articles that changed."""

    due: tuple[tuple[Term, tuple[Spot, ...]], ...]

    def put(self, drawing: Drawing, reader: Reader, batch: Batch) -> PublishReport:
        """Those of a category never published are all drawn."""
        report = PublishReport()
        for term, changed in self.due:
            archive = drawing.archive(reader, term)
            if term.published_seq >= 0:
                pages, years = archive.due(changed)
            else:
                pages, years = set(archive.pages()), set()
            for page in sorted(pages):
                report.pages += batch.put(*drawing.archive_page(reader, term, archive, page))
            for year in years:
                number = archive.last(year) + 1
                while batch.remove(archive.path((year, number))):
                    report.removed += 1
                    number += 1
        return report


class FirstPages(Struct, frozen=True):
    """The pages of these terms with their newest articles."""

    due: tuple[Term, ...]

    def put(self, drawing: Drawing, reader: Reader, batch: Batch) -> PublishReport:
        for term in self.due:
            for path, content in drawing.first_page(reader, term):
                batch.put(path, content)
        return PublishReport()


class Feeds(Struct, frozen=True):
    """The feeds of these terms, nothing of those that have none any more."""

    due: tuple[Term, ...]

    def put(self, drawing: Drawing, reader: Reader, batch: Batch) -> FeedsReport:
        report = FeedsReport()
        for term in self.due:
            files = drawing.feed(reader, term)
            changed = [batch.put(path, content) for path, content in files]
            report.written += any(changed)
            report.digests[term.id] = digest_of([content for _, content in files])
            if term.scheme != ALL and not term.standing:
                for extension in EXTENSIONS:
                    report.removed += batch.remove(f"{stem_of(term)}.{extension}")
            for path, content in drawing.gone(term):
                batch.put(path, content)
            if term.asked:
                for extension in EXTENSIONS:
                    batch.remove(names.gone_path(f"{stem_of(term)}.{extension}"))
        return report


def drawing_into(tree: Tree, presentation: Presentation) -> Drawing:
    """What draws for a tree, and takes from it what did not change."""
    return Drawing(presentation, Former(tree, formats_of(presentation.site)))


Share = Pages | Archives | FirstPages | Feeds


def put_pages(batch: Batch, files: Sequence[tuple[str, bytes]]) -> PublishReport:
    """Article pages, each in the place of what said that it was withdrawn, or the other way round."""
    report = PublishReport()
    for path, content in files:
        report.pages += batch.put(path, content)
        batch.remove(instead(path))
    return report


def archives_in_shares(due: Sequence[tuple[Term, tuple[Spot, ...]]]) -> list[Archives]:
    return [Archives(share) for share in _cut(due)]


def first_pages_in_shares(due: Sequence[Term]) -> list[FirstPages]:
    return [FirstPages(share) for share in _cut(due)]


def feeds_in_shares(due: Sequence[Term]) -> list[Feeds]:
    return [Feeds(share) for share in _cut(due)]


def _cut(due: Sequence[_T]) -> list[tuple[_T, ...]]:
    """In shares that become smaller towards the end: so nobody has to wait long for the last one."""
    left = deque(due)
    shares = []
    while left:
        size = max(1, min(_FEEDS_PER_SHARE, len(left) // _PARTS))
        shares.append(tuple(left.popleft() for _ in range(size)))
    return shares


class Crew:
    """Who draws one publication: this process, and worker processes if there are any.

    Use as a context manager: at its end nothing of it is left in their hands.
    """

    def __init__(self, workers: Workers | None, store: Store, tree: Tree, presentation: Presentation) -> None:
        self._workers = workers
        self._ahead = _AHEAD * workers.count if workers else 0
        self._job = _Job(os.urandom(8).hex(), str(store.path), str(tree.root), presentation.to_json())
        self._waiting: deque[tuple[int, Share, Future[_Done | None]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        while self._waiting:
            with suppress(Exception):
                if done := self._waiting.popleft()[2].result(_LOOK_S):
                    done.prepared.abandon()

    def put(
        self,
        shares: Sequence[Share],
        drawing: Drawing,
        reader: Reader,
        batch: Batch,
        check: Callable[[], object],
    ) -> Iterator[tuple[int, PublishReport]]:
        """Put all of it into a batch: the number of each share that is there, in no order, and what it came to.

        Workers begin at once, and this process with the first that is asked for. `check` is called between shares and
        while waiting for one; it may raise.
        """
        left = deque(enumerate(shares))
        self._hand_out(left)
        return self._put(left, drawing, reader, batch, check)

    def _hand_out(self, left: deque[tuple[int, Share]]) -> None:
        while self._workers and left and len(self._waiting) < self._ahead:
            number, share = left.popleft()
            self._waiting.append((number, share, self._workers.submit(_aside, self._job, share)))

    def _put(
        self,
        left: deque[tuple[int, Share]],
        drawing: Drawing,
        reader: Reader,
        batch: Batch,
        check: Callable[[], object],
    ) -> Iterator[tuple[int, PublishReport]]:
        while left or self._waiting:
            self._hand_out(left)
            check()
            if left and not (self._waiting and self._waiting[0][2].done()):
                number, share = left.popleft()
                yield number, share.put(drawing, reader, batch)
                continue
            number, share, future = self._waiting[0]
            assert self._workers
            done = _result(future, self._workers, check)
            self._waiting.popleft()
            if done is None:  # it was killed, or met a fault, which shows here as well
                yield number, share.put(drawing, reader, batch)
            else:
                batch.adopt(done.prepared)
                yield number, done.report


class _Job(Struct, frozen=True):
    """What a worker process has to know of a publication; `token` is another for each."""

    token: str
    store: str
    root: str
    presentation: str


class _Done(Struct, frozen=True):
    prepared: Prepared
    report: PublishReport


class _Desk(Struct, frozen=True):
    """What a worker process keeps from one share to the next."""

    store: Store
    tree: Tree
    drawing: Drawing


@lru_cache(maxsize=1)
def _desk(job: _Job) -> _Desk:
    tree = Tree(Path(job.root))
    drawing = drawing_into(tree, Presentation.from_json(job.presentation))
    return _Desk(Store(Path(job.store), writable=False), tree, drawing)


def make_ready() -> None:
    """What a worker process does while it waits for its first share."""
    prepare_to_draw()


def _aside(job: _Job, share: Share) -> _Done | None:
    """What a worker process runs: a share, ready to be put in place; None when there was an error."""
    try:
        desk = _desk(job)
        with desk.store.reading() as reader, desk.tree.preparing() as batch:
            report = share.put(desk.drawing, reader, batch)
            return _Done(batch.hand_over(), report)
    except (FeedsyncError, OSError, ImportError):
        return None


def _result(future: Future[_Done | None], workers: Workers, check: Callable[[], object]) -> _Done | None:
    """What a worker process did; None when it did nothing, was killed, or hangs."""
    given_up = time.monotonic() + _SHARE_TIMEOUT_S
    while True:
        try:
            return future.result(_LOOK_S)
        except TimeoutError:
            check()
            if time.monotonic() > given_up:
                workers.kill()
        except BrokenExecutor:
            return None
