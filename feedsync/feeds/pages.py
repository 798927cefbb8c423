"""Pages for people: the index, categories and their archive, articles, and what to show for what is not there.

Links inside the site are relative, so the same bytes serve under `/` and, with another style sheet, under
`/large/`, and whoever reads there stays there (docs/decisions/0008-large-text.md). Error pages may stand at any
depth: theirs are absolute.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from feedsync.feeds import names
from feedsync.feeds.feed import content_of, feed_of_all, feed_of_term, outlet_of, title_of
from feedsync.feeds.formats import formats_of
from feedsync.feeds.schemes import SCHEMES
from feedsync.feeds.style import STYLE
from feedsync.model import CATEGORY, OUTLET, SYMBOL, TAG
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from jinja2 import Environment

    from feedsync.feeds.diff import Edit
    from feedsync.feeds.feed import Feed, Labels
    from feedsync.feeds.schemes import Scheme
    from feedsync.model import Article, Entry, Known, Origin, Site

_WEEKDAYS = "一二三四五六日"
_HEADING = re.compile(r"<(/?)h([1-6])>")


class Line(Struct, frozen=True):
    """An article as lists show it. `path` is below the root, or absolute; "" when it has no page anywhere."""

    path: str
    title: str
    outlet: str
    at: datetime
    exact: bool

    @property
    def local(self) -> bool:
        return self.path.startswith(names.ARTICLE_FOLDER)


class TermLine(Struct, frozen=True):
    """A category, an outlet, a symbol or a tag as pages show it."""

    scheme: Scheme
    value: str
    label: str
    articles: int = 0
    newest: tuple[Line, ...] = ()

    @property
    def stem(self) -> str:
        """Its path without the extension that names a format."""
        return self.scheme.stem(self.value)

    @property
    def slug(self) -> str:
        return self.scheme.slug(self.value)

    @property
    def title(self) -> str:
        return self.scheme.title(self.value, self.label)

    @property
    def name(self) -> str:
        """What it is called below the heading of its scheme: a symbol still has its code, for names are not unique."""
        return self.title if self.scheme.name == SYMBOL else self.label


class Section(Struct, frozen=True):
    """A category on the index: in its head, and in its body."""

    link: str
    body: str


class Shelf(Struct, frozen=True):
    """The feeds of a scheme on the index: the largest, and how many there are."""

    scheme: Scheme
    feeds: int
    largest: tuple[TermLine, ...]


class Step(Struct, frozen=True):
    """From an article to its neighbours in a category."""

    category: TermLine
    newer: Line | None
    older: Line | None


class Stretch(Struct, frozen=True):
    """A page of the archive of a category: the `number`th of a year, counted from the oldest."""

    year: int
    number: int
    lines: tuple[Line, ...]
    newer: str
    older: str


class HitLine(Struct, frozen=True):
    """An article that was found: its title and a part of its text, each in pieces (text, whether it is a hit)."""

    line: Line
    title: Sequence[tuple[str, bool]]
    text: Sequence[tuple[str, bool]]


def line_of(known: Known, site: Site, *, pages: bool) -> Line:
    """An article in a list. Without pages of our own it leads to where it came from."""
    article = known.article
    path = names.article_path(article.key) if pages else next(iter(article.urls), "")
    outlet = outlet_of(article, site) if article.credit else ""
    return Line(path, title_of(article), outlet, known.published, article.published.exact)


def draw_index(
    site: Site,
    sections: Sequence[Section],
    newest: Sequence[Line],
    shelves: Sequence[Shelf] = (),
    *,
    search: bool = True,
) -> bytes:
    """All categories as `draw_section` made them, what else there is, and with `search` a form for that."""
    return _draw(
        "index.html",
        site,
        names.INDEX,
        feed=feed_of_all(site),
        links="".join([section.link for section in sections]),
        sections="".join([section.body for section in sections]),
        newest=newest,
        shelves=shelves,
        search=search,
    )


def draw_list(site: Site, scheme: Scheme, listed: Iterable[str]) -> bytes:
    """All feeds of a scheme as `draw_listed` made them."""
    return _draw("list.html", site, scheme.list_path, scheme=scheme, listed="".join(listed))


def draw_listed(site: Site, term: TermLine) -> str:
    """A feed in the list of its scheme. Without a number: the list changes when a feed comes or goes."""
    macros: Any = _templates().get_template("section.html").module
    return str(macros.listed(site, term, names.url(site, ""), ""))


def draw_section(site: Site, category: TermLine) -> Section:
    """A category as the index shows it, with its newest titles."""
    macros: Any = _templates().get_template("section.html").module
    return Section(str(macros.link(site, category)), str(macros.section(site, category)))


def draw_term(site: Site, term: TermLine, older: str, years: Sequence[tuple[int, str]], *, pages: bool = True) -> bytes:
    """The newest articles of a term, its feeds, and the way to the older ones where there are pages of them."""
    return _draw(
        "term.html",
        site,
        f"{term.stem}.html",
        term=term,
        feed=feed_of_term(site, term.scheme, term.value, term.label),
        older=older,
        years=years,
        archived=pages,
    )


def draw_archive(site: Site, category: TermLine, stretch: Stretch) -> bytes:
    """A page of older articles."""
    return _draw(
        "archive.html",
        site,
        names.archive_path(category.stem, stretch.year, stretch.number),
        category=category,
        feed=feed_of_term(site, category.scheme, category.value, category.label),
        stretch=stretch,
    )


def draw_article(
    site: Site,
    entry: Entry,
    labels: Labels,
    steps: Sequence[Step] = (),
    edits: Sequence[Edit] = (),
    origins: Sequence[Origin] | None = None,
) -> bytes:
    """One article; the address of this page is permanent. It leads to all pages for which there are `labels`.

    `edits` are its revisions, newest first; `origins` the documents it came from, if it is to say.
    """
    known, article = entry.known, entry.known.article
    return _draw(
        "article.html",
        site,
        names.article_path(article.key),
        line=line_of(known, site, pages=True),
        known=known,
        article=article,
        text=_for_pages(content_of(entry)),
        outlet=_term_line(OUTLET, article.credit.outlet, labels) if article.credit else None,
        filed=_filed(article, labels),
        steps=steps,
        edits=edits,
        origins=origins,
    )


def _filed(article: Article, labels: Labels) -> list[tuple[str, list[TermLine]]]:
    """What an article is filed under, by the headings people read."""
    said = {
        CATEGORY: [c.term for c in article.categories],
        SYMBOL: [s.value for s in article.symbols],
        TAG: article.tags,
    }
    groups = [
        (SCHEMES[name].heading, [line for value in values if (line := _term_line(name, value, labels))])
        for name, values in said.items()
    ]
    return [(heading, lines) for heading, lines in groups if lines]


def _term_line(name: str, value: str, labels: Labels) -> TermLine | None:
    """What leads to the page of a term; nothing where it has none."""
    label = labels.get((name, value), value if name == CATEGORY else None)
    return TermLine(SCHEMES[name], value, label) if label else None


def draw_error(site: Site, status: int) -> bytes:
    """What a server shows for a path that is not there (404) or a method it does not know (405)."""
    root = names.url(site, "")
    return _draw("error.html", site, f"{status}.html", root=root, status=status, feed=feed_of_all(site))


def draw_search(
    site: Site,
    query: str,
    feed: Feed | None = None,
    hits: Sequence[HitLine] = (),
    *,
    more: bool = False,
    complete: bool = True,
    fault: str = "",
) -> bytes:
    """The form, and what a query found, or why it means nothing. `feed` is that of the query."""
    return _draw(
        "search.html",
        site,
        names.SEARCH,
        query=query,
        feed=feed,
        hits=hits,
        more=more,
        complete=complete,
        fault=fault,
    )


def _for_pages(html: str) -> str:
    """Images load when they come into view and tell nobody where, wide tables scroll by keyboard too, headings
    follow the title without a gap.

    What is put in has no quotes, so it means nothing where the pattern stands inside an attribute.
    """
    html = html.replace("<img ", "<img loading=lazy decoding=async referrerpolicy=no-referrer ")
    if "<table>" in html:
        html = html.replace("<table>", "<div class=wide role=group aria-label=表格 tabindex=0><table>")
        html = html.replace("</table>", "</table></div>")
    return _graded(html) if "<h" in html and _HEADING.search(html) else html


def _graded(html: str) -> str:
    """Headings below that of the page, none more than one level below the one before."""
    ranks = {level: rank for rank, level in enumerate(sorted({level for _, level in _HEADING.findall(html)}), 2)}
    current = 1

    def grade(match: re.Match[str]) -> str:
        nonlocal current
        closing, level = match.groups()
        if not closing:
            current = min(ranks[level], current + 1)
        return f"<{closing}h{max(2, current)}>"

    return _HEADING.sub(grade, html)


def prepare_to_draw() -> None:
    """Import and compile what the first feeds and pages of a process would have to wait for: a tenth of a second."""
    import feedsync.feeds.atom  # noqa: F401

    for template in ("article.html", "archive.html", "term.html"):
        _templates().get_template(template)


def _draw(template: str, site: Site, path: str, *, root: str | None = None, **values: object) -> bytes:
    url = names.url(site, "" if path == names.INDEX else path)
    root = "../" * path.count("/") if root is None else root
    page = _templates().get_template(template).render(_of(site), path=path, url=url, root=root, **values)
    return page.encode("utf-8", "replace")


@lru_cache(maxsize=1)
def _of(site: Site) -> dict[str, Any]:
    """What all pages of a site have at hand."""
    zone = ZoneInfo(site.timezone)

    def days(lines: Iterable[Line]) -> list[tuple[str, str, list[Line]]]:
        grouped = groupby(lines, key=lambda line: line.at.astimezone(zone).date())
        return [(day.isoformat(), _day(day, weekday=True), list(those)) for day, those in grouped]

    return {
        "site": site,
        "formats": formats_of(site),
        "home": urlsplit(names.url(site, "")).path,
        "days": days,
        "stamp": lambda at, exact=True: _stamp(at.astimezone(zone), exact),
        "told": lambda at, exact=True: _told(at.astimezone(zone), exact),
        "clock": lambda at: at.astimezone(zone).strftime("%H:%M"),
    }


def _stamp(local: datetime, exact: bool) -> str:
    """For machines: the second, or the day when no more is known."""
    return local.isoformat(timespec="seconds") if exact else local.date().isoformat()


def _told(local: datetime, exact: bool) -> str:
    return f"{_day(local)} {local:%H:%M}" if exact else _day(local)


def _day(day: datetime, *, weekday: bool = False) -> str:
    return f"{day.year}年{day.month}月{day.day}日" + (f" 星期{_WEEKDAYS[day.weekday()]}" if weekday else "")


@lru_cache(maxsize=1)
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # most commands draw nothing

    templates = Environment(
        loader=PackageLoader("feedsync.feeds"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.globals["style"] = STYLE
    return templates
