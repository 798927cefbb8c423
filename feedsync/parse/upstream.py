"""An upstream feed (RSS, Atom or JSON Feed) to the articles in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import tzinfo

    from feedsync.model import Parsed, Response

_ENTITY = re.compile(r"<!ENTITY", re.IGNORECASE)
_ENCODING = re.compile(r"^\s*<\?xml[^>]{0,200}\?>")
_HTML = re.compile(r"\s*(?:<!--.{0,500}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_ENDS = ("</rss>", "</feed>", "</rdf:RDF>", "</channel>")
_TAGS = re.compile(r"<[^<>]{0,2000}>")


@dataclass(frozen=True, slots=True)
class UpstreamEntry:
    """One entry: where it is in its feed (its id), and the article in it."""

    location: str
    parsed: Parsed


@dataclass(frozen=True, slots=True)
class Upstream:
    """A feed: what it calls itself, its entries in its order, and the locations of those refused."""

    attribution: Attribution
    entries: tuple[UpstreamEntry, ...]
    refused: tuple[tuple[str, Refused], ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
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
            publisher=feed.title,
            tags=entry.tags,
            base=entry.link if web_url(entry.link) else feed.url,
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
    if _ENTITY.search(text):
        raise _no_feed("it declares entities, which a feed never needs")
    check_depth(open_cdata(text))
    import feedparser  # a tenth of a second to load; only feeds need it

    # A stream of bytes: of anything else feedparser makes a file name or a URL, and opens it.
    parsed = feedparser.parse(
        BytesIO(_ENCODING.sub("", text).encode("utf-8", "replace")),
        response_headers={"content-type": "application/xml; charset=utf-8", "content-location": response.url},
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    if not parsed.entries and (parsed.bozo or not parsed.version):
        why = one_line(str(parsed.get("bozo_exception", "it is no feed feedsync knows")))
        raise _no_feed(why[:200])
    self_url = next((link.get("href", "") for link in parsed.feed.get("links", ()) if link.get("rel") == "self"), "")
    attribution = _attribution(parsed.feed, self_url, response, zone)
    host = _host(str(parsed.feed.get("link", ""))) or _host(response.url)
    cut = bool(parsed.bozo) and not any(end in text[-200:] for end in _ENDS)
    entries = parsed.entries
    return (
        attribution,
        host,
        (
            _xml_entry(entry, zone, fault="the feed breaks off in this entry" if cut and entry is entries[-1] else "")
            for entry in entries
        ),
    )


def _attribution(feed: Any, self_url: str, response: Response, zone: tzinfo) -> Attribution:
    fetched = web_url(response.url)
    url = web_url(self_url) or ("" if "?" in fetched else fetched)  # a query may hold a secret
    site = web_url(str(feed.get("link", "")))
    updated = _first_moment((str(feed.get("updated", "")), str(feed.get("published", ""))), zone)
    return Attribution(
        id=one_line(str(feed.get("id", ""))) or url or site,
        title=_plain(feed.get("title_detail"), str(feed.get("title", ""))),
        updated=updated,
        url=url,
    )


def _xml_entry(entry: Any, zone: tzinfo, *, fault: str = "") -> _Entry:
    contents = [(str(c.get("value", "")), str(c.get("type", ""))) for c in entry.get("content", ())]
    summary_detail = entry.get("summary_detail", {})
    summary = (str(entry.get("summary", "")), str(summary_detail.get("type", "")))
    body = max((c for c in contents if c[0].strip()), key=lambda c: len(c[0]), default=None)
    described = _text_alone(*summary) if body and summary[0].strip() and summary[0] != body[0] else ""
    source = entry.get("source", {})
    own = None
    if source and (source.get("id") or source.get("title") or source.get("href")):
        url = web_url(str(source.get("href", ""))) or next(
            (web_url(str(link.get("href", ""))) for link in source.get("links", ()) if link.get("rel") == "self"), ""
        )
        own = Attribution(
            id=one_line(str(source.get("id", ""))) or url,
            title=_plain(source.get("title_detail"), str(source.get("title", "") or source.get("value", ""))),
            updated=_first_moment((str(source.get("updated", "")),), zone),
            url=url,
        )
    # Past feedparser's own look-up, which takes one date for the other and warns of it.
    dates = tuple(str(dict.get(entry, name, "")) for name in ("published", "updated", "created"))
    return _Entry(
        id=one_line(str(entry.get("id", "")))[:2000],
        link=str(entry.get("link", "")).strip(),
        title=_plain(entry.get("title_detail"), str(entry.get("title", ""))),
        body=_as_html(*(body or summary)),
        summary=described,
        dates=tuple(date for date in dates if date),
        updated=str(dict.get(entry, "updated", "")),
        outlet=_author(str(entry.get("author_detail", {}).get("name", "") or entry.get("author", ""))),
        tags=tuple(
            one_line(str(tag.get("label") or tag.get("term") or "")) for tag in entry.get("tags", ()) if tag is not None
        ),
        urls=tuple(
            str(link.get("href", ""))
            for link in entry.get("links", ())
            if link.get("rel") == "via" and link.get("href")
        ),
        attribution=own,
        fault=fault,
    )


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
        id=one_line(jsontext.text_at(line, "id"))[:2000],
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


def _text_alone(value: str, kind: str) -> str:
    """The words of a text construct on one line."""
    return (
        one_line(value)
        if kind == "text/plain"
        else one_line(_TAGS.sub("", value)) and _plain({"type": "text/html"}, value)
    )


def _plain(detail: Any, value: str) -> str:
    """A title as plain text on one line, whatever the feed says it is."""
    from html import unescape

    if detail and str(detail.get("type", "")) != "text/plain":
        value = unescape(_TAGS.sub("", value))
    return one_line(strip_illegal(value))


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
