"""HTML as it comes to HTML as it is published: safe, balanced, absolute, and only the article.

lxml rearranges (charts, keyword links, hidden filler, pictures, credit), then nh3 sanitises. The sanitiser
is last, so nothing that this module overlooks can reach a reader's browser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape

import nh3
from lxml import etree
from lxml import html as lxml_html

from feedsync.model import Credit, Symbol, unite_symbols
from feedsync.parse.credit import is_empty_credit, outlet_of_line, split_tail
from feedsync.parse.elements import BLOCKS, DROPPED, PUBLISHED, UNWRAPPED
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
        "a": {"href"},
        "img": {"src", "alt", "width", "height"},
        "td": {"colspan", "rowspan"},
        "th": {"colspan", "rowspan"},
        "ol": {"start"},
    },
    url_schemes={"http", "https", "mailto"},
    link_rel=None,
)
_PARSER = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)

_MARKED_CREDIT = etree.XPath(".//*[contains(@class, 'em_media')]")
_MAYBE_HIDDEN = etree.XPath(".//*[@style or @hidden]")

_LOOKS_HTML = re.compile(
    r"</?(?:p|div|br|span|a|img|strong|b|em|i|u|table|tr|td|ul|ol|li|h[1-6]|center|font|section|article|figure"
    r"|blockquote|pre|hr|script|style|iframe|svg|math|form|input|object|embed|video|audio|body|html|head|meta|link"
    r"|base|noscript|template|details|marquee|button|select|textarea)(?:[\s/]+[A-Za-z_:@][^<>]*)?[\s/]*>"
    r"|<!--|<!\[CDATA|<!doctype",
    re.IGNORECASE,
)
_PAGE_TAG = re.compile(r"</?(?:html|body)\b[^<>]{0,500}>|<!doctype[^<>]{0,500}>", re.IGNORECASE)
_SIMPLE = re.compile(
    r"\s*(?:<p(?: class=\"em_media\")?>(?:<strong>[^<>&\u00a0]*</strong>|[^<>&\u00a0]*)</p>\s*)+", re.ASCII
)
_SIMPLE_PARAGRAPH = re.compile(r"<p( class=\"em_media\")?>(<strong>)?([^<]*)<")
_TAG_IN_CLEAN = re.compile(r"<[^>\"]*(?:\"[^\"]*\"[^>\"]*)*>")
_BLOCK_IN_CLEAN = re.compile(
    r"<(?:/?(?:p|div|figure|figcaption|blockquote|pre|li|h[1-6]|tr|td|th|dt|dd)|br|hr)\b[^>]*>"
)
_SPACES = re.compile(r"[ \t]+")
_CSS_COMMENT = re.compile(r"/\*[^*]{0,200}\*/")
_HIDDEN = re.compile(r"(?<![\w-])(?:display\s{0,9}:\s{0,9}none|visibility\s{0,9}:\s{0,9}hidden)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Publishable HTML with what was taken out of it."""

    html: str
    credit: Credit | None = None
    symbols: tuple[Symbol, ...] = ()


def looks_like_html(body: str) -> bool:
    """Whether a body is HTML rather than text that happens to hold a `<`."""
    return bool(_LOOKS_HTML.search(body))


def text_of(html: str) -> str:
    """The text of clean HTML, a line per block."""
    text = _TAG_IN_CLEAN.sub("", _BLOCK_IN_CLEAN.sub("\n", html))
    return (unescape(text) if "&" in text else text).strip()


def paragraphs(text: str) -> str:
    """Plain text of legal characters as HTML, a paragraph per line; nothing in it is markup."""
    lines = (_one_space(line.strip()) for line in text.split("\n"))
    return "".join(f"<p>{escape(line, quote=False)}</p>" for line in lines if line)


def _one_space(line: str) -> str:
    return _SPACES.sub(" ", line) if "  " in line or "\t" in line else line


def clean_text(text: str) -> Cleaned:
    """Clean a plain-text body: its final credit goes, its lines become paragraphs."""
    lines = text.rstrip().split("\n")
    if len(lines) > 1 and (outlet := outlet_of_line(lines[-1])):
        return Cleaned(paragraphs("\n".join(lines[:-1])), Credit(Credit.LINE, outlet))
    rest, credit = split_tail(text)
    return Cleaned(paragraphs(rest), credit)


