"""HTML that needs a parser, as it is published: safe, balanced, absolute, and only the article.

lxml rearranges (charts, keyword links, hidden filler, pictures, credit), then nh3 sanitises. The sanitiser
is last, so nothing that this module overlooks can reach a reader's browser.
"""

from __future__ import annotations

import re

import nh3
from lxml import etree
from lxml import html as lxml_html

from feedsync.model import Credit, Symbol, unite_symbols
from feedsync.parse.credit import is_empty_credit, outlet_of_line, split_tail
from feedsync.parse.elements import BLOCKS, DROPPED, INLINE, PUBLISHED, UNWRAPPED, WRAPPERS
from feedsync.parse.guard import check_depth, cut_charts, drop_illegal_references, open_cdata, too_deep
from feedsync.parse.links import mend_images, unwrap_links
from feedsync.parse.trim import trim
from feedsync.text import strip_illegal

_HAS_DROPPED = re.compile("<(?:" + "|".join(DROPPED) + ")", re.IGNORECASE)

_CLEANER = nh3.Cleaner(
    tags=PUBLISHED,
    clean_content_tags={
        "script",
        "style",
        "iframe",
        "object",
        "embed",
        "noscript",
        "template",
        "svg",
        "math",
        "title",
    },
    attributes={
        "*": set(),  # or the library would add its own
        "a": {"href"},
        "img": {"src", "alt", "width", "height"},
        "td": {"colspan", "rowspan"},
        "th": {"colspan", "rowspan"},
        "ol": {"start"},
    },
    url_schemes={"http", "https", "mailto"},
    link_rel=None,
)
_ROUNDS = 4
"""So often misnested HTML is read again, until our parser and that of the sanitiser see the same tree."""

_SLACK = 10_000
_LINES = INLINE | {"p", "pre", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6"}
"""What some block or other ends."""

_KEPT = PUBLISHED | {"center", "section", "article"}
_PARSER = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)

_MARKED_CREDIT = etree.XPath(".//*[contains(@class, 'em_media')]")
_MAYBE_HIDDEN = etree.XPath(".//*[@style or @hidden]")

_IMAGE_TAG = re.compile(r"<(/?)image(?=[\s/>])", re.IGNORECASE)
"""What browsers take for `<img>`; libxml2 takes what follows for its content."""

_PAGE_TAG = re.compile(r"</?(?:html|body)\b[^<>]{0,500}>|<!doctype[^<>]{0,500}>", re.IGNORECASE)
_CSS_COMMENT = re.compile(r"/\*[^*]{0,200}\*/")
_HIDDEN = re.compile(r"(?<![\w-])(?:display\s{0,9}:\s{0,9}none|visibility\s{0,9}:\s{0,9}hidden)", re.IGNORECASE)


def clean_markup(source: str, base: str) -> tuple[str, Credit | None, tuple[Symbol, ...]]:
    """What `clean.clean_html` says of HTML that is more than plain paragraphs. Raises Refused (`too-deep`)."""
    source = _PAGE_TAG.sub("", source)
    source = _IMAGE_TAG.sub(r"<\1img", drop_illegal_references(open_cdata(source)))
    check_depth(source)
    source, symbols = cut_charts(source)
    body = _parse(source)
    if body is None:
        return "", None, unite_symbols(symbols)
    if _HAS_DROPPED.search(source):
        etree.strip_elements(body, *DROPPED, with_tail=False)
    _drop_hidden(body)
    credit = _take_credit(body)
    symbols += unwrap_links(body, base)
    symbols += mend_images(body, base)
    etree.strip_tags(body, *UNWRAPPED)
    if misnested := _misnested(body):
        for unknown in [element for element in body.iterdescendants() if element.tag not in _KEPT]:
            unknown.drop_tag()
        body = _read_again(_inside(body), body)
    for element in body.iter("center"):
        blocks = any(child.tag in BLOCKS for child in element)
        element.tag = "div" if blocks else "figure" if element.find(".//img") is not None else "p"
    trim(body)
    if credit is None:
        credit = _take_tail(body)
    html = _CLEANER.clean(_inside(body)).strip()
    for _ in range(_ROUNDS if misnested else 0):
        if len(html) > 2 * len(source) + _SLACK:  # open elements are begun anew in each block: not once more
            break
        before, body = html, _read_again(html, body)
        trim(body)
        if (html := _CLEANER.clean(_inside(body)).strip()) == before:
            break
    if "&#" in source:  # a character reference can name what no XML document may hold
        html = strip_illegal(html)
    # What the sanitiser leaves where it takes a block out of a paragraph, or reads broken tags as another parser does.
    html = html.replace("<p></p>", "").replace("<table></table>", "")
    if "<" not in html and html:
        html = f"<p>{html}</p>"
    return html, credit, unite_symbols(symbols)


