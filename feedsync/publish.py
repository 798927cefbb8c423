"""From the store to the tree: draw what is due, put it in place, remember how far we are.

What is due follows from the change sequence: a feed when its term changed after it was last published, an
article page when its article did. A change of the options or of this program makes everything due.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from feedsync.errors import OutputError
from feedsync.feeds import (
    FORMATS,
    CategoryLine,
    Feed,
    draw_article,
    draw_category,
    draw_entry,
    draw_index,
    draw_opml,
    feed_of_all,
    feed_of_category,
    names,
    select,
)
from feedsync.model import KEY_PATTERN
from feedsync.store import ALL, CATEGORY, Term

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from feedsync.feeds import Presentation
    from feedsync.model import Known, Place
    from feedsync.outputs import Tree
    from feedsync.store import Reader, Store

_PAGES_PER_BATCH = 500
_CACHE_BYTES = 48_000_000
_HTML_LIST = 50
_LAST_ID = 2**63 - 1
_EXTENSIONS = (*(format.extension for format in FORMATS), "html")
_SHOWN = re.compile(rf"<id>tag:[^<:]*:article/({KEY_PATTERN})</id>".encode())
_PAGE = re.compile(rf"({KEY_PATTERN})\.html")
_NOTHING = Term(0, ALL, "", "", 0, 0, -1)
"""Stands for the feed of everything while there is nothing."""


@dataclass(slots=True)
class PublishReport:
    """Feeds written and left as they were; pages are counted apart."""

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
        self._drawn = _EntryCache(_CACHE_BYTES)

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
            everything = everything or missing
            if not force:
                self._refuse_loss(reader, everything=everything)
        if everything or drawn != self.presentation.fingerprint:
            with store.writing() as writer:
                writer.mark_all()
                writer.set_state("drawn", self.presentation.fingerprint)
            pages_seq = -1
            self._drawn.clear()
        report = PublishReport()
        if self.presentation.pages:
            self._publish_pages(store, pages_seq, report, progress)
        self._publish_feeds(store, report)
        if everything:
            report.removed += self._remove_strangers(store)
        return report

    def behind(self, reader: Reader) -> bool:
        """Whether the store holds changes that were not published, or nothing, which shows no marks."""
        terms = reader.terms(ALL, CATEGORY)
        return not terms or any(term.due for term in terms)

    def glance(self, reader: Reader) -> list[str]:
        """Feeds that are due, missing or, of `all.atom`, different: what shows without drawing everything."""
        terms = [term for term in reader.terms(ALL, CATEGORY) if term.scheme == ALL or term.articles]
        path = {t.id: f"{names.ALL}.atom" if t.scheme == ALL else names.category_path(t.value, "atom") for t in terms}
        wrong = {path[term.id] for term in terms if term.due or self.tree.read(path[term.id]) is None}
        for files in self._feed_files(reader, [term for term in terms if term.scheme == ALL]):
            wrong.update(name for name, content in files.feed if not self.tree.holds(name, content))
        return sorted(wrong)

    def preview(self, reader: Reader) -> PublishReport:
        """What publishing would write, from a transaction that may never be committed."""
        report = PublishReport()
        for files in self._feed_files(reader, reader.terms(ALL, CATEGORY)):
            same = all(self.tree.read(path) == content for path, content in files.feed)
            report.written += not same
            report.unchanged += same
        return report

    def differences(self, store: Store) -> Iterator[str]:
        """Every path where the tree is not what the store would draw. Writes nothing."""
        with store.reading() as reader:
            expected = set()
            terms = reader.terms(ALL, CATEGORY)
            for files in self._feed_files(reader, terms):
                for path, content in (*files.feed, *files.pages):
                    expected.add(path)
                    if not self.tree.holds(path, content):
                        yield path
            for path, content in self._index_files(terms):
                expected.add(path)
                if not self.tree.holds(path, content):
                    yield path
            keys = set()
            for _, path, content in self._page_files(reader, (-1, 0)):
                keys.add(path.rpartition("/")[2])
                if not self.tree.holds(path, content):
                    yield path
        for name in sorted(self.tree.names(names.CATEGORY_FOLDER)):
            if f"{names.CATEGORY_FOLDER}/{name}" not in expected:
                yield f"{names.CATEGORY_FOLDER}/{name}"
        for name in sorted(self.tree.names(names.ARTICLE_FOLDER) - keys):
            yield f"{names.ARTICLE_FOLDER}/{name}"

    def _check_progress(self, reader: Reader) -> tuple[int, bool]:
        """How far article pages are published, and whether published files have gone missing."""
        pages_seq = int(reader.state("pages_seq") or -1)
        terms = reader.terms(ALL, CATEGORY)
        published = [term for term in terms if term.scheme == CATEGORY and term.articles and term.published_seq >= 0]
        if not any(term.published_seq >= 0 for term in terms):
            return pages_seq, False
        present = self.tree.names()
        if not {f"{names.ALL}.{format.extension}" for format in FORMATS} | {names.INDEX, names.OPML} <= present:
            return -1, True
        in_folder = self.tree.names(names.CATEGORY_FOLDER)
        if (
            not {f"{names.slug(term.value)}.{extension}" for term in published for extension in _EXTENSIONS}
            <= in_folder
        ):
            return -1, True
        lost_pages = self.presentation.pages and pages_seq >= 0 and not (self.tree.root / names.ARTICLE_FOLDER).is_dir()
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
        point = (pages_seq, _LAST_ID)
        while True:
            with store.reading() as reader, self.tree.batch() as batch:
                drawn = list(self._page_files(reader, point, _PAGES_PER_BATCH))
                report.pages += sum(batch.put(path, content) for _, path, content in drawn)
            if not drawn:
                break
            point = drawn[-1][0]
            progress(len(drawn))
            with store.writing() as writer:
                # Others may share the last sequence; they are not drawn yet.
                writer.set_state("pages_seq", str(point[0] - 1))
        if point[0] != pages_seq:
            with store.writing() as writer:
                writer.set_state("pages_seq", str(point[0]))

    def _publish_feeds(self, store: Store, report: PublishReport) -> None:
        with store.reading() as reader, self.tree.batch() as batch:
            terms = reader.terms(ALL, CATEGORY)
            due = [term for term in terms if term.due]
            feeds = 1 + sum(1 for term in terms if term.scheme == CATEGORY and term.articles)
            for files in self._feed_files(reader, due or ([] if terms else [_NOTHING])):
                changed = [batch.put(path, content) for path, content in files.feed]
                report.written += any(changed)
                for path, content in files.pages:
                    batch.put(path, content)
            for term in due:
                if term.scheme == CATEGORY and not term.articles:
                    for extension in _EXTENSIONS:
                        report.removed += batch.remove(names.category_path(term.value, extension))
            if due or not terms:
                for path, content in self._index_files(terms):
                    batch.put(path, content)
            report.unchanged = feeds - report.written
        if due:
            with store.writing() as writer:
                writer.mark_published({term.id: term.changed_seq for term in due})

    def _feed_files(self, reader: Reader, terms: list[Term]) -> Iterator[_FeedFiles]:
        """The feed of each term in every format, and its page."""
        labels = self._labels(reader)
        site, window = self.presentation.site, self.presentation.window
        for term in terms:
            if term.scheme == CATEGORY and not term.articles:
                continue
            places = select(
                reader.newest(term.id, window.min_entries),
                reader.latest(term.id, window.span, window.max_entries),
                window,
            )
            entries = self._entries(reader, places, labels)
            heads = [known for known, _ in entries]
            feed = self._feed(term, heads, complete=len(entries) == term.articles)
            stem = names.ALL if term.scheme == ALL else names.category_stem(term.value)
            files = _FeedFiles()
            for number, format in enumerate(FORMATS):
                document = format.draw_feed(feed, site, [drawn[number] for _, drawn in entries])
                files.feed.append((f"{stem}.{format.extension}", document))
            if term.scheme == CATEGORY:
                line = CategoryLine(term.value, self._label(term), term.articles)
                files.pages.append((f"{stem}.html", draw_category(site, line, heads[:_HTML_LIST])))
            yield files

    def _feed(self, term: Term, entries: list[Known], *, complete: bool = False) -> Feed:
        site = self.presentation.site
        if term.scheme == ALL:
            return feed_of_all(site, entries, complete=complete)
        return feed_of_category(site, term.value, self._label(term), entries, complete=complete)

    def _index_files(self, terms: list[Term]) -> Iterator[tuple[str, bytes]]:
        filled = [term for term in terms if term.scheme == CATEGORY and term.articles]
        filled.sort(key=lambda term: (self._label(term), term.value))
        lines = [CategoryLine(term.value, self._label(term), term.articles) for term in filled]
        yield names.INDEX, draw_index(self.presentation.site, lines)
        yield names.OPML, draw_opml(self.presentation.site, [self._feed(term, []) for term in (_NOTHING, *filled)])

    def _page_files(
        self, reader: Reader, after: tuple[int, int], limit: int = 0
    ) -> Iterator[tuple[tuple[int, int], str, bytes]]:
        """Article pages in the order of the change sequence, all of them or up to a limit, each with its point."""
        if not self.presentation.pages:
            return
        labels = self._labels(reader)
        while changed := reader.changed_entries(after, limit or _PAGES_PER_BATCH):
            for after, entry in changed:
                path = names.article_path(entry.known.article.key)
                yield after, path, draw_article(self.presentation.site, entry, labels)
            if limit:
                return

    def _entries(self, reader: Reader, places: list[Place], labels: dict[str, str]) -> list[_Drawn]:
        """The entries of these places, drawn now or before."""
        ids = [place.article_id for place in places]
        seqs = reader.seqs(ids)
        found = {i: drawn for i in ids if (drawn := self._drawn.get((i, seqs[i])))}
        for article_id, entry in reader.entries([i for i in ids if i not in found]):
            found[article_id] = entry.known, draw_entry(entry, self.presentation.site, labels)
            self._drawn.put((article_id, seqs[article_id]), found[article_id])
        return [found[i] for i in ids]

    def _labels(self, reader: Reader) -> dict[str, str]:
        return {term.value: self._label(term) for term in reader.terms(CATEGORY)}

    def _label(self, term: Term) -> str:
        return names.label(term.value, term.label, self.presentation.labels)

    def _remove_strangers(self, store: Store) -> int:
        """Remove files of feeds and articles that the store does not hold."""
        with store.reading() as reader, self.tree.batch() as batch:
            wanted = {
                names.category_path(term.value, extension)
                for term in reader.terms(CATEGORY)
                if term.articles
                for extension in _EXTENSIONS
            }
            if self.presentation.pages:
                wanted |= {names.article_path(key) for key in reader.published_keys()}
            present = {
                f"{folder}/{name}"
                for folder in (names.CATEGORY_FOLDER, names.ARTICLE_FOLDER)
                for name in self.tree.names(folder)
            }
            return sum(batch.remove(path) for path in sorted(present - wanted) if path.endswith(_EXTENSIONS))


_Drawn = tuple["Known", tuple[bytes, ...]]
"""An entry's facts and what it looks like in each format."""


@dataclass(slots=True)
class _FeedFiles:
    """Paths and contents of one feed: its formats, and its pages."""

    feed: list[tuple[str, bytes]] = field(default_factory=list)
    pages: list[tuple[str, bytes]] = field(default_factory=list)


class _EntryCache:
    """Drawn entries by article and sequence, the least recently used dropped beyond a number of bytes."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._entries: OrderedDict[tuple[int, int], _Drawn] = OrderedDict()

    def get(self, key: tuple[int, int]) -> _Drawn | None:
        drawn = self._entries.get(key)
        if drawn is not None:
            self._entries.move_to_end(key)
        return drawn

    def put(self, key: tuple[int, int], drawn: _Drawn) -> None:
        self._entries[key] = drawn
        self._held_bytes += sum(map(len, drawn[1]))
        while self._held_bytes > self._capacity_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._held_bytes -= sum(map(len, dropped[1]))

    def clear(self) -> None:
        self._entries.clear()
        self._held_bytes = 0