def clean_html(source: str, base: str = "") -> Cleaned:
    """Clean an HTML body of legal characters; relative links are resolved against `base` (an absolute URL or "").

    Raises Refused (`too-deep`) when elements are nested beyond what can be kept whole.
    """
    if simple := _clean_simple(source):
        return simple
    source = _PAGE_TAG.sub("", source)
    source = drop_illegal_references(open_cdata(source))
    check_depth(source)
    source, symbols = cut_charts(source)
    body = _parse(source)
    if body is None:
        return Cleaned("", None, unite_symbols(symbols))
    if _HAS_DROPPED.search(source):
        etree.strip_elements(body, *DROPPED, with_tail=False)
    _drop_hidden(body)
    credit = _take_credit(body)
    symbols += unwrap_links(body, base)
    symbols += mend_images(body, base)
    etree.strip_tags(body, *UNWRAPPED)
    for element in body.iter("center"):
        blocks = any(child.tag in BLOCKS for child in element)
        element.tag = "div" if blocks else "figure" if element.find(".//img") is not None else "p"
    trim(body)
    if credit is None:
        credit = _take_tail(body)
    serialised = etree.tostring(body, encoding="unicode", method="html")
    html = _CLEANER.clean(serialised.removeprefix("<body>").removesuffix("</body>")).strip()
    if "&#" in source:  # a character reference can name what no XML document may hold
        html = strip_illegal(html)
    html = html.replace("<p></p>", "")  # what the sanitiser leaves where it takes a block out of a paragraph
    if "<" not in html and html:
        html = f"<p>{html}</p>"
    return Cleaned(html, credit, unite_symbols(symbols))


def _clean_simple(source: str) -> Cleaned | None:
    """The same result, without a parser, for a body of plain paragraphs and nothing else; None for any other.

    Most posts are like this. Their paragraphs hold text only (no `<`, `>`, `&` and no U+00A0, which the
    sanitiser would write as an entity), so there is nothing to sanitise; a property test holds the two ways
    against each other.
    """
    if not _SIMPLE.fullmatch(source):
        return None
    parts = [(marked, strong, text.strip()) for marked, strong, text in _SIMPLE_PARAGRAPH.findall(source)]
    parts = [part for part in parts if part[2]]
    credit = None
    candidates = [number for number, part in enumerate(parts) if part[0]] or [len(parts) - 1] * bool(parts)
    outlets = {number: outlet for number in candidates if (outlet := outlet_of_line(parts[number][2]))}
    empty = [number for number in candidates if is_empty_credit(parts[number][2])]
    if outlets:
        credit = Credit(Credit.LINE, next(iter(outlets.values())))
    parts = [part for number, part in enumerate(parts) if number not in outlets and number not in empty]
    if credit is None and parts and not parts[-1][1]:
        rest, credit = split_tail(parts[-1][2])
        if credit and rest:
            parts[-1] = ("", "", rest)
        else:
            credit = None
    html = "".join(f"<p><strong>{text}</strong></p>" if strong else f"<p>{text}</p>" for _, strong, text in parts)
    return Cleaned(html, credit)


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


def _drop_hidden(body: lxml_html.HtmlElement) -> None:
    for element in _MAYBE_HIDDEN(body):
        if element.getparent() is not None and (
            element.get("hidden") is not None or _HIDDEN.search(_CSS_COMMENT.sub("", element.get("style", "")[:2000]))
        ):
            element.drop_tree()


def _take_credit(body: lxml_html.HtmlElement) -> Credit | None:
    """Remove credit lines among the paragraphs of class em_media, or at the end; the first names the outlet."""
    marked = [element for element in _MARKED_CREDIT(body) if element.text_content().strip()]
    if not marked:
        marked = [child for child in body if child.text_content().strip()][-1:]
    credit = None
    for element in marked:
        text = element.text_content()
        if outlet := outlet_of_line(text):
            credit = credit or Credit(Credit.LINE, outlet)
        if outlet or is_empty_credit(text):
            element.drop_tree()
    return credit


def _take_tail(body: lxml_html.HtmlElement) -> Credit | None:
    """Cut a credit in brackets off the end of the last paragraph."""
    last = next((child for child in reversed(body) if child.text_content().strip()), None)
    if last is None or last.tag != "p":
        return None
    holder = last[-1] if len(last) and last[-1].tail else last
    text = holder.tail if holder is not last else (last.text if not len(last) else None)
    if not text:
        return None
    rest, credit = split_tail(text)
    if credit is None or not rest:
        return None
    if holder is last:
        last.text = rest
    else:
        holder.tail = rest
    return credit
