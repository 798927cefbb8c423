"""From the store to bytes: every path there is to be, and what stands there.

Reads, but writes nothing: publishing puts in place what this draws, checking compares with it.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from feedsync.archive import Archive
from feedsync.cache import EntryCache
from feedsync.feeds import (
    FORMATS,
    SCHEMES,
    SHEETS,
    Deleted,
    Feed,
    Line,
    Section,
    Shelf,
    Step,
    Stretch,
    TermLine,
    draw_archive,
    draw_article,
    draw_entry,
    draw_error,
    draw_index,
    draw_list,
    draw_listed,
    draw_opml,
    draw_outline,
    draw_section,
    draw_term,
    feed_of_all,
    feed_of_term,
    formats_of,
    line_of,
    names,
    select,
)
from feedsync.feeds.diff import Version, edits
from feedsync.model import ALL, CATEGORY, CUSTOM, Known
from feedsync.parse.clean import text_of
from feedsync.store import LEARNT, Spot, Term, filed
from feedsync.text import strip_illegal
from feedsync.values import Struct, field, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from feedsync.archive import Page
    from feedsync.feeds import Presentation
    from feedsync.former import Entries, Former
    from feedsync.model import Entry
    from feedsync.store import Reader, Stamp

_FIRST_PAGE = 50
_INDEX_TITLES = 3
_INDEX_NEWEST = 8
_INDEX_LARGEST = 30
_STRETCH = 100
EVERYTHING = Term(0, ALL, "", "", 0, 0, -1)
"""Stands for the feed of everything while there is nothing."""

PAGE = "html"
EXTENSIONS = (*(format.extension for format in FORMATS), PAGE)
"""Of the files a feed may have."""

File = tuple[str, bytes]
"""A path below the root and what stands there."""


class Drawing:
    """Draws a store as the options say. Keeps drawn entries from one call to the next."""

    def __init__(self, presentation: Presentation, former: Former | None = None) -> None:
        """What did not change is taken from the `former` version of a feed, where there is one."""
        self._site = presentation.site
        self._window = presentation.window
        self._configured = presentation.labels
        self._schemes = presentation.schemes
        self._pages = presentation.pages
        self._explain = presentation.explain
        self._search = presentation.search
        self._tombstones_within = timedelta(days=presentation.tombstone_days)
        self._zone = ZoneInfo(presentation.site.timezone)
        self._former = former
        self._drawn = EntryCache()
        self._front = _Front()

    def forget(self) -> None:
        """Draw everything anew from now on."""
        self._drawn.clear()
        self._front = _Front()

    def feed(self, reader: Reader, term: Term) -> list[File]:
        """The feed of a term in every format of the site; nothing for one that has none."""
        if term.scheme != ALL and not term.standing:
            return []
        window = self._window
        places = select(
            reader.newest(term.id, window.min_entries, by_revision=window.reannounce_revisions),
            reader.latest(term.id, window.span, window.max_entries, by_revision=window.reannounce_revisions),
            window,
        )
        stamps = reader.stamps(place.article_id for place in places)
        entries = self._entries(reader, term, stamps)
        drawn = [entries[place.article_id] for place in places]
        feed = self._feed(term, [one.updated for one in stamps.values()], complete=len(places) == term.articles)
        feed = replace(feed, deleted=self._deleted(reader, term))
        stem = stem_of(term)
        return [
            (f"{stem}.{format.extension}", format.draw_feed(feed, self._site, [one[number] for one in drawn]))
            for number, format in enumerate(formats_of(self._site))
        ]

    def gone(self, term: Term) -> list[File]:
        """What says of a custom feed that it is no more; of others it is not known whether they come again."""
        if term.scheme != CUSTOM or term.standing:
            return []
        return [(names.gone_path(f"{stem_of(term)}.{extension}"), b"") for extension in EXTENSIONS]

    def first_page(self, reader: Reader, term: Term) -> list[File]:
        """The page of a term: its newest articles, and the way to the others where they have pages."""
        if term.scheme == ALL or not term.standing:
            return []
        places = reader.newest(term.id, _FIRST_PAGE + 1)
        lines = self._lines(reader, [place.article_id for place in places[:_FIRST_PAGE]])
        archived = SCHEMES[term.scheme].archived
        archive = self.archive(reader, term)
        older = ""
        if archived and len(places) > _FIRST_PAGE:
            rest = places[_FIRST_PAGE]
            older = archive.path(archive.page_of(Spot(rest.article_id, rest.published)))
        years = [(year, archive.path((year, 1))) for year in archive.years()] if archived and self._pages else []
        page = draw_term(self._site, self._line(term, lines), older, years, pages=self._pages)
        return [(f"{stem_of(term)}.html", page)]

    def archive(self, reader: Reader, term: Term) -> Archive:
        return Archive(reader, term, self._zone)

    def archive_page(self, reader: Reader, term: Term, archive: Archive, page: Page) -> File:
        """A page of older articles of a category."""
        year, number = page
        newer, older = archive.path(archive.newer(page)), archive.path(archive.older(page))
        stretch = Stretch(year, number, self._lines(reader, archive.ids(page)), newer, older)
        return archive.path(page), draw_archive(self._site, self._line(term), stretch)

    def front(self, reader: Reader, step: Callable[[], None] = lambda: None) -> Iterator[File]:
        """The index, the lists of each scheme and of all. Only what changed since the last call is drawn anew.

        `step` is called now and then, and may raise; the next call draws all of it then.
        """
        front, self._front = self._front, _Front()
        changed = reader.changed_terms(front.seq, *(scheme.name for scheme in self._schemes))
        renewed = set()
        for start in range(0, len(changed), _STRETCH):
            step()
            some = changed[start : start + _STRETCH]
            self._renew_sections(reader, front, [term for term in some if SCHEMES[term.scheme].archived])
            renewed |= {term.scheme for term in some if self._relist(front, term)}
        front.seq = max((term.changed_seq for term in changed), default=front.seq)
        self._front = front
        yield names.INDEX, self._index(reader)
        for scheme in self._schemes:
            listed = front.listed[scheme.name]
            if scheme.name in renewed:
                lines = [one.line for one in sorted(listed.values(), key=_NAMED)]
                front.lists[scheme.name] = draw_list(self._site, scheme, lines)
            if listed and not scheme.archived:
                yield scheme.list_path, front.lists[scheme.name]
        if renewed or not front.opml:
            groups = [
                (scheme.heading, [one.outline for one in sorted(front.listed[scheme.name].values(), key=_NAMED)])
                for scheme in self._schemes
                if front.listed[scheme.name]
            ]
            front.opml = draw_opml(self._site, draw_outline(feed_of_all(self._site)), groups)
        yield names.OPML, front.opml

    def _relist(self, front: _Front, term: Term) -> bool:
        """Bring the list of a scheme's feeds up to date; whether this one came, went or is called otherwise."""
        listed = front.listed[term.scheme]
        if not term.standing:
            return listed.pop(term.id, None) is not None
        known = listed.get(term.id)
        if known and known.label == self.label(term):
            return False
        line = replace(self._line(term), articles=0)
        outline = draw_outline(feed_of_term(self._site, SCHEMES[term.scheme], line.value, line.label))
        listed[term.id] = _Listed(line.label, line.value, draw_listed(self._site, line), outline)
        return True

    def _renew_sections(self, reader: Reader, front: _Front, changed: Sequence[Term]) -> None:
        """The parts of the index that show categories with their newest articles."""
        sections = front.sections
        newest = reader.newest_of_each([term.id for term in changed if term.standing], _INDEX_TITLES)
        wanted = sorted({article_id for ids in newest.values() for article_id in ids})
        shown = dict(zip(wanted, self._lines(reader, wanted), strict=True))
        for term in changed:
            sections.pop(term.id, None)
            if term.standing:
                category = self._line(term, tuple(shown[i] for i in newest[term.id]))
                sections[term.id] = (category.label, category.value), draw_section(self._site, category)

    def _index(self, reader: Reader) -> bytes:
        """All categories; of the others the largest, and the way to the rest."""
        sections = [section for _, section in sorted(self._front.sections.values(), key=itemgetter(0))]
        everything = [term.id for term in reader.terms(ALL)]
        top = [i for ids in reader.newest_of_each(everything, _INDEX_NEWEST).values() for i in ids]
        shelves = [
            Shelf(scheme, feeds, tuple(self._line(term) for term in reader.largest(scheme.name, _INDEX_LARGEST)))
            for scheme in self._schemes
            if not scheme.archived and (feeds := len(self._front.listed[scheme.name]))
        ]
        return draw_index(self._site, sections, self._lines(reader, top), shelves, search=self._search)

    def vacant(self) -> Iterator[str]:
        """Where no list of a scheme stands by the last front: there is no feed of it."""
        for scheme in self._schemes:
            if not scheme.archived and not self._front.listed[scheme.name]:
                yield scheme.list_path

    @property
    def feeds(self) -> int:
        """How many feeds there are by the last front."""
        return 1 + sum(len(listed) for listed in self._front.listed.values())

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
        terms = self._terms(reader, (entry.known for _, entry in entries))
        labels = self._labels(terms, (entry.known for _, entry in entries))
        members: defaultdict[int, list[int]] = defaultdict(list)
        for article_id, entry in entries:
            for category in entry.known.article.categories:
                members[terms[CATEGORY, category.term].id].append(article_id)
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
                term = terms[CATEGORY, category.term]
                newer, older = beside.get((article_id, term.id), (None, None))
                if newer is not None or older is not None:
                    steps.append(Step(self._line(term), _line(lines, newer), _line(lines, older)))
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
        """What people read: what is configured for a category, else what articles suggest, else the value."""
        if term.scheme == CATEGORY:
            return names.label(term.value, term.label, self._configured)
        return names.tag_label(strip_illegal(term.label or term.value))

    def labels(self, reader: Reader, known: Sequence[Known]) -> dict[tuple[str, str], str]:
        """What people read for everything these articles are filed under that has feeds."""
        return self._labels(self._terms(reader, known), known)

    def _terms(self, reader: Reader, known: Iterable[Known]) -> dict[tuple[str, str], Term]:
        """Of what these articles are filed under, that of which only the store knows the label."""
        wanted = {place for one in known for place in filed(one)}
        return {
            (scheme.name, value): term
            for scheme in self._schemes
            if scheme.name in LEARNT
            for value, term in reader.named_terms(scheme.name, (v for s, v in wanted if s == scheme.name)).items()
        }

    def _labels(self, terms: Mapping[tuple[str, str], Term], known: Iterable[Known]) -> dict[tuple[str, str], str]:
        published = {scheme.name for scheme in self._schemes}
        labels = {(s, v): names.tag_label(v) for one in known for s, v in filed(one) if s in published}
        return labels | {place: self.label(term) for place, term in terms.items()}

    def _feed(self, term: Term, updates: Iterable[datetime], *, complete: bool) -> Feed:
        if term.scheme == ALL:
            return feed_of_all(self._site, updates, complete=complete)
        scheme = SCHEMES[term.scheme]
        return feed_of_term(self._site, scheme, term.value, self.label(term), updates, complete=complete)

    def _line(self, term: Term, lines: tuple[Line, ...] = ()) -> TermLine:
        return TermLine(SCHEMES[term.scheme], term.value, self.label(term), term.articles, lines)

    def _lines(self, reader: Reader, ids: Sequence[int]) -> tuple[Line, ...]:
        heads = reader.heads(ids)
        return tuple(line_of(heads[i], self._site, pages=self._pages) for i in ids)

    def _entries(self, reader: Reader, term: Term, stamps: Mapping[int, Stamp]) -> Entries:
        """The entries of these articles in the feed of a term, drawn now or before."""
        former = self._former.entries(term, stem_of(term)) if self._former else {}
        # Whatever of an article changes, changes its feeds: what changed since this one was published has a later seq.
        found = {i: former[i] for i, one in stamps.items() if one.seq <= term.published_seq and i in former}
        for i in stamps.keys() - found.keys():
            if drawn := self._drawn.get((i, stamps[i].seq)):
                found[i] = drawn
        entries = list(reader.entries(sorted(stamps.keys() - found.keys())))
        labels = self.labels(reader, [entry.known for _, entry in entries])
        for i, entry in entries:
            found[i] = drawn = draw_entry(entry, self._site, labels)
            self._drawn.put((i, stamps[i].seq), drawn)
        return found


class _Listed(Struct, frozen=True):
    """A feed in the list of its scheme and in the list of all."""

    label: str
    value: str
    line: str
    outline: str


_NAMED = attrgetter("label", "value")


class _Front(Struct):
    """The parts of the index and of the lists of feeds, as they were up to a change of the store."""

    seq: int = -1
    sections: dict[int, tuple[tuple[str, str], Section]] = field(default_factory=dict)
    """Of each category by its term: label and value, and what the index shows of it."""

    listed: defaultdict[str, dict[int, _Listed]] = field(default_factory=lambda: defaultdict(dict))
    """Of each scheme its feeds by their terms."""

    lists: dict[str, bytes] = field(default_factory=dict)
    opml: bytes = b""


def stem_of(term: Term) -> str:
    """The path of a feed without the extension that names a format."""
    return names.ALL if term.scheme == ALL else SCHEMES[term.scheme].stem(term.value)


def instead(path: str) -> str:
    """What stands where an article's page does not, and the other way round."""
    return path.removesuffix(names.GONE) if path.endswith(names.GONE) else names.gone_path(path)


def _line(lines: dict[int, Line], article_id: int | None) -> Line | None:
    return None if article_id is None else lines[article_id]
