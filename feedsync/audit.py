"""The tree held against the store: what is missing, lost or different. Writes nothing."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from feedsync.drawing import PAGE, Drawing, stem_of
from feedsync.errors import OutputError
from feedsync.feeds import FORMATS, LARGE_ALIASES, SCHEMES, SHEETS, names
from feedsync.model import ALL, CUSTOM, KEY_PATTERN
from feedsync.shares import PAGES_PER_SHARE, PublishReport
from feedsync.store import Custom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feedsync.drawing import File
    from feedsync.feeds import Presentation
    from feedsync.outputs import Tree
    from feedsync.store import Reader, Store, Term

FEED_FOLDERS = tuple(scheme.folder for scheme in SCHEMES.values())
_ARTICLES = f"{names.ARTICLE_FOLDER}/"
_PAGES = 5000
"""So many pages of articles are looked up at once."""

_FIXED = (*map(names.error_path, names.ERRORS), *SHEETS)
_WITHDRAWN = re.compile(rf"<(?:\w+:)?deleted-entry\b[^<>]*\bref=\"tag:[^<>\":]*:article/({KEY_PATTERN})\"".encode())
_SHOWN = re.compile(rf"<id>tag:[^<:]*:article/({KEY_PATTERN})</id>".encode())
_PAGE = re.compile(rf"({KEY_PATTERN})\.html")


class Audit:
    """Compares a tree with what a store would be drawn as."""

    def __init__(self, tree: Tree, presentation: Presentation) -> None:
        self._tree = tree
        self._presentation = presentation
        self._drawing = Drawing(presentation)  # from the store alone
        self._formats = presentation.site.formats
        self._schemes = tuple(scheme.name for scheme in presentation.schemes)

    def glance(self, reader: Reader) -> list[str]:
        """Feeds that are due, missing or, of `all`, different: what shows without drawing everything."""
        terms = [term for term in reader.terms(ALL, *self._schemes) if term.scheme == ALL or term.standing]
        path = {term.id: f"{stem_of(term)}.atom" for term in terms}
        wrong = {path[term.id] for term in terms if term.due or self._tree.read(path[term.id]) is None}
        for term in terms:
            if term.scheme == ALL:
                files = self._drawing.feed(reader, term)
                wrong.update(name for name, content in files if not self._tree.holds(name, content))
        return sorted(wrong)

    def preview(self, reader: Reader) -> PublishReport:
        """What publishing would write, from a transaction that may never be committed."""
        report = PublishReport()
        for term in reader.terms(ALL, *self._schemes):
            if files := self._drawing.feed(reader, term):
                same = all(self._tree.read(path) == content for path, content in files)
                report.written += not same
                report.unchanged += same
        return report

    def differences(self, store: Store) -> Iterator[str]:
        """Every path where the tree is not what the store would draw. Writes nothing."""
        expected: set[str] = set()
        with store.reading() as reader:
            yield from (SCHEMES[CUSTOM].path(name, "atom") for name in self.stale(reader))
            for path, content in self._everything(reader):
                if not path.startswith(_ARTICLES):  # of those there may be a million
                    expected.add(path)
                if not self._tree.holds(path, content):
                    yield path
            strangers = self.strangers(reader, expected)
        yield from (path for path, target in self.aliases() if not self._tree.has_alias(path, target))
        yield from strangers

    def refuse_loss(self, reader: Reader, *, everything: bool) -> None:
        """Raise OutputError when the tree tells of articles or withdrawals the store does not know: they were lost with
        its database, or another database was meant.
        """
        if returned := self.returned(reader):
            raise OutputError(
                f"the store does not know that {len(returned)} articles were withdrawn ({returned[0]}...), which "
                f"{self._tree.root} tells; everything was left as it is",
                remedy="`feedsync restore` a copy of the database that does, or `feedsync withdraw` them again; "
                "if they are meant to return, `feedsync publish --force`",
            )
        if lost := self.lost(reader, everything=everything):
            empty = not any(term.articles for term in reader.terms(ALL))
            what = "the store holds no article, but" if empty else "the store does not know all that is published:"
            raise OutputError(
                f"{what} {self._tree.root} shows {len(lost)} unknown to it ({lost[0]}...); "
                "everything was left as it is",
                remedy="`feedsync restore` a copy of the database, or bring back the sources that had them and resync; "
                "if the loss is meant, `feedsync publish --force`",
            )

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
            shown.update(key.decode("ascii") for key in _SHOWN.findall(self._tree.read(path) or b""))
        lost = shown - reader.existing(shown)
        pages = self._tree.each(names.ARTICLE_FOLDER) if everything and self._presentation.pages else iter(())
        while some := list(islice(pages, _PAGES)):
            keys = {match.group(1) for name in some if (match := _PAGE.fullmatch(name))}
            lost |= keys - reader.existing(keys)
        return sorted(lost)

    def returned(self, reader: Reader) -> list[str]:
        """The keys of articles that are published as withdrawn, where this store does not know that they ever were.

        Of a store that has published before, `all.atom` tells, and an article that changed since may have returned by
        somebody's word; of one that never did, the pages tell, too.
        """
        told = {key.decode("ascii") for key in _WITHDRAWN.findall(self._tree.read(f"{names.ALL}.atom") or b"")}
        if anew := not reader.state("drawn"):
            gone = (name for name in self._tree.each(names.ARTICLE_FOLDER) if name.endswith(names.GONE))
            told |= {match.group(1) for name in gone if (match := _PAGE.fullmatch(name.removesuffix(names.GONE)))}
        through = max((term.published_seq for term in reader.terms(ALL)), default=-1)
        return sorted(key for key, seq in reader.shown(told).items() if anew or seq <= through)

    def misses_files(self, reader: Reader) -> bool:
        """Whether published files have gone missing."""
        terms = reader.terms(ALL, *self._schemes)
        published = [term for term in terms if term.scheme != ALL and term.standing and term.published_seq >= 0]
        if not any(term.published_seq >= 0 for term in terms):
            return False
        front = {names.INDEX, names.OPML, *(f"{names.ALL}.{extension}" for extension in self._formats)}
        if not front <= self._tree.names() or not all((self._tree.root / path).is_file() for path in _FIXED):
            return True
        stems = [stem_of(term) for term in published]
        expected = {f"{stem}.{extension}" for stem in stems for extension in (*self._formats, PAGE)}
        if not expected <= self._in_folders():
            return True
        if not self._presentation.pages or pages_through(reader) < 0:
            return False
        folders = [names.ARTICLE_FOLDER, *(stem_of(term) for term in published if archived(term) and term.articles)]
        return not all((self._tree.root / folder).is_dir() for folder in folders)

    def stale(self, reader: Reader) -> list[str]:
        """The custom feeds that are not what the configuration says."""
        return Custom(reader.connection).stale(self._presentation.custom, self._presentation.site.timezone)

    def aliases(self) -> Iterator[tuple[str, str]]:
        """The links by which pages stand under `large/`, where there are such pages."""
        for path, target in LARGE_ALIASES.items():
            if path.endswith(names.INDEX) or (self._tree.root / target.removeprefix("../")).is_dir():
                yield path, target

    def strangers(self, reader: Reader, wanted: set[str]) -> list[str]:
        """Files of feeds and their archives that are not wanted, and pages of what is no article."""
        archives = [f"{folder}/{name}" for folder in FEED_FOLDERS for name in self._tree.folders(folder)]
        listed = self._in_folders() | {f"{folder}/{name}" for folder in archives for name in self._tree.names(folder)}
        found = list(listed - wanted)
        unasked = {f"{names.ALL}.{format.extension}" for format in FORMATS if format.extension not in self._formats}
        found += self._tree.names() & unasked
        pages = self._tree.each(names.ARTICLE_FOLDER)
        while some := list(islice(pages, _PAGES)):
            keys = {name: match.group(1) for name in some if (match := _PAGE.fullmatch(name.removesuffix(names.GONE)))}
            known = reader.pages(list(keys.values())) if self._presentation.pages else {}
            found += [
                _ARTICLES + name for name in some if known.get(keys.get(name, "")) is not name.endswith(names.GONE)
            ]
        return sorted(found)

    def _everything(self, reader: Reader) -> Iterator[File]:
        """Every file there ought to be."""
        terms = reader.terms(ALL, *self._schemes)
        for term in terms:
            yield from self._drawing.feed(reader, term)
            yield from self._drawing.first_page(reader, term)
            yield from self._drawing.gone(term)
        yield from self._drawing.front(reader)
        yield from self._drawing.fixed()
        if not self._presentation.pages:
            return
        for term in terms:
            if archived(term):
                archive = self._drawing.archive(reader, term)
                for page in archive.pages():
                    yield self._drawing.archive_page(reader, term, archive, page)
        point = (-1, 0)
        while changed := reader.changed_entries(point, PAGES_PER_SHARE):
            point = changed[-1][0]
            yield from self._drawing.articles(reader, [(at[1], entry) for at, entry in changed])[0]

    def _in_folders(self) -> set[str]:
        """The files of feeds."""
        return {f"{folder}/{name}" for folder in FEED_FOLDERS for name in self._tree.names(folder)}


def archived(term: Term) -> bool:
    """Whether older articles of a term have pages of their own."""
    return term.scheme != ALL and SCHEMES[term.scheme].archived


def pages_through(reader: Reader) -> int:
    """Up to which change article pages are published."""
    return int(reader.state("pages_seq") or -1)
