"""Pages for people: the index, one per category, one per article."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from feedsync.feeds import names
from feedsync.feeds.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from feedsync.model import Entry, Known, Site

_TEMPLATES = Environment(
    loader=PackageLoader("feedsync.feeds"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class CategoryLine:
    """A category as the index lists it."""

    value: str
    label: str
    articles: int

    @property
    def slug(self) -> str:
        return names.slug(self.value)


def draw_index(site: Site, categories: Sequence[CategoryLine]) -> bytes:
    """All feeds, for people, with autodiscovery."""
    return _draw("index.html", site, categories=categories, atom=names.url(site, f"{names.ALL}.atom"))


def draw_category(site: Site, category: CategoryLine, newest: Sequence[Known]) -> bytes:
    """The newest articles of a category, and its feed."""
    atom = names.url(site, names.category_path(category.value, "atom"))
    return _draw("category.html", site, category=category, newest=newest, atom=atom)


def draw_article(site: Site, entry: Entry, labels: Mapping[str, str]) -> bytes:
    """One article; the address of this page is permanent."""
    article = entry.known.article
    categories = [CategoryLine(c.term, labels.get(c.term, c.term), 0) for c in article.categories]
    return _draw("article.html", site, entry=entry, article=article, categories=categories)


@dataclass(frozen=True, slots=True)
class HitLine:
    """An article as the page of a search lists it: its title and a part of its text, each in pieces (text, hit)."""

    known: Known
    title: Sequence[tuple[str, bool]]
    text: Sequence[tuple[str, bool]]


def draw_search(
    site: Site,
    query: str,
    hits: Sequence[HitLine],
    *,
    feeds: Mapping[str, str],
    more: bool = False,
    complete: bool = True,
    fault: str = "",
    remedy: str = "",
) -> bytes:
    """The form, and what a query found or why it means nothing. `feeds`: the name and URL of each format."""
    return _draw(
        "search.html",
        site,
        query=query,
        hits=hits,
        feeds=feeds,
        more=more,
        complete=complete,
        fault=fault,
        remedy=remedy,
        media_types={format.name: format.media_type for format in FORMATS},
    )


def _draw(template: str, site: Site, **values: object) -> bytes:
    zone = ZoneInfo(site.timezone)

    def local(moment: datetime) -> str:
        return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")

    return _TEMPLATES.get_template(template).render(site=site, local=local, **values).encode("utf-8", "replace")
