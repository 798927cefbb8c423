"""Atom (RFC 4287), written with feedgen.

An entry is drawn once and its XML joined into every feed it stands in. feedgen loses link relations, writes
`+00:00` for `Z` and defaults `updated` to the clock, so links and times go through a registered extension
and every time is set. It has no `source` either.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from feedgen.entry import FeedEntry
from feedgen.ext.base import BaseEntryExtension, BaseExtension
from feedgen.feed import FeedGenerator
from lxml import etree

from feedsync import __version__
from feedsync.errors import OutputError
from feedsync.feeds import names
from feedsync.feeds.feed import content_of, outlet_of, rfc3339, symbols_of, title_of
from feedsync.feeds.layout import ATOM
from feedsync.feeds.xml import check_element, check_well_formed, escape_text
from feedsync.model import CATEGORY
from feedsync.text import strip_illegal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from feedsync.feeds.feed import Deleted, Feed, Labels
    from feedsync.feeds.layout import Piece
    from feedsync.model import Attribution, Entry, Site

_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_HISTORY = "http://purl.org/syndication/history/1.0"
_TOMBSTONES = "http://purl.org/atompub/tombstones/1.0"
_END = b"</feed>"
_BLANK = "-"
_CONTENT_END = b"</content>"
_BLANK_END = _BLANK.encode() + _CONTENT_END
"""Stands once in an entry: whatever else it says has its `<` escaped."""


def draw_entry(entry: Entry, site: Site, labels: Labels) -> bytes:
    """The XML of one entry. Raises OutputError when it is not well-formed, which would be a fault of ours."""
    known, article = entry.known, entry.known.article
    drawn = FeedEntry()
    drawn.id(names.article_id(site, article.key))
    drawn.title(title_of(article))
    drawn.published(known.published)
    drawn.updated(known.updated)
    drawn.author({"name": outlet_of(article, site)})
    drawn.content(_BLANK, type="html")
    categories = [
        {"term": c.term, "scheme": names.url(site, "category/"), "label": labels.get((CATEGORY, c.term), c.term)}
        for c in article.categories
    ]
    tags = [{"term": t, "scheme": names.url(site, "tag/"), "label": names.tag_label(t)} for t in article.tags]
    symbols = [{"term": s.value, "scheme": s.scheme, "label": s.label} for s in symbols_of(article, site, labels)]
    if filed := categories + tags + symbols:
        drawn.category(filed)
    drawn.register_extension("completion", _EntryCompletion, rss=False)
    drawn.completion.published, drawn.completion.updated = known.published, known.updated
    drawn.completion.language = site.language
    drawn.completion.links = [("alternate", names.url(site, names.article_path(article.key)), "text/html")]
    if known.revised:
        history = names.url(site, f"{names.article_path(article.key)}#{names.REVISIONS}")
        drawn.completion.links.append(("version-history", history, "text/html"))  # RFC 5829
    drawn.completion.links += [("via", url, "") for url in article.urls]
    drawn.completion.attribution = article.attribution
    xml: bytes = etree.tostring(drawn.atom_entry(), encoding="UTF-8")
    xml = xml.partition(b"?>\n")[2] if xml.startswith(b"<?xml") else xml
    xml = _filled(xml, escape_text(content_of(entry)).encode("utf-8", "surrogatepass"))
    check_element(xml, article.key)
    return xml


def _filled(xml: bytes, content: bytes) -> bytes:
    """An entry with its content, which is most of it, in its place: through lxml it takes four times as long."""
    before, end, after = xml.partition(_BLANK_END)
    assert end, "an entry has one content"
    return b"".join((before, content, _CONTENT_END, after))


def draw_feed(feed: Feed, site: Site, entries: Sequence[Piece]) -> bytes:
    """A feed document around entries already drawn. Raises OutputError as `draw_entry` does."""
    drawn = FeedGenerator()
    drawn.id(feed.id)
    drawn.title(feed.title)
    drawn.updated(feed.updated)
    drawn.author({"name": strip_illegal(site.title)})
    drawn.link([{"href": feed.alternate, "rel": "alternate", "type": "text/html"}])
    drawn.link([{"href": feed.url("atom"), "rel": "self", "type": names.ATOM_TYPE}])
    drawn.generator("feedsync", version=__version__)
    drawn.language(site.language)
    if site.icon:
        drawn.icon(site.icon)
    drawn.register_extension("completion", _FeedCompletion, None, rss=False)
    drawn.completion.feed = feed
    head: bytes = drawn.atom_str()
    opening, end, _ = head.rpartition(_END)
    if not end:
        raise OutputError(f"the feed {feed.url('atom')} could not be drawn", remedy="report this as a bug")
    check_well_formed(head, feed.url("atom"))
    return ATOM.join(opening, entries)


class _EntryCompletion(BaseEntryExtension):  # type: ignore[misc]
    """What feedgen does not write of an entry: link relations, `Z`, the language of the content."""

    links: list[tuple[str, str, str]]
    published: datetime
    updated: datetime
    language: str
    attribution: Attribution | None

    def extend_atom(self, entry: Any) -> Any:
        for element in entry:
            if element.tag == "updated":
                element.text = rfc3339(self.updated)
            elif element.tag == "published":
                element.text = rfc3339(self.published)
            elif element.tag == "content":
                element.set(_XML_LANG, self.language)
        for relation, href, kind in self.links:
            link = etree.SubElement(entry, "link", rel=relation, href=href)
            if kind:
                link.set("type", kind)
        if self.attribution:
            _draw_source(entry, self.attribution)
        return entry


def _draw_tombstone(feed: Any, deleted: Deleted) -> None:
    """A withdrawn entry (RFC 6721). Its prefix is declared here alone: entries stay the same in every feed."""
    attributes = {"ref": deleted.id, "when": rfc3339(deleted.at)}
    tombstone = etree.SubElement(feed, f"{{{_TOMBSTONES}}}deleted-entry", attributes, nsmap={"at": _TOMBSTONES})
    if deleted.reason:
        etree.SubElement(tombstone, f"{{{_TOMBSTONES}}}comment").text = strip_illegal(deleted.reason)


def _draw_source(entry: Any, attribution: Attribution) -> None:
    """The feed an entry came from (RFC 4287, 4.2.11). An id that is no IRI, or not ASCII, is left out."""
    source = etree.SubElement(entry, "source")
    if _IRI.fullmatch(attribution.id):
        etree.SubElement(source, "id").text = attribution.id
    etree.SubElement(source, "title").text = strip_illegal(attribution.title)
    if attribution.updated:
        etree.SubElement(source, "updated").text = rfc3339(attribution.updated.at)
    if attribution.url:
        etree.SubElement(source, "link", rel="self", href=attribution.url)


class _FeedCompletion(BaseExtension):  # type: ignore[misc]
    """What feedgen does not write of a feed: `Z`, that it is complete, and what was withdrawn."""

    feed: Feed

    def extend_ns(self) -> dict[str, str]:
        return {"fh": _HISTORY} if self.feed.complete else {}

    def extend_atom(self, feed: Any) -> Any:
        if self.feed.complete:
            etree.SubElement(feed, f"{{{_HISTORY}}}complete")
        for deleted in self.feed.deleted:
            _draw_tombstone(feed, deleted)
        for element in feed:
            if element.tag == "updated":
                element.text = rfc3339(self.feed.updated)
        return feed
