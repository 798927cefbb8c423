"""An upstream feed (RSS, Atom or JSON Feed) to the articles in it."""

from __future__ import annotations

import re
from html import unescape
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from feedsync.errors import Refused
from feedsync.model import Attribution, Moment
from feedsync.parse import clean, jsontext
from feedsync.parse.charset import decode_web
from feedsync.parse.dates import moment_of_day, read_moment
from feedsync.parse.footer import web_url
from feedsync.parse.guard import check_depth, open_cdata
from feedsync.parse.identity import code_in, key_of_entry
from feedsync.parse.said import Said, compose
from feedsync.text import one_line, strip_illegal
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import tzinfo

    from feedsync.model import Parsed, Response

MAX_TAGS = 200_000
"""Some seconds' work; a feed of a thousand entries has twenty thousand."""

_ENTITY = re.compile(r"<!ENTITY", re.IGNORECASE)
_PRESCAN = 10_000
_TAIL = 200
_MAX_ID = 2000
_ROOT = re.compile(r"<(?:\w+:)?(?:rss|feed|rdf|channel)[\s>]", re.IGNORECASE)
_ENCODING = re.compile(r"^\s*<\?xml[^>]{0,200}\?>")
_HTML = re.compile(r"\s*(?:<!--.{0,500}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_ENDS = ("</rss>", "</feed>", "</rdf:RDF>", "</channel>")
_TAG = re.compile(r"<[^<>]{0,2000}>")


class UpstreamEntry(Struct, frozen=True):
    """One entry: where it is in its feed (its id), and the article in it."""

    location: str
    parsed: Parsed


class Upstream(Struct, frozen=True):
    """A feed: what it calls itself, its entries in its order, and the locations of those refused."""

    attribution: Attribution
    entries: tuple[UpstreamEntry, ...]
    refused: tuple[tuple[str, Refused], ...] = ()


class _Entry(Struct, frozen=True):
    """What one entry says, whatever the format; `attribution` and `outlet` only where it names its own."""

    id: str
    link: str
    title: str
    body: str
    summary: str
    dates: tuple[str, ...]
    updated: str = ""
    outlet: str = ""
    tags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    base: str = ""
    attribution: Attribution | None = None
    fault: str = ""


def parse_upstream(response: Response, zone: tzinfo) -> Upstream:
    """The articles in a feed. `zone` is the zone of times without one.

    Raises Refused (`not-a-feed`, those of decoding) when there is no feed at all; an entry that cannot become
    an article is refused by itself.
    """
    text = strip_illegal(decode_web(response.content, response.media_type))
    start = text.lstrip()[:1]
    if start == "{":
        attribution, host, entries = _json_feed(text, response)
    elif start == "<" and not _HTML.match(text):
        attribution, host, entries = _xml_feed(text, response, zone)
    else:
        raise _no_feed("it is an HTML page" if start == "<" else "it is neither XML nor JSON")
    day = attribution.updated
    found: dict[str, UpstreamEntry] = {}
    refused: list[tuple[str, Refused]] = []
    for number, entry in enumerate(_newest(entries, zone), 1):
        location = entry.id or entry.link or f"entry {number}"
        try:
            parsed = _article(entry, attribution, host, day, zone)
            location = entry.id or entry.link or parsed.article.key
            found.setdefault(location, UpstreamEntry(location, parsed))
        except Refused as error:
            refused.append((location, error))
    return Upstream(attribution, tuple(found.values()), tuple(refused))


def _newest(entries: Iterable[_Entry], zone: tzinfo) -> Iterator[_Entry]:
    """The entries, and of several versions under one id the one last updated, else the first."""
    chosen: dict[str, tuple[_Entry, Moment | None]] = {}
    for number, entry in enumerate(entries):
        updated = _first_moment((entry.updated, *entry.dates), zone)
        name = entry.id or entry.link or str(number)
        sofar = chosen.get(name)
        if sofar is None or (updated and (sofar[1] is None or updated.at > sofar[1].at)):
            chosen[name] = entry, updated
    for entry, _ in chosen.values():
        yield entry


def _article(entry: _Entry, feed: Attribution, host: str, day: Moment | None, zone: tzinfo) -> Parsed:
    if entry.fault:
        raise Refused("cut-short", entry.fault, remedy="ask again later")
    published: Moment | str = _first_moment(entry.dates, zone) or ""
    if not published and day is not None and (entry.id or entry.link):
        published = moment_of_day(day.at.astimezone(zone).date(), zone)
    name = entry.id or entry.link
    parsed = compose(
        Said(
            title=one_line(entry.title),
            body=entry.body,
            published=published,
            summary=entry.summary,
            code=code_in(entry.id) or code_in(entry.link) or "",
            urls=(entry.link, *entry.urls),
            outlet=entry.outlet,
            publisher=(entry.attribution.title if entry.attribution else "") or feed.title or host,
            tags=entry.tags,
            base=entry.base or web_url(entry.link) or feed.url,
            entry_key=key_of_entry(name, host) if name else "",
            attribution=entry.attribution or feed,
        ),
        zone,
    )
    if parsed.article.body.empty and not parsed.article.title.given:
        raise Refused("no-text", "the entry has neither title nor text", remedy="report it to the publisher")
    return parsed


def _first_moment(dates: Iterable[str], zone: tzinfo) -> Moment | None:
    """The first date that can be read; one with a time of day before one without."""
    day: Moment | None = None
    for text in dates:
        try:
            moment = read_moment(text, zone)
        except Refused:
            continue
        if moment and moment.exact:
            return moment
        day = day or moment
    return day


def _xml_feed(text: str, response: Response, zone: tzinfo) -> tuple[Attribution, str, Iterator[_Entry]]:
    if not _ROOT.search(text[:_PRESCAN]):
        raise _no_feed("it is XML, but no feed")
    if _ENTITY.search(text):
        raise _no_feed("it declares entities, which a feed never needs")
    check_depth(open_cdata(text))
    if text.count("<") > MAX_TAGS:
        raise Refused("too-deep", f"the feed has more than {MAX_TAGS} tags", remedy="ask for a shorter one")
    import feedparser  # a tenth of a second to load; only feeds need it

    # A stream of bytes: of anything else feedparser makes a file name or a URL, and opens it.
    parsed = feedparser.parse(
        BytesIO(_ENCODING.sub("", text).encode("utf-8", "replace")),
        # Without the feed's URL: feedparser would make it part of ids that look relative to it.
        response_headers={"content-type": "application/xml; charset=utf-8"},
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    if not parsed.entries and (parsed.bozo or not parsed.version):
        why = one_line(str(dict.get(parsed, "bozo_exception", "it is no feed feedsync knows")))
        raise _no_feed(why[:200])
    site = _absolute(_text(parsed.feed, "link"), response.url)
    attribution = _attribution(parsed.feed, site, response.url, zone)
    cut = bool(parsed.bozo) and not any(end in text[-_TAIL:] for end in _ENDS)
    last = parsed.entries[-1] if cut else None
    entries = (
        _xml_entry(entry, response.url, zone, "the feed breaks off in this entry" if entry is last else "")
        for entry in parsed.entries
    )
    return attribution, _host(site) or _host(response.url), entries


def _attribution(feed: Any, site: str, feed_url: str, zone: tzinfo) -> Attribution:
    fetched = web_url(feed_url)
    # A query of ours may hold a secret; what the feed says of itself holds none.
    url = _absolute(_linked(feed, "self"), feed_url) or ("" if "?" in fetched else fetched)
    return Attribution(
        id=_id(feed) or url or site,
        title=_plain(feed, "title"),
        updated=_first_moment((_text(feed, "updated"), _text(feed, "published")), zone),
        url=url,
    )


def _xml_entry(entry: Any, feed_url: str, zone: tzinfo, fault: str) -> _Entry:
    described = dict.get(entry, "summary_detail") or {"value": _text(entry, "summary")}
    filled = [content for content in dict.get(entry, "content", ()) if _text(content, "value").strip()]
    body = max(filled, key=lambda content: len(_text(content, "value")), default=described)
    dates = (_text(entry, name) for name in ("published", "updated", "created"))
    return _Entry(
        id=_id(entry),
        link=_absolute(_text(entry, "link"), feed_url),
        title=_plain(entry, "title"),
        body=_as_html(_text(body, "value"), _text(body, "type")),
        summary="" if _text(body, "value") == _text(described, "value") else _plain(entry, "summary"),
        dates=tuple(date for date in dates if date),
        updated=_text(entry, "updated"),
        outlet=_author(_text(dict.get(entry, "author_detail") or {}, "name")),
        tags=tuple(one_line(_text(tag, "label") or _text(tag, "term")) for tag in dict.get(entry, "tags", ())),
        urls=(_absolute(_linked(entry, "via"), feed_url),),
        base=_absolute(_text(body, "base"), feed_url),  # xml:base
        attribution=_own_source(dict.get(entry, "source") or {}, zone),
        fault=fault,
    )


def _own_source(source: Any, zone: tzinfo) -> Attribution | None:
    """What an entry says of the feed it was copied from: `atom:source`, or the one line of RSS."""
    url = web_url(_text(source, "href") or _linked(source, "self"))
    title = _plain(source, "title")
    if not (_id(source) or url or title):
        return None
    return Attribution(_id(source) or url, title, _first_moment((_text(source, "updated"),), zone), url)


def _text(holder: Any, name: str) -> str:
    """A value as text. Asked past feedparser's own `get`, which answers for other names, with a warning."""
    return strip_illegal(str(dict.get(holder, name) or ""))


def _id(holder: Any) -> str:
    return one_line(_text(holder, "id"))[:_MAX_ID]


def _linked(holder: Any, relation: str) -> str:
    links = dict.get(holder, "links", ())
    return next((_text(link, "href") for link in links if _text(link, "rel") == relation), "")


def _absolute(url: str, base: str) -> str:
    """An absolute web URL, or "" when that cannot be had."""
    try:
        return web_url(urljoin(base, url.strip())) if url.strip() else ""
    except ValueError:
        return ""


def _plain(holder: Any, name: str) -> str:
    """A text construct as plain text on one line, whatever it says it is."""
    value = _text(holder, name)
    if _text(dict.get(holder, f"{name}_detail") or {}, "type") != "text/plain":
        value = unescape(_TAG.sub("", value))
    return one_line(strip_illegal(value))


def _json_feed(text: str, response: Response) -> tuple[Attribution, str, Iterator[_Entry]]:
    root = jsontext.load(text)
    lines = jsontext.at(root, "items")
    if not isinstance(root, dict) or not isinstance(lines, list) or "version" not in root:
        said = jsontext.complaint(root)
        raise _no_feed(f"the server says: {said}" if said else "it is JSON, but no JSON Feed")
    fetched = web_url(response.url)
    url = web_url(jsontext.text_at(root, "feed_url")) or ("" if "?" in fetched else fetched)
    site = web_url(jsontext.text_at(root, "home_page_url"))
    attribution = Attribution(id=url or site, title=one_line(jsontext.text_at(root, "title")), url=url)
    return attribution, _host(site) or _host(response.url), map(_json_entry, lines)


def _json_entry(line: object) -> _Entry:
    if not isinstance(line, dict):
        return _Entry("", "", "", "", "", (), fault="it is no object")
    html, plain = jsontext.text_at(line, "content_html"), jsontext.text_at(line, "content_text")
    authors = [jsontext.text_at(line, "authors.0.name"), jsontext.text_at(line, "author.name")]
    external = jsontext.text_at(line, "external_url").strip()
    return _Entry(
        id=one_line(jsontext.text_at(line, "id"))[:_MAX_ID],
        link=jsontext.text_at(line, "url").strip() or external,
        title=one_line(jsontext.text_at(line, "title")),
        body=html if html.strip() else _as_html(plain, "text/plain"),
        summary=one_line(jsontext.text_at(line, "summary")),
        dates=tuple(d for n in ("date_published", "date_modified") if (d := jsontext.text_at(line, n))),
        updated=jsontext.text_at(line, "date_modified"),
        outlet=_author(next(filter(None, authors), "")),
        tags=jsontext.texts_of(line.get("tags")),
        urls=(external,) if external else (),
    )


def _as_html(value: str, kind: str) -> str:
    """A text construct as `compose` reads it: plain text that looks like markup is written so that it is none."""
    if kind == "text/plain" and clean.looks_like_html(value):
        return clean.paragraphs(value)
    return value


def _author(name: str) -> str:
    name = one_line(name)
    return "" if "@" in name else name[:60]


def _host(url: str) -> str:
    try:
        return urlsplit(url.strip()).hostname or ""
    except ValueError:
        return ""


def _no_feed(why: str) -> Refused:
    return Refused("not-a-feed", f"the server did not answer with a feed: {why}", remedy="check the URL")
