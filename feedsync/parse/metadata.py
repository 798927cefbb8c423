"""What an HTML page says of itself: JSON-LD, OpenGraph, meta elements, `<time>`, `<title>`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from feedsync.errors import Refused
from feedsync.parse.credit import is_outlet
from feedsync.parse.dates import find_moment, read_web_moment
from feedsync.parse.jsontext import as_text
from feedsync.text import normalise, one_line
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import tzinfo

    from lxml.html import HtmlElement

    from feedsync.model import Moment

_TITLES = ("og:title", "articletitle", "twitter:title", "dc.title")
_TIMES = (
    "article:published_time", "og:article:published_time", "bytedance:published_time", "og:published_time",
    "og:release_date", "article:create_at", "weibo: article:create_at", "weibo:article:create_at", "apub:time",
    "pubdate", "publishdate", "publish-date", "publish_date", "publish_time", "publishtime", "published_time",
    "datepublished", "dc.date", "dcterms.created", "parsely-pub-date", "sailthru.date", "date",
)  # fmt: skip
_OUTLETS = ("contentsource", "mediaid", "source", "og:article:source", "news_source")
_PUBLISHERS = ("og:site_name", "application-name")
_SUMMARIES = ("og:description", "description", "twitter:description")
_URLS = ("og:url",)

_ARTICLE_TYPES = frozenset(
    "article newsarticle analysisnewsarticle opinionnewsarticle reportagenewsarticle reviewnewsarticle blogposting "
    "report liveblogposting socialmediaposting".split()
)
_MAX_DEPTH = 6
_MAX_TITLE = 500
_MAX_TIME_LINE = 200
_TIME_PLACES = re.compile(r"time|date|pub|info|source|meta|from|author|byline|subtitle", re.IGNORECASE)
_SOURCE = re.compile(r"(?:文章|新闻|稿件)?来源\s*[:：]\s*([^\s|｜/，,；;（(）)\[\]【】]{1,30})")
_TAIL = re.compile(r"(.{5,}?)(\s{0,4}[_|｜]\s{0,4}|\s{1,4}[-–—·]{1,4}\s{1,4}|[-–—]{1,4})([^_|｜–—-]{1,40})")
_SITE = re.compile(r"\S{0,20}(?:网|报|社|频道|财经|新闻|资讯|在线|快讯|证券|中心|首页)")
_LATIN = re.compile(r"[A-Za-z0-9. ]{2,20}")


class Metadata(Struct, frozen=True):
    """What a page says of itself; "" and None where it says nothing. `article` is true when it calls itself one."""

    title: str = ""
    published: Moment | None = None
    outlet: str = ""
    publisher: str = ""
    summary: str = ""
    code: str = ""
    urls: tuple[str, ...] = ()
    body: str = ""
    article: bool = False


def read_metadata(page: HtmlElement, scripts: Sequence[str], zone: tzinfo) -> Metadata:
    """Everything in one pass over the page. `scripts` are the texts of its JSON-LD elements. Raises nothing."""
    linked = list(_linked(scripts))
    metas = _metas(page)
    headings = [text for h1 in page.iter("h1") if (text := one_line(h1.text_content()))]
    publisher = _first([*(_name(one.get("publisher")) for one in linked), *(metas.get(n, "") for n in _PUBLISHERS)])
    title = _first(
        [
            *(_text(one, "headline") or _text(one, "title") for one in linked),
            *(metas.get(name, "") for name in _TITLES),
        ]
    )
    written = one_line(page.findtext(".//title") or "")
    times = [
        *(as_text(one.get(name)) for one in linked for name in ("datePublished", "pubDate", "dateCreated")),
        *(metas.get(name, "") for name in _TIMES),
        *_marked_times(page),
    ]
    places = _places(page)
    published = _moment([*times, *(found for text in places if (found := find_moment(text)))], zone)
    named = next((m.group(1) for text in places if (m := _SOURCE.search(text)) and is_outlet(m.group(1))), "")
    return Metadata(
        title=_title(title, written, headings, publisher),
        published=published,
        outlet=_first(
            [
                *(metas.get(name, "") for name in _OUTLETS),
                named,
                *(_name(one.get("sourceOrganization")) for one in linked),
            ]
        ),
        publisher=publisher,
        summary=_first([*(_text(one, "description") for one in linked), *(metas.get(name, "") for name in _SUMMARIES)]),
        urls=tuple(
            url
            for url in (
                *(_url(one) for one in linked),
                *(
                    link.get("href", "")
                    for link in page.iter("link")
                    if "canonical" in link.get("rel", "").lower().split()
                ),
                *(metas.get(name, "") for name in _URLS),
            )
            if url
        ),
        body=_first([_text(one, "articleBody") for one in linked]),
        article=bool(linked) or metas.get("og:type", "").lower() in ("article", "news"),
    )


def _linked(scripts: Sequence[str]) -> Iterator[dict[str, object]]:
    """The JSON-LD objects that are articles, and those of the one Chinese search engine, which name no type."""
    for script in scripts:
        try:
            root = json.loads(script.strip().removesuffix(";"), strict=False)
        except (ValueError, RecursionError):
            continue
        yield from _articles(root, 0)


def _articles(value: object, depth: int) -> Iterator[dict[str, object]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        for one in value[:100]:
            yield from _articles(one, depth + 1)
    elif isinstance(value, dict):
        kinds = value.get("@type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if any(isinstance(kind, str) and kind.lower() in _ARTICLE_TYPES for kind in kinds) or "pubDate" in value:
            yield value
        else:
            yield from _articles(value.get("@graph"), depth + 1)
            yield from _articles(value.get("mainEntity"), depth + 1)


def _metas(page: HtmlElement) -> dict[str, str]:
    """The first filled content of each name, lower-cased."""
    found: dict[str, str] = {}
    for meta in page.iter("meta"):
        content = one_line(meta.get("content", ""))
        for attribute in ("property", "name", "itemprop"):
            if content and (name := meta.get(attribute, "").strip().lower()):
                found.setdefault(name, content)
    return found


def _marked_times(page: HtmlElement) -> Iterator[str]:
    for element in page.xpath(".//*[@itemprop='datePublished']"):
        yield element.get("datetime") or element.get("content") or element.text_content()
    for element in page.iter("time"):
        yield element.get("datetime") or element.text_content()


def _places(page: HtmlElement) -> list[str]:
    """Short texts that stand where times and sources are shown, those of classes and ids that say so."""
    found = []
    for element in page.xpath(".//*[@class or @id]"):
        if element.tag in ("a", "body", "html", "script", "style"):
            continue
        if _TIME_PLACES.search(element.get("class", "")) or _TIME_PLACES.search(element.get("id", "")):
            text = one_line(_short_text(element))
            if text:
                found.append(text)
    return found


def _short_text(element: HtmlElement) -> str:
    """The text of a small element; "" for one that holds more than a line."""
    parts: list[str] = []
    length = 0
    for part in element.itertext():
        length += len(part.strip())
        if length > _MAX_TIME_LINE:
            return ""
        parts.append(part)
    return " ".join(parts)


def _moment(times: Iterable[str], zone: tzinfo) -> Moment | None:
    """The first time that can be read; one to the second before one to the day."""
    day: Moment | None = None
    for text in times:
        try:
            moment = read_web_moment(text, zone)
        except Refused:
            continue
        if moment and moment.exact:
            return moment
        day = day or moment
    return day


def _title(given: str, written: str, headings: list[str], publisher: str) -> str:
    """The headline: as the metadata gives it, else the heading, else the page's title without the site's name."""
    given, written = one_line(given[:_MAX_TITLE]), written[:_MAX_TITLE]
    if given:
        return _without_site(given, publisher)
    for heading in headings:
        if normalise(written).startswith(normalise(heading)) or len(headings) == 1:
            return heading
    return _without_site(written, publisher, guess=True)


def _without_site(title: str, publisher: str, *, guess: bool = False) -> str:
    for mark in ("_", "|", "｜", " - ", "-", " – ", " — ", "——"):
        if publisher and title.endswith(mark + publisher):
            return title.removesuffix(mark + publisher).strip()
    while guess and (match := _TAIL.fullmatch(title)):
        before, mark, tail = match.groups()
        if not _SITE.fullmatch(tail) and not (mark not in ("-", "–", "—") and _LATIN.fullmatch(tail)):
            break
        title = before
    return title


def _first(values: Iterable[str]) -> str:
    return next((text for value in values if (text := value.strip())), "")


def _text(value: dict[str, object], name: str) -> str:
    return as_text(value.get(name))


def _name(value: object) -> str:
    """The name of a person or organisation, given as text, an object or an array of these."""
    if isinstance(value, list):
        return _first(_name(one) for one in value[:10] if not isinstance(one, list))
    return as_text(value.get("name")) if isinstance(value, dict) else as_text(value)


def _url(value: dict[str, object]) -> str:
    main = value.get("mainEntityOfPage")
    return (
        _text(value, "url") or (_text(main, "@id") if isinstance(main, dict) else as_text(main)) or _text(value, "@id")
    )
