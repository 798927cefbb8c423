"""From the store to the tree: put in place what is due, remember how far we are.

What is due follows from the change sequence: a feed when its term changed after it was last published, an
article page when its article did or one beside it in a category, a page of the archive when an article on it
did or one joined or left before it. A change of the options or of this program makes everything due.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from feedsync.drawing import EVERYTHING, Drawing, instead
from feedsync.errors import OutputError
from feedsync.feeds import FORMATS, SHEETS, names
from feedsync.model import KEY_PATTERN
from feedsync.store import ALL, CATEGORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from feedsync.drawing import File
    from feedsync.feeds import Presentation
    from feedsync.outputs import Tree
    from feedsync.store import Reader, Store

_PAGES_PER_BATCH = 500
_LAST_ID = 2**63 - 1
_FORMATS = tuple(format.extension for format in FORMATS)
_EXTENSIONS = (*_FORMATS, "html")
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
        with store.reading() as reader:
            pages_seq, missing = self._check_progress(reader)
            drawn = reader.state("drawn")
            everything = everything or missing or drawn not in (None, self.presentation.fingerprint)
            if not force:
                self._refuse_loss(reader, everything=everything)
        if everything or drawn is None:
            with store.writing() as writer:
                writer.mark_all()
                writer.set_state("drawn", self.presentation.fingerprint)
            pages_seq = -1
            self._drawing.forget()
        report = PublishReport()
        if self.presentation.pages:
            self._publish_pages(store, pages_seq, report, progress)
            self._publish_archives(store, report, progress)
        self._publish_feeds(store, report)
        if everything:
            report.removed += self._remove_strangers(store)
        return report

    def behind(self, reader: Reader) -> bool:
        """Whether the store holds changes that were not published, or nothing, which shows no marks."""
        terms = reader.terms(ALL, CATEGORY)
        return not terms or any(term.due for term in terms)

    def glance(self, reader: Reader) -> list[str]:
        """Feeds that are due, missing or, of `all`, different: what shows without drawing everything."""
        terms = [term for term in reader.terms(ALL, CATEGORY) if term.scheme == ALL or term.standing]
        path = {t.id: f"{names.ALL}.atom" if t.scheme == ALL else names.category_path(t.value, "atom") for t in terms}
        wrong = {path[term.id] for term in terms if term.due or self.tree.read(path[term.id]) is None}
        for term in terms:
            if term.scheme == ALL:
                files = self._drawing.feed(reader, term)
                wrong.update(name for name, content in files if not self.tree.holds(name, content))
        return sorted(wrong)

    def preview(self, reader: Reader) -> PublishReport:
        """What publishing would write, from a transaction that may never be committed."""
        report = PublishReport()
        for term in reader.terms(ALL, CATEGORY):
            if files := self._drawing.feed(reader, term):
                same = all(self.tree.read(path) == content for path, content in files)
                report.written += not same
                report.unchanged += same
        return report

    def differences(self, store: Store) -> Iterator[str]:
        """Every path where the tree is not what the store would draw. Writes nothing."""
        expected: set[str] = set()
        with store.reading() as reader:
            for path, content in self._everything(reader):
                expected.add(path)
                if not self.tree.holds(path, content):
                    yield path
        yield from (path for path, target in names.LARGE_ALIASES.items() if not self.tree.has_alias(path, target))
        yield from sorted(self._present() - expected)

    def _everything(self, reader: Reader) -> Iterator[File]:
        """Every file there ought to be."""
        terms = reader.terms(ALL, CATEGORY)
        for term in terms:
            yield from self._drawing.feed(reader, term)
            yield from self._drawing.first_page(reader, term)
        yield from self._drawing.front(reader, terms)
        yield from self._drawing.fixed()
        if not self.presentation.pages:
            return
        for term in terms:
            if term.scheme == CATEGORY:
                archive = self._drawing.archive(reader, term)
                for page in archive.pages():
                    yield self._drawing.archive_page(reader, term, archive, page)
        point = (-1, 0)
        while changed := reader.changed_entries(point, _PAGES_PER_BATCH):
            point = changed[-1][0]
            yield from self._drawing.articles(reader, [(at[1], entry) for at, entry in changed])[0]

    def _check_progress(self, reader: Reader) -> tuple[int, bool]:
        """How far article pages are published, and whether published files have gone missing."""
        pages_seq = int(reader.state("pages_seq") or -1)
        terms = reader.terms(ALL, CATEGORY)
        published = [term for term in terms if term.scheme == CATEGORY and term.standing and term.published_seq >= 0]
        if not any(term.published_seq >= 0 for term in terms):
            return pages_seq, False
        front = {names.INDEX, names.OPML, *(f"{names.ALL}.{extension}" for extension in _FORMATS)}
        if not front <= self.tree.names() or not all((self.tree.root / path).is_file() for path in _FIXED):
            return -1, True
        expected = {f"{names.slug(term.value)}.{extension}" for term in published for extension in _EXTENSIONS}
        if not expected <= self.tree.names(names.CATEGORY_FOLDER):
            return -1, True
        if not self.presentation.pages or pages_seq < 0:
            return pages_seq, False
        folders = [names.ARTICLE_FOLDER, *(names.category_stem(term.value) for term in published if term.articles)]
        lost_pages = not all((self.tree.root / folder).is_dir() for folder in folders)
        return (-1, True) if lost_pages else (pages_seq, False)

    def lost(self, reader: Reader, *, everything: bool) -> list[str]:
        """The keys of published articles this store does not know, where publishing would drop them.

        A feed this store has published before shows nothing else, so only the others are read, and `all.atom`,
        which tells when the store itself is an older one.
        """
        terms = reader.terms(ALL, CATEGORY)
        own = {names.category_path(t.value, "atom") for t in terms if t.scheme == CATEGORY and t.published_seq >= 0}
        folder = names.CATEGORY_FOLDER
        others = {f"{folder}/{name}" for name in self.tree.names(folder) if name.endswith(".atom")} - own
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

    def _publish_pages(
        self, store: Store, pages_seq: int, report: PublishReport, progress: Callable[[int], None]
    ) -> None:
        """Article pages in the order of the change sequence, each with those beside it that are not due themselves."""
        point = (pages_seq, _LAST_ID)
        neighbours: set[int] = set()
        if pages_seq >= 0:
            with store.reading() as reader:
                neighbours = {i for b in reader.beside_shifts() for i in (b.newer, b.older) if i is not None}
        while True:
            with store.reading() as reader, self.tree.batch() as batch:
                changed = reader.changed_entries(point, _PAGES_PER_BATCH)
                files, beside = self._drawing.articles(reader, [(at[1], entry) for at, entry in changed])
                neighbours |= beside
                if pages_seq >= 0:
                    files += self._still(reader, neighbours, pages_seq)
                for path, content in files:
                    report.pages += batch.put(path, content)
                    batch.remove(instead(path))
            neighbours.clear()
            if not changed:
                break
            point = changed[-1][0]
            progress(len(changed))
            with store.writing() as writer:
                # Others may share the last sequence; they are not drawn yet.
                writer.set_state("pages_seq", str(point[0] - 1))
        if point[0] != pages_seq:
            with store.writing() as writer:
                writer.set_state("pages_seq", str(point[0]))

    def _still(self, reader: Reader, ids: Iterable[int], seq: int) -> list[File]:
        """The pages of those among these articles that did not change after a sequence."""
        still = sorted(i for i, changed_seq in reader.seqs(ids).items() if changed_seq <= seq)
        return self._drawing.articles(reader, list(reader.entries(still)))[0]

    def _publish_archives(self, store: Store, report: PublishReport, progress: Callable[[int], None]) -> None:
        """The pages of categories that are due; those of a category never published are all drawn."""
        with store.reading() as reader:
            due = [term for term in reader.terms(CATEGORY) if term.due]
        for term in due:
            with store.reading() as reader, self.tree.batch() as batch:
                archive = self._drawing.archive(reader, term)
                pages, years = archive.due() if term.published_seq >= 0 else (set(archive.pages()), set())
                for page in sorted(pages):
                    report.pages += batch.put(*self._drawing.archive_page(reader, term, archive, page))
                for year in years:
                    number = archive.last(year) + 1
                    while batch.remove(archive.path((year, number))):
                        report.removed += 1
                        number += 1
            progress(0)

    def _publish_feeds(self, store: Store, report: PublishReport) -> None:
        with store.reading() as reader, self.tree.batch() as batch:
            terms = reader.terms(ALL, CATEGORY)
            due = [term for term in terms if term.due]
            for term in due or ([] if terms else [EVERYTHING]):
                changed = [batch.put(path, content) for path, content in self._drawing.feed(reader, term)]
                report.written += any(changed)
                for path, content in self._drawing.first_page(reader, term):
                    batch.put(path, content)
                if term.scheme == CATEGORY and not term.standing:
                    for extension in _EXTENSIONS:
                        report.removed += batch.remove(names.category_path(term.value, extension))
            if due or not terms:
                for path, content in self._drawing.front(reader, terms):
                    batch.put(path, content)
                for path, content in self._drawing.fixed():
                    batch.put(path, content)
            for path, target in names.LARGE_ALIASES.items():
                batch.alias(path, target)
            feeds = 1 + sum(1 for term in terms if term.scheme == CATEGORY and term.standing)
            report.unchanged = feeds - report.written
        if due:
            with store.writing() as writer:
                writer.mark_published({term.id: term.changed_seq for term in due})

    def _remove_strangers(self, store: Store) -> int:
        """Remove files of feeds and articles that the store does not hold."""
        wanted: set[str] = set()
        with store.reading() as reader, self.tree.batch() as batch:
            for term in reader.terms(CATEGORY):
                if term.standing:
                    wanted |= {names.category_path(term.value, extension) for extension in _EXTENSIONS}
                if self.presentation.pages:
                    archive = self._drawing.archive(reader, term)
                    wanted |= {archive.path(page) for page in archive.pages()}
            if self.presentation.pages:
                wanted |= {names.article_path(key) for key in reader.published_keys()}
                wanted |= {names.gone_path(names.article_path(key)) for key in reader.withdrawn_keys()}
            strangers = sorted(self._present() - wanted)
            return sum(batch.remove(path) for path in strangers if path.endswith((*_EXTENSIONS, names.GONE)))

    def _present(self) -> set[str]:
        """The files in the folders of categories and articles."""
        category, article = names.CATEGORY_FOLDER, names.ARTICLE_FOLDER
        folders = [category, article, *(f"{category}/{name}" for name in self.tree.folders(category))]
        return {f"{folder}/{name}" for folder in folders for name in self.tree.names(folder)}
