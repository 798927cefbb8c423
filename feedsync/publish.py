"""From the store to the tree: put in place what is due, remember how far we are.

What is due follows from the change sequence: a feed when its term changed after it was last published, an
article page when its article did or one beside it in a category, a page of the archive when an article on it
did or one joined or left before it. A change of the options or of this program makes everything due.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

from feedsync.audit import FEED_FOLDERS, Audit, archived, pages_through
from feedsync.drawing import EVERYTHING, EXTENSIONS, PAGE, stem_of
from feedsync.feeds import names, prepare_to_draw
from feedsync.model import ALL, CATEGORY
from feedsync.outputs import original_of
from feedsync.shares import (
    FEW_FEEDS,
    MANY_FEEDS,
    MANY_PAGES,
    PAGES_PER_SHARE,
    Crew,
    FeedsReport,
    Pages,
    PublishReport,
    archives_in_shares,
    drawing_into,
    feeds_in_shares,
    first_pages_in_shares,
    put_pages,
)
from feedsync.store import Spot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from feedsync.drawing import File
    from feedsync.feeds import Presentation
    from feedsync.outputs import Batch, Tree
    from feedsync.outputs.tree import Mark
    from feedsync.shares import Share
    from feedsync.store import Reader, Store, Term
    from feedsync.workers import Workers

_FILES_PER_BATCH = 1000
_MOMENTS_S = 1.0
_RECHECK_S = 45.0
"""How long a tree whose folders show no change is believed to be whole, and to show nothing the store does not know."""

_RECHECK_AT_LAST_S = 150.0
"""The same while articles wait for their feeds."""

_LAST_ID = 2**63 - 1
_FOLDERS = ("", *FEED_FOLDERS, names.ARTICLE_FOLDER, names.ASSETS_FOLDER, names.LARGE)


_UNSWEPT = "unswept "
"""Before what was last drawn, while files that do not belong to it are still to be removed: that may be cut short."""


class Publisher:
    """Publishes a store into a tree. Keeps drawn entries from one run to the next."""

    def __init__(self, tree: Tree, presentation: Presentation) -> None:
        self.tree = tree
        self.presentation = presentation
        self._drawing = drawing_into(tree, presentation)
        self.audit = Audit(tree, presentation)
        self._schemes = tuple(scheme.name for scheme in presentation.schemes)
        self._left: tuple[Mark, ...] = ()
        self._checked = 0.0
        self._of: object = None

    def publish(
        self,
        store: Store,
        *,
        everything: bool = False,
        force: bool = False,
        workers: Workers | None = None,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> PublishReport:
        """Bring the tree up to date; with `everything`, draw it all anew and remove what does not belong.
        Of much, `workers` draw their share.

        Raises OutputError when the tree cannot be written: what was there stays, and stays due. Also when it
        shows articles the store does not know, unless `force` says that they may go.
        """
        self._recognise(store)
        before = self._marks()
        with store.reading() as reader:
            drawn = reader.state("drawn") or None
            if unswept := drawn == _UNSWEPT + self._fingerprint:
                drawn = self._fingerprint
            waited_for = bool(reader.due(ALL, *self._schemes))
            if everything or not self._is_as_left(_RECHECK_AT_LAST_S if waited_for else _RECHECK_S):
                everything = everything or self.audit.misses_files(reader) or drawn not in (None, self._fingerprint)
                if not force and (everything or self.behind(reader)):
                    self.audit.refuse_loss(reader, everything=everything)
            stale = self.audit.stale(reader)
        if stale:
            with store.writing() as writer:
                writer.adopt(self.presentation.custom, self.presentation.site.timezone)
        if everything or drawn is None:
            with store.writing() as writer:
                writer.mark_all()
                writer.set_state("drawn", (_UNSWEPT if everything else "") + self._fingerprint)
            self._drawing.forget()
        report = PublishReport()
        try:
            self._publish_due(store, workers, report, progress)
        except BaseException:
            self._drawing.forget()  # nothing relies on what was drawn in an attempt that failed
            raise
        if everything or unswept:
            report.removed += self._remove_strangers(store)
            with store.writing() as writer:
                writer.set_state("drawn", self._fingerprint)
        after = self._marks()
        self._left = after if _are_the_same(before, after) and self.tree.names(names.ASSETS_FOLDER) else ()
        return report

    def warm_up(self, store: Store, step: Callable[[], None] = lambda: None) -> None:
        """Do now what the first publication would have to wait for, and what each takes from the one before.

        `step` is called now and then, and may raise.
        """
        prepare_to_draw()
        self._recognise(store)
        with store.reading() as reader:
            for _ in self._drawing.front(reader, step):
                pass

    def takes_long(self, reader: Reader) -> bool:
        """Whether so much is due that publishing takes more than moments."""
        if self._is_much(reader, reader.due(ALL, *self._schemes)):
            return True
        anew = reader.state("drawn") != self._fingerprint or self.audit.misses_files(reader)
        return anew and max(_articles(reader) // MANY_PAGES, reader.standing(*self._schemes) // MANY_FEEDS) > 0

    def behind(self, reader: Reader) -> bool:
        """Whether the store holds changes that were not published, or nothing, which shows no marks."""
        return bool(reader.due(ALL, *self._schemes)) or not reader.terms(ALL)

    def recover(self, store: Store, *, full: bool = False) -> int:
        """Before anything is ingested: sweep the tree if the last run was cut short, or else with `full`.

        How many temporary files there were. A feed that is due already tells of such an end, for none is marked as
        published before all that was written is in place; to go through a large tree takes seconds.
        """
        with store.reading() as reader:
            unfinished = full or self.behind(reader)
        return self.tree.sweep() if unfinished else 0

    @property
    def _fingerprint(self) -> str:
        return self.presentation.fingerprint

    def _marks(self) -> tuple[Mark, ...]:
        return self.tree.marks(_FOLDERS)

    def _recognise(self, store: Store) -> None:
        """Of another database nothing is taken for granted: neither what is drawn nor that the tree is of it."""
        if store.identity != self._of:
            self._of, self._left = store.identity, ()
            self._drawing.forget()

    def _is_as_left(self, believed_s: float) -> bool:
        """Whether nobody else put anything into the tree or took something out since this last published into it.

        Folders tell, and for the case that something happened while it was publishing, it looks anew now and then.
        """
        now = time.monotonic()
        if self._left and self._left == self._marks() and now - self._checked < believed_s:
            return True
        self._checked, self._left = now, ()  # until all of it is published
        return False

    def _publish_due(
        self, store: Store, workers: Workers | None, report: PublishReport, progress: Callable[[int], None]
    ) -> None:
        """Pages before the feeds that lead to them, feeds before the lists of all of them; what is due of each.

        Categories are what most subscribe to: their feeds are in place as soon as all of them are drawn.
        """
        with store.reading() as reader:
            due = reader.due(ALL, *self._schemes)
            front = bool(due) or not reader.terms(ALL)
            much = self._is_much(reader, due) or bool(workers and workers.running and len(due) >= FEW_FEEDS)
            started = time.monotonic()
            digests: dict[int, bytes] = {}
            with (
                self.tree.batch() as last,
                self.tree.batch(aside=not much) as batch,  # with a crew, all processors are at work anyway
                Crew(workers if much else None, store, self.tree, self.presentation) as crew,
            ):

                def moved() -> None:
                    # What takes but moments is finished, though somebody may ask to stop.
                    if much or time.monotonic() - started > _MOMENTS_S:
                        progress(0)

                def put(shares: Sequence[Share]) -> Iterator[int]:
                    done = crew.put(shares, self._drawing, reader, batch, moved)
                    return _counted(report, digests, done)

                before = pages_seq = pages_through(reader)
                beside: set[int] = set()
                if not self.presentation.pages:
                    pass
                elif pages_seq < 0:
                    pages_seq = self._put_all_pages(store, reader, batch, put, progress)
                else:
                    pages_seq, beside = self._put_changed_pages(store, reader, batch, before, report, progress)
                feeds = [term for term in due if term.scheme != ALL]
                new = [term for term in feeds if term.published_seq < 0]
                old = [term for term in feeds if term.published_seq >= 0]
                self._put_lists(reader, batch, new, put)
                everything = [term for term in due if term.scheme == ALL] if reader.terms(ALL) else [EVERYTHING]
                categories = feeds_in_shares([term for term in feeds if term.scheme == CATEGORY])
                others = feeds_in_shares([term for term in feeds if term.scheme != CATEGORY])
                drawn = put([*categories, *others, *feeds_in_shares(everything)])
                if much and front:  # while workers begin; it is put in place at the end
                    report.removed += self._put_front(reader, last)
                missing = set(range(len(categories)))
                for number in drawn:
                    if missing and not (missing := missing - {number}):
                        batch.settle()
                    _settle_many(batch)
                batch.settle()
                # No feed waits for pages that show once more what is new.
                report.take(put_pages(batch, self._still(reader, beside, before)))
                self._put_lists(reader, batch, old, put)
                if front and not much:
                    report.removed += self._put_front(reader, last)
            with self.tree.batch() as batch:
                for path, target in self.audit.aliases():
                    batch.alias(path, target)
            standing = self._drawing.feeds if front else 1 + reader.standing(*self._schemes)
            report.unchanged = standing - report.written
            progressed = pages_seq != before
        if due or progressed:
            with store.writing() as writer:
                writer.set_state("pages_seq", str(pages_seq))
                writer.set_state("archives_seq", str(pages_seq))
                writer.mark_published(due, digests)

    def _is_much(self, reader: Reader, due: Sequence[Term]) -> bool:
        if len(due) >= MANY_FEEDS:
            return True
        return self.presentation.pages and pages_through(reader) < 0 and _articles(reader) >= MANY_PAGES

    def _put_lists(
        self, reader: Reader, batch: Batch, due: Sequence[Term], put: Callable[[Sequence[Share]], Iterator[int]]
    ) -> None:
        """The archives of these terms, and their first pages, which lead there."""
        if self.presentation.pages:
            for _ in put(archives_in_shares(self._changed_archives(reader, due))):
                _settle_many(batch)
            for term in due:
                if archived(term) and term.published_seq < 0:  # pages of a publication that was cut short may be there
                    self._remove_other_pages(reader, batch, term)
        for _ in put(first_pages_in_shares(due)):
            _settle_many(batch)

    def _remove_other_pages(self, reader: Reader, batch: Batch, term: Term) -> None:
        """Remove what stands in the archive of a category and is no page of it."""
        folder = stem_of(term)
        present = {f"{folder}/{original_of(name)}" for name in self.tree.names(folder)}
        if pages := {path for path in present if path.endswith(f".{PAGE}")}:  # others are on their way into the tree
            archive = self._drawing.archive(reader, term)
            for path in sorted(pages - {archive.path(page) for page in archive.pages()}):
                batch.remove(path)

    def _put_front(self, reader: Reader, batch: Batch) -> int:
        """The index, the lists of feeds and what never changes; how many lists are gone."""
        for path, content in (*self._drawing.front(reader), *self._drawing.fixed()):
            batch.put(path, content)
        return sum(batch.remove(path) for path in self._drawing.vacant())

    def _put_all_pages(
        self,
        store: Store,
        reader: Reader,
        batch: Batch,
        put: Callable[[Sequence[Share]], Iterator[int]],
        progress: Callable[[int], None],
    ) -> int:
        """Every article page, in shares. Returns the sequence up to which they are drawn; remembers it as they come."""
        ends = reader.points(PAGES_PER_SHARE)
        starts = [(-1, _LAST_ID), *ends]
        done: set[int] = set()
        through = 0
        for number in put([Pages(start, PAGES_PER_SHARE) for start in starts[: len(ends)]]):
            done.add(number)
            progress(PAGES_PER_SHARE)
            if len(batch) < _FILES_PER_BATCH:
                continue
            batch.settle()
            while through in done:
                through += 1
            if through:
                with store.writing() as writer:
                    # Others may share the last sequence; they are not drawn yet.
                    writer.set_state("pages_seq", str(ends[through - 1][0] - 1))
        return starts[-1][0]

    def _put_changed_pages(
        self,
        store: Store,
        reader: Reader,
        batch: Batch,
        pages_seq: int,
        report: PublishReport,
        progress: Callable[[int], None],
    ) -> tuple[int, set[int]]:
        """The pages of articles that changed after a sequence, in its order.

        Returns the sequence up to which they are drawn, and the articles beside them. All but the last are put in place
        and remembered as they come, each with those beside it.
        """
        point = (pages_seq, _LAST_ID)
        beside = {i for b in reader.beside_shifts() for i in (b.newer, b.older) if i is not None}
        while True:
            changed = reader.changed_entries(point, PAGES_PER_SHARE)
            files, found = self._drawing.articles(reader, [(at[1], entry) for at, entry in changed])
            report.take(put_pages(batch, files))
            beside |= found
            if not changed:
                return point[0], beside
            point = changed[-1][0]
            progress(len(changed))
            if len(changed) == PAGES_PER_SHARE:
                report.take(put_pages(batch, self._still(reader, beside, pages_seq)))
                beside.clear()
                batch.settle()
                with store.writing() as writer:
                    # Others may share the last sequence; they are not drawn yet.
                    writer.set_state("pages_seq", str(point[0] - 1))

    def _still(self, reader: Reader, ids: Iterable[int], seq: int) -> list[File]:
        """The pages of those among these articles that did not change after a sequence."""
        still = sorted(i for i, stamp in reader.stamps(ids).items() if stamp.seq <= seq)
        return self._drawing.articles(reader, list(reader.entries(still)))[0]

    def _changed_archives(self, reader: Reader, due: Iterable[Term]) -> list[tuple[Term, tuple[Spot, ...]]]:
        """The categories that are due, each with its articles that changed since it was published."""
        due = [term for term in due if archived(term)]
        changed: defaultdict[str, list[Spot]] = defaultdict(list)
        if any(term.published_seq >= 0 for term in due):
            for article_id, known in reader.changed_heads(int(reader.state("archives_seq") or -1)):
                for category in known.article.categories:
                    changed[category.term].append(Spot(article_id, known.published))
        return [(term, tuple(changed[term.value])) for term in due]

    def _remove_strangers(self, store: Store) -> int:
        """Remove files of feeds and articles that the store does not hold."""
        wanted: set[str] = set()
        with store.reading() as reader, self.tree.batch() as batch:
            wanted |= {path for path, _ in self._drawing.front(reader)}
            for term in reader.terms(*self._schemes):
                if term.standing:
                    wanted |= {f"{stem_of(term)}.{extension}" for extension in (*self.presentation.site.formats, PAGE)}
                wanted |= {path for path, _ in self._drawing.gone(term)}
                if self.presentation.pages and archived(term):
                    archive = self._drawing.archive(reader, term)
                    wanted |= {archive.path(page) for page in archive.pages()}
            strangers = self.audit.strangers(reader, wanted)
            originals = dict.fromkeys(map(original_of, strangers))
            return sum(batch.remove(path) for path in originals if path.endswith((*EXTENSIONS, names.GONE)))


def _articles(reader: Reader) -> int:
    """How many articles there are."""
    return sum(term.articles for term in reader.terms(ALL))


def _counted(
    report: PublishReport, digests: dict[int, bytes], drawn: Iterable[tuple[int, PublishReport]]
) -> Iterator[int]:
    """The numbers of shares as they come, counted in a report, with the digests of the feeds among them."""
    for number, share in drawn:
        report.take(share)
        if isinstance(share, FeedsReport):
            digests |= share.digests
        yield number


def _settle_many(batch: Batch) -> None:
    """Let not too many files wait beside those they replace."""
    if len(batch) >= _FILES_PER_BATCH:
        batch.settle()


def _are_the_same(before: Iterable[Mark], after: Iterable[Mark]) -> bool:
    """Whether each folder that was there still is, and is no other: the tree was not replaced under our hands."""
    return all(then is None or (now is not None and now[0] == then[0]) for then, now in zip(before, after, strict=True))
