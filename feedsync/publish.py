"""From the store to the tree: put in place what is due, remember how far we are.

What is due follows from the change sequence: a feed when its term changed after it was last published, an
article page when its article did or one beside it in a category, a page of the archive when an article on it
did or one joined or left before it. A change of the options or of this program makes everything due.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from feedsync.drawing import EVERYTHING, EXTENSIONS, Drawing, instead, stem_of
from feedsync.errors import OutputError
from feedsync.feeds import FORMATS, LARGE_ALIASES, SCHEMES, SHEETS, names
from feedsync.model import ALL, CUSTOM, KEY_PATTERN
from feedsync.store import Custom, Spot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from feedsync.drawing import File
    from feedsync.feeds import Presentation
    from feedsync.outputs import Batch, Tree
    from feedsync.outputs.tree import Mark
    from feedsync.store import Reader, Store, Term

_PAGES_PER_BATCH = 500
_FILES_PER_BATCH = 1000
_RECHECK_S = 60.0
"""How long a tree whose folders show no change is believed to be whole."""

_LAST_ID = 2**63 - 1
_FORMATS = tuple(format.extension for format in FORMATS)
_FEED_FOLDERS = tuple(scheme.folder for scheme in SCHEMES.values())
_FOLDERS = ("", *_FEED_FOLDERS, names.ARTICLE_FOLDER, names.ASSETS_FOLDER, names.LARGE)
_FIXED = (*map(names.error_path, names.ERRORS), *SHEETS)
_SHOWN = re.compile(rf"<id>tag:[^<:]*:article/({KEY_PATTERN})</id>".encode())
_PAGE = re.compile(rf"({KEY_PATTERN})\.html")


@dataclass(slots=True)
class PublishReport:
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


class Publisher:
    """Publishes a store into a tree. Keeps drawn entries from one run to the next."""

    def __init__(self, tree: Tree, presentation: Presentation) -> None:
        self.tree = tree
        self.presentation = presentation
        self._drawing = Drawing(presentation)
        self._schemes = tuple(scheme.name for scheme in presentation.schemes)
        self._left: tuple[Mark, ...] = ()
        self._checked = 0.0

    def publish(
        self,
        store: Store,
        *,
        everything: bool = False,
        force: bool = False,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> PublishReport:
        """Bring the tree up to date; with `everything`, draw it all anew and remove what does not belong.

        Raises OutputError when the tree cannot be written: what was there stays, and stays due. Also when it
        shows articles the store does not know, unless `force` says that they may go.
        """
        before = self._marks()
        with store.reading() as reader:
            drawn = reader.state("drawn")
            if everything or not self._is_as_left():
                everything = everything or self._misses_files(reader) or drawn not in (None, self._fingerprint)
                if not force:
                    self._refuse_loss(reader, everything=everything)
            stale = self._stale(reader)
        if stale:
            with store.writing() as writer:
                writer.adopt(self.presentation.custom, self.presentation.site.timezone)
        if everything or drawn is None:
            with store.writing() as writer:
                writer.mark_all()
                writer.set_state("drawn", self._fingerprint)
            self._drawing.forget()
        report = PublishReport()
        self._publish_due(store, report, progress)
        if everything:
            report.removed += self._remove_strangers(store)
        after = self._marks()
        self._left = after if _are_the_same(before, after) and self.tree.names(names.ASSETS_FOLDER) else ()
        return report

    def behind(self, reader: Reader) -> bool:
        """Whether the store holds changes that were not published, or nothing, which shows no marks."""
        return bool(reader.due(ALL, *self._schemes)) or not reader.terms(ALL)

    def glance(self, reader: Reader) -> list[str]:
        """Feeds that are due, missing or, of `all`, different: what shows without drawing everything."""
        terms = [term for term in reader.terms(ALL, *self._schemes) if term.scheme == ALL or term.standing]
        path = {term.id: f"{stem_of(term)}.atom" for term in terms}
        wrong = {path[term.id] for term in terms if term.due or self.tree.read(path[term.id]) is None}
        for term in terms:
            if term.scheme == ALL:
                files = self._drawing.feed(reader, term)
                wrong.update(name for name, content in files if not self.tree.holds(name, content))
        return sorted(wrong)

    def preview(self, reader: Reader) -> PublishReport:
        """What publishing would write, from a transaction that may never be committed."""
        report = PublishReport()
        for term in reader.terms(ALL, *self._schemes):
            if files := self._drawing.feed(reader, term):
                same = all(self.tree.read(path) == content for path, content in files)
                report.written += not same
                report.unchanged += same
        return report

    def differences(self, store: Store) -> Iterator[str]:
        """Every path where the tree is not what the store would draw. Writes nothing."""
        expected: set[str] = set()
        with store.reading() as reader:
            yield from (SCHEMES[CUSTOM].path(name, "atom") for name in self._stale(reader))
            for path, content in self._everything(reader):
                expected.add(path)
                if not self.tree.holds(path, content):
                    yield path
        yield from (path for path, target in self._aliases() if not self.tree.has_alias(path, target))
        yield from sorted(self._present() - expected)

    def _everything(self, reader: Reader) -> Iterator[File]:
        """Every file there ought to be."""
        terms = reader.terms(ALL, *self._schemes)
        for term in terms:
            yield from self._drawing.feed(reader, term)
            yield from self._drawing.first_page(reader, term)
            yield from self._drawing.gone(term)
        yield from self._drawing.front(reader)
        yield from self._drawing.fixed()
        if not self.presentation.pages:
            return
        for term in terms:
            if _archived(term):
                archive = self._drawing.archive(reader, term)
                for page in archive.pages():
                    yield self._drawing.archive_page(reader, term, archive, page)
        point = (-1, 0)
        while changed := reader.changed_entries(point, _PAGES_PER_BATCH):
            point = changed[-1][0]
            yield from self._drawing.articles(reader, [(at[1], entry) for at, entry in changed])[0]

    def _stale(self, reader: Reader) -> list[str]:
        """The custom feeds that are not what the configuration says."""
        return Custom(reader.connection).stale(self.presentation.custom, self.presentation.site.timezone)

    def _aliases(self) -> Iterator[tuple[str, str]]:
        """The links by which pages stand under `large/`, where there are such pages."""
        for path, target in LARGE_ALIASES.items():
            if path.endswith(names.INDEX) or (self.tree.root / target.removeprefix("../")).is_dir():
                yield path, target

    @property
    def _fingerprint(self) -> str:
        return self.presentation.fingerprint

    def _marks(self) -> tuple[Mark, ...]:
        return self.tree.marks(_FOLDERS)

    def _is_as_left(self) -> bool:
        """Whether nobody else put anything into the tree or took something out since this last published into it.

        Folders tell, and for the case that something happened while it was publishing, it looks anew now and then.
        """
        now = time.monotonic()
        if self._left and self._left == self._marks() and now - self._checked < _RECHECK_S:
            return True
        self._checked = now
        return False

    def _misses_files(self, reader: Reader) -> bool:
        """Whether published files have gone missing."""
        terms = reader.terms(ALL, *self._schemes)
        published = [term for term in terms if term.scheme != ALL and term.standing and term.published_seq >= 0]
        if not any(term.published_seq >= 0 for term in terms):
            return False
        front = {names.INDEX, names.OPML, *(f"{names.ALL}.{extension}" for extension in _FORMATS)}
        if not front <= self.tree.names() or not all((self.tree.root / path).is_file() for path in _FIXED):
            return True
        expected = {f"{stem_of(term)}.{extension}" for term in published for extension in EXTENSIONS}
        if not expected <= self._in_folders():
            return True
        if not self.presentation.pages or _pages_seq(reader) < 0:
            return False
        folders = [names.ARTICLE_FOLDER, *(stem_of(term) for term in published if _archived(term) and term.articles)]
        return not all((self.tree.root / folder).is_dir() for folder in folders)

    def lost(self, reader: Reader, *, everything: bool) -> list[str]:
        """The keys of published articles this store does not know, where publishing would drop them.

        A feed this store has published before shows nothing else, so only the others are read, and `all.atom`,
        which tells when the store itself is an older one.
        """
        terms = reader.terms(ALL, *self._schemes)
        own = {f"{stem_of(term)}.atom" for term in terms if term.scheme != ALL and term.published_seq >= 0}
        others = {path for path in self._in_folders() if path.endswith(".atom")} - own
        shown: set[str] = set()
        for path in (f"{names.ALL}.atom", *sorted(others)):
            shown.update(key.decode("ascii") for key in _SHOWN.findall(self.tree.read(path) or b""))
        if everything and self.presentation.pages:
            pages = self.tree.names(names.ARTICLE_FOLDER)
            shown.update(match.group(1) for name in pages if (match := _PAGE.fullmatch(name)))
        return sorted(shown - reader.existing(shown))

    def _refuse_loss(self, reader: Reader, *, everything: bool) -> None:
        """What is published and unknown was lost with its database, or another database was meant."""
        if not everything and not self.behind(reader):
            return
        lost = self.lost(reader, everything=everything)
        if not lost:
            return
        empty = not any(term.articles for term in reader.terms(ALL))
        what = "the store holds no article, but" if empty else "the store does not know all that is published:"
        raise OutputError(
            f"{what} {self.tree.root} shows {len(lost)} unknown to it ({lost[0]}...); everything was left as it is",
            remedy="`feedsync restore` a copy of the database, or bring back the sources that had them and resync; "
            "if the loss is meant, `feedsync publish --force`",
        )

    def _publish_due(self, store: Store, report: PublishReport, progress: Callable[[int], None]) -> None:
        """Pages before the feeds that lead to them, feeds before the lists of all of them; what is due of each."""
        with store.reading() as reader:
            due = reader.due(ALL, *self._schemes)
            with self.tree.batch() as batch:
                pages_seq = _pages_seq(reader)
                if self.presentation.pages:
                    pages_seq = self._put_pages(store, reader, batch, report, progress)
                    self._put_archives(reader, batch, due, report, progress)
                self._put_feeds(reader, batch, [term for term in due if term.scheme != ALL], report)
                batch.settle()  # the feed of everything is the largest: nobody waits for it
                everything = [term for term in due if term.scheme == ALL]
                self._put_feeds(reader, batch, everything if reader.terms(ALL) else [EVERYTHING], report)
            front = bool(due) or not reader.terms(ALL)
            with self.tree.batch() as batch:
                for path, content in (*self._drawing.front(reader), *self._drawing.fixed()) if front else ():
                    batch.put(path, content)
                if front:
                    for path in self._drawing.vacant():
                        report.removed += batch.remove(path)
                for path, target in self._aliases():
                    batch.alias(path, target)
            feeds = self._drawing.feeds if front else 1 + reader.standing(*self._schemes)
            report.unchanged = feeds - report.written
            progressed = pages_seq != _pages_seq(reader)
        if due or progressed:
            with store.writing() as writer:
                writer.set_state("pages_seq", str(pages_seq))
                writer.set_state("archives_seq", str(pages_seq))
                writer.mark_published({term.id: term.changed_seq for term in due})

    def _put_pages(
        self,
        store: Store,
        reader: Reader,
        batch: Batch,
        report: PublishReport,
        progress: Callable[[int], None],
    ) -> int:
        """Article pages in the order of the change sequence, each with those beside it that are not due themselves.

        Returns the sequence up to which they are drawn. All but the last are put in place and remembered as they come.
        """
        pages_seq = _pages_seq(reader)
        point = (pages_seq, _LAST_ID)
        neighbours: set[int] = set()
        if pages_seq >= 0:
            neighbours = {i for b in reader.beside_shifts() for i in (b.newer, b.older) if i is not None}
        while True:
            changed = reader.changed_entries(point, _PAGES_PER_BATCH)
            files, beside = self._drawing.articles(reader, [(at[1], entry) for at, entry in changed])
            if pages_seq >= 0:
                files += self._still(reader, neighbours | beside, pages_seq)
            neighbours.clear()
            for path, content in files:
                report.pages += batch.put(path, content)
                batch.remove(instead(path))
            if not changed:
                return point[0]
            point = changed[-1][0]
            progress(len(changed))
            if len(changed) == _PAGES_PER_BATCH:
                batch.settle()
                with store.writing() as writer:
                    # Others may share the last sequence; they are not drawn yet.
                    writer.set_state("pages_seq", str(point[0] - 1))

    def _still(self, reader: Reader, ids: Iterable[int], seq: int) -> list[File]:
        """The pages of those among these articles that did not change after a sequence."""
        still = sorted(i for i, changed_seq in reader.seqs(ids).items() if changed_seq <= seq)
        return self._drawing.articles(reader, list(reader.entries(still)))[0]

    def _put_archives(
        self,
        reader: Reader,
        batch: Batch,
        due: Iterable[Term],
        report: PublishReport,
        progress: Callable[[int], None],
    ) -> None:
        """The archive pages of categories that are due; those of a category never published are all drawn."""
        due = [term for term in due if _archived(term)]
        changed: defaultdict[str, list[Spot]] = defaultdict(list)
        if any(term.published_seq >= 0 for term in due):
            for article_id, known in reader.changed_heads(int(reader.state("archives_seq") or -1)):
                for category in known.article.categories:
                    changed[category.term].append(Spot(article_id, known.published))
        for term in due:
            archive = self._drawing.archive(reader, term)
            if term.published_seq >= 0:
                pages, years = archive.due(changed[term.value])
            else:
                pages, years = set(archive.pages()), set()
            for page in sorted(pages):
                report.pages += batch.put(*self._drawing.archive_page(reader, term, archive, page))
            for year in years:
                number = archive.last(year) + 1
                while batch.remove(archive.path((year, number))):
                    report.removed += 1
                    number += 1
            _settle_many(batch)
            progress(0)

    def _put_feeds(self, reader: Reader, batch: Batch, due: Iterable[Term], report: PublishReport) -> None:
        """The feeds of these terms with their first pages, nothing of those that have none any more."""
        for term in due:
            changed = [batch.put(path, content) for path, content in self._drawing.feed(reader, term)]
            report.written += any(changed)
            for path, content in self._drawing.first_page(reader, term):
                batch.put(path, content)
            if term.scheme != ALL and not term.standing:
                for extension in EXTENSIONS:
                    report.removed += batch.remove(f"{stem_of(term)}.{extension}")
            for path, content in self._drawing.gone(term):
                batch.put(path, content)
            if term.asked:
                for extension in EXTENSIONS:
                    batch.remove(names.gone_path(f"{stem_of(term)}.{extension}"))
            _settle_many(batch)

    def _remove_strangers(self, store: Store) -> int:
        """Remove files of feeds and articles that the store does not hold."""
        wanted: set[str] = set()
        with store.reading() as reader, self.tree.batch() as batch:
            wanted |= {path for path, _ in self._drawing.front(reader)}
            for term in reader.terms(*self._schemes):
                if term.standing:
                    wanted |= {f"{stem_of(term)}.{extension}" for extension in EXTENSIONS}
                wanted |= {path for path, _ in self._drawing.gone(term)}
                if self.presentation.pages and _archived(term):
                    archive = self._drawing.archive(reader, term)
                    wanted |= {archive.path(page) for page in archive.pages()}
            if self.presentation.pages:
                wanted |= {names.article_path(key) for key in reader.published_keys()}
                wanted |= {names.gone_path(names.article_path(key)) for key in reader.withdrawn_keys()}
            strangers = sorted(self._present() - wanted)
            return sum(batch.remove(path) for path in strangers if path.endswith((*EXTENSIONS, names.GONE)))

    def _present(self) -> set[str]:
        """The files in the folders of feeds, their archives, and articles."""
        archives = [f"{folder}/{name}" for folder in _FEED_FOLDERS for name in self.tree.folders(folder)]
        folders = [*archives, names.ARTICLE_FOLDER]
        return self._in_folders() | {f"{folder}/{name}" for folder in folders for name in self.tree.names(folder)}

    def _in_folders(self) -> set[str]:
        """The files of feeds."""
        return {f"{folder}/{name}" for folder in _FEED_FOLDERS for name in self.tree.names(folder)}


def _archived(term: Term) -> bool:
    return term.scheme != ALL and SCHEMES[term.scheme].archived


def _pages_seq(reader: Reader) -> int:
    """Up to which change article pages are published."""
    return int(reader.state("pages_seq") or -1)


def _settle_many(batch: Batch) -> None:
    """Let not too many files wait beside those they replace."""
    if len(batch) >= _FILES_PER_BATCH:
        batch.settle()


def _are_the_same(before: Iterable[Mark], after: Iterable[Mark]) -> bool:
    """Whether each folder that was there still is, and is no other: the tree was not replaced under our hands."""
    return all(then is None or (now is not None and now[0] == then[0]) for then, now in zip(before, after, strict=True))