def _parse(source: str) -> lxml_html.HtmlElement | None:
    if not source.strip():
        return None
    page = f"<html><body>{source}</body></html>".encode("utf-8", "replace")
    try:
        root = etree.fromstring(page, _PARSER)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None
    if any("depth" in entry.message.lower() for entry in _PARSER.error_log):
        raise too_deep()
    body: lxml_html.HtmlElement | None = root.find("body") if root is not None else None
    return body


def _misnested(body: lxml_html.HtmlElement) -> bool:
    """Whether a line holds a block, or a link a link: then each parser sees another tree."""
    lines = links = 0
    for event, element in etree.iterwalk(body, events=("start", "end")):
        tag, step = element.tag, 1 if event == "start" else -1
        if step > 0 and ((lines and tag in BLOCKS) or (links and tag == "a")):
            return True
        lines += step if tag in _LINES else 0
        links += step if tag == "a" else 0
    return False


def _inside(body: lxml_html.HtmlElement) -> str:
    serialised: str = etree.tostring(body, encoding="unicode", method="html")
    return serialised.removeprefix("<body>").removesuffix("</body>")


def _read_again(html: str, body: lxml_html.HtmlElement) -> lxml_html.HtmlElement:
    """HTML of ours as a parser sees it; the tree it was when nothing is left."""
    again = _parse(html)
    return body if again is None else again


def _drop_hidden(body: lxml_html.HtmlElement) -> None:
    for element in _MAYBE_HIDDEN(body):
        if element.getparent() is not None and (
            element.get("hidden") is not None or _HIDDEN.search(_CSS_COMMENT.sub("", element.get("style", "")[:2000]))
        ):
            element.drop_tree()


def _take_credit(body: lxml_html.HtmlElement) -> Credit | None:
    """Remove credit lines among the paragraphs of class em_media, or at the end; the first names the outlet."""
    marked = [element for element in _MARKED_CREDIT(body) if element.text_content().strip()]
    if not marked and (last := _last_block(body)) is not None:
        marked = [last]
    credit = None
    for element in marked:
        text = element.text_content()
        if outlet := outlet_of_line(text):
            credit = credit or Credit(Credit.LINE, outlet)
        if outlet or is_empty_credit(text):
            element.drop_tree()
    return credit


def _last_block(body: lxml_html.HtmlElement) -> lxml_html.HtmlElement | None:
    """The last block with text, inside whatever wraps it; None when text without one follows."""
    inside = body
    while inside is body or inside.tag in WRAPPERS:
        last = next((child for child in reversed(inside) if child.text_content().strip() or _tail(child)), None)
        if last is None:
            break
        if _tail(last):
            return None if inside is body else inside
        inside = last
    return None if inside is body else inside


def _tail(element: lxml_html.HtmlElement) -> str:
    return (element.tail or "").strip()


def _take_tail(body: lxml_html.HtmlElement) -> Credit | None:
    """Cut a credit in brackets off the end of the last paragraph, or of the text without one behind it."""
    last = _last_block(body)
    if last is None:
        last = body
    elif last.tag not in ("p", *WRAPPERS):
        return None
    holder = last[-1] if len(last) and _tail(last[-1]) else last
    text = holder.tail if holder is not last else (last.text if not len(last) else None)
    if not text:
        return None
    rest, credit = split_tail(text)
    if credit is None or not (rest or holder.tag == "br" or (holder is not last and last is body)):
        return None
    if holder is last:
        last.text = rest
    else:
        holder.tail = rest
        if holder.tag == "br" and not rest:
            last.remove(holder)
    return credit
