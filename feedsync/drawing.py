"""From the store to bytes: every path there is to be, and what stands there.

Reads, but writes nothing: publishing puts in place what this draws, checking compares with it.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field, replace
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from feedsync.archive import Archive
from feedsync.feeds import (
    FORMATS,
    SHEETS,
    CategoryLine,
    Deleted,
    Feed,
    Line,
    Section,
    Step,
    Stretch,
    draw_archive,
    draw_article,
    draw_category,
    draw_entry,
    draw_error,
    draw_index,
    draw_opml,
    draw_section,
    feed_of_all,
    feed_of_category,
    line_of,
    names,
    select,
)
from feedsync.feeds.diff import Version, edits
from feedsync.model import Known
from feedsync.parse.clean import text_of
from feedsync.store import ALL, CATEGORY, Spot, Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from feedsync.archive import Page
    from feedsync.feeds import Presentation
    from feedsync.model import Entry, Place
    from feedsync.store import Reader

_CACHE_BYTES = 24_000_000
_FIRST_PAGE = 50
_INDEX_TITLES = 3
_INDEX_NEWEST = 8
EVERYTHING = Term(0, ALL, "", "", 0, 0, -1)
"""Stands for the feed of everything while there is nothing."""

File = tuple[str, bytes]
"""A path below the root and what stands there."""


class Drawing:
    """Draws a store as the options say. Keeps drawn entries from one call to the next."""

    def __init__(self, presentation: Presentation) -> None:
        self._site = presentation.site
        self._window = presentation.window
        self._configured = presentation.labels
        self._pages = presentation.pages
        self._explain = presentation.explain
        self._search = presentation.search
        self._tombstones_within = timedelta(days=presentation.tombstone_days)
        self._zone = ZoneInfo(presentation.site.timezone)
        self._drawn = _EntryCache(_CACHE_BYTES)
        self._front = _Front()

    def forget(self) -> None:
        """Draw everything anew from now on."""
        self._drawn.clear()
        self._front = _Front()

    def feed(self, reader: Reader, term: Term) -> list[File]:
        """The feed of a term in every format; nothing for a category that has none."""
        if term.scheme == CATEGORY and not term.standing:
            return []
        window = self._window
        places = select(
            reader.newest(term.id, window.min_entries, by_revision=window.reannounce_revisions),
            reader.latest(term.id, window.span, window.max_entries, by_revision=window.reannounce_revisions),
            window,
        )
        entries = self._entries(reader, places)
        feed = self._feed(term, [known for known, _ in entries], complete=len(entries) == term.articles)
        feed = replace(feed, deleted=self._deleted(reader, term))
        stem = names.ALL if term.scheme == ALL else names.category_stem(term.value)
        return [
            (f"{stem}.{format.extension}", format.draw_feed(feed, self._site, [drawn[number] for _, drawn in entries]))
            for number, format in enumerate(FORMATS)
        ]

    def first_page(self, reader: Reader, term: Term) -> list[File]:
        """The page of a category: its newest articles, and the way to the others."""
        if term.scheme != CATEGORY or not term.standing:
            return []
        places = reader.newest(term.id, _FIRST_PAGE + 1)
        lines = self._lines(reader, [place.article_id for place in places[:_FIRST_PAGE]])
        archive = self.archive(reader, term)
        older = ""
        if len(places) > _FIRST_PAGE:
            rest = places[_FIRST_PAGE]
            older = archive.path(archive.page_of(Spot(rest.article_id, rest.published)))
        years = [(year, archive.path((year, 1))) for year in archive.years()] if self._pages else []
        page = draw_category(self._site, self._category(term, lines), older, years, pages=self._pages)
        return [(names.category_path(term.value, "html"), page)]

    def archive(self, reader: Reader, term: Term) -> Archive:
        return Archive(reader, term, self._zone)

    def archive_page(self, reader: Reader, term: Term, archive: Archive, page: Page) -> File:
        """A page of older articles of a category."""
        year, number = page
        newer, older = archive.path(archive.newer(page)), archive.path(archive.older(page))
        stretch = Stretch(year, number, self._lines(reader, archive.ids(page)), newer, older)
        return archive.path(page), draw_archive(self._site, self._category(term), stretch)

    def front(self, reader: Reader) -> Iterator[File]:
        """The index and the list of feeds. Of both, only what changed since the last call is drawn anew."""
        front = self._front
        changed = reader.changed_terms(CATEGORY, front.seq)
        newest = reader.newest_of_each([term.id for term in changed if term.standing], _INDEX_TITLES)
        wanted = sorted({article_id for ids in newest.values() for article_id in ids})
        shown = dict(zip(wanted, self._lines(reader, wanted), strict=True))
        for term in changed:
            front.seq = max(front.seq, term.changed_seq)
            front.sections.pop(term.id, None)
            if term.standing:
                category = self._category(term, tuple(shown[i] for i in newest[term.id]))
                front.sections[term.id] = (category.label, category.value), draw_section(self._site, category)
        sections = sorted(front.sections.values(), key=itemgetter(0))
        everything = [term.id for term in reader.terms(ALL)]
        top = [i for ids in reader.newest_of_each(everything, _INDEX_NEWEST).values() for i in ids]
        yield (
            names.INDEX,
            draw_index(self._site, [drawn for _, drawn in sections], self._lines(reader, top), search=self._search),
        )
        listed = [named for named, _ in sections]
        if listed != front.listed:
            feeds = [feed_of_category(self._site, value, label, ()) for label, value in listed]
            front.listed, front.opml = listed, draw_opml(self._site, [feed_of_all(self._site, ()), *feeds])
        yield names.OPML, front.opml

    def fixed(self) -> Iterator[File]:
        """What no article takes part in: pages for errors, style sheets."""
        for status in names.ERRORS:
            yield names.error_path(status), draw_error(self._site, status)
        yield from SHEETS.items()

    def articles(self, reader: Reader, entries: Sequence[tuple[int, Entry]]) -> tuple[list[File], set[int]]:
        """The pages of these articles, and the ids of the articles beside them.

        Where the page of a withdrawn one stood, an empty file says so; see `instead`.
        """
        files = [
            (names.gone_path(names.article_path(entry.known.article.key)), b"")
            for _, entry in entries
            if entry.known.withdrawal
        ]
        entries = [(article_id, entry) for article_id, entry in entries if not entry.known.withdrawal]
        terms = _filed(reader, entries)
        labels = {value: self.label(term) for value, term in terms.items()}
        members: defaultdict[int, list[int]] = defaultdict(list)
        for article_id, entry in entries:
            for category in entry.known.article.categories:
                members[terms[category.term].id].append(article_id)
        beside = {(b.article_id, b.term_id): (b.newer, b.older) for b in reader.beside(members)}
        neighbours = {i for pair in beside.values() for i in pair if i is not None}
        known = {article_id: entry.known for article_id, entry in entries}
        known |= reader.heads(sorted(neighbours - known.keys()))
        lines = {i: line_of(known[i], self._site, pages=True) for i in neighbours}
        revised = [entry.known.article.key for _, entry in entries if entry.known.revised]
        told = {
            key: edits([Version(one.at, one.title, text_of(one.html)) for one in found])
            for key, found in reader.revised(revised).items()
        }
        for article_id, entry in entries:
            article = entry.known.article
            steps = []
            for category in article.categories:
                term = terms[category.term]
                newer, older = beside.get((article_id, term.id), (None, None))
                if newer is not None or older is not None:
                    steps.append(Step(self._category(term), _line(lines, newer), _line(lines, older)))
            origins = sorted(reader.readings(article.key)) if self._explain else None
            page = draw_article(self._site, entry, labels, steps, told.get(article.key, ()), origins)
            files.append((names.article_path(article.key), page))
        return files, neighbours

    def _deleted(self, reader: Reader, term: Term) -> tuple[Deleted, ...]:
        if not term.told:
            return ()
        told = reader.tombstones(term.id, self._tombstones_within, self._window.max_entries)
        return tuple(Deleted(names.article_id(self._site, stone.key), stone.at, stone.reason) for stone in told)

    def label(self, term: Term) -> str:
        return names.label(term.value, term.label, self._configured)

    def _feed(self, term: Term, entries: list[Known], *, complete: bool = False) -> Feed:
        if term.scheme == ALL:
            return feed_of_all(self._site, entries, complete=complete)
        return feed_of_category(self._site, term.value, self.label(term), entries, complete=complete)

    def _category(self, term: Term, lines: tuple[Line, ...] = ()) -> CategoryLine:
        return CategoryLine(term.value, self.label(term), term.articles, lines)

    def _lines(self, reader: Reader, ids: Sequence[int]) -> tuple[Line, ...]:
        heads = reader.heads(ids)
        return tuple(line_of(heads[i], self._site, pages=self._pages) for i in ids)

    def _entries(self, reader: Reader, places: Iterable[Place]) -> list[_Drawn]:
        """The entries of these places, drawn now or before."""
        ids = [place.article_id for place in places]
        seqs = reader.seqs(ids)
        found = {i: drawn for i in ids if (drawn := self._drawn.get((i, seqs[i])))}
        missing = [i for i in ids if i not in found]
        entries = list(reader.entries(missing))
        labels = {value: self.label(term) for value, term in _filed(reader, entries).items()}
        for article_id, entry in entries:
            found[article_id] = entry.known, draw_entry(entry, self._site, labels)
            self._drawn.put((article_id, seqs[article_id]), found[article_id])
        return [found[i] for i in ids]


_Drawn = tuple[Known, tuple[bytes, ...]]
"""An entry's facts and what it looks like in each format."""


@dataclass(slots=True)
class _Front:
    """The parts of the index and the list of feeds, as they were up to a change of the store."""

    seq: int = -1
    sections: dict[int, tuple[tuple[str, str], Section]] = field(default_factory=dict)
    """Of each category by its term: label and value, and what the index shows of it."""

    listed: list[tuple[str, str]] | None = None
    opml: bytes = b""


def _filed(reader: Reader, entries: Iterable[tuple[int, Entry]]) -> dict[str, Term]:
    """The categories of these articles by value."""
    return reader.named_terms(CATEGORY, (c.term for _, entry in entries for c in entry.known.article.categories))


def instead(path: str) -> str:
    """What stands where an article's page does not, and the other way round."""
    return path.removesuffix(names.GONE) if path.endswith(names.GONE) else names.gone_path(path)


def _line(lines: dict[int, Line], article_id: int | None) -> Line | None:
    return None if article_id is None else lines[article_id]


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
