"""HTML as it comes to HTML as it is published: safe, balanced, absolute, and only the article.

lxml rearranges (charts, keyword links, hidden filler, pictures, credit), then nh3 sanitises. The sanitiser
is last, so nothing that this module overlooks can reach a reader's browser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape
from urllib.parse import urljoin

import nh3
from lxml import etree
from lxml import html as lxml_html

from feedsync.errors import Refused
from feedsync.model import Credit, Symbol, unite_symbols
from feedsync.parse.credit import is_empty_credit, outlet_of_line, split_tail
from feedsync.parse.footer import web_url
from feedsync.parse.symbols import is_chart, mention_of, subject_of, subjects_in_markup
from feedsync.text import strip_illegal

MAX_DEPTH = 200
"""Open elements; libxml2 silently drops what is below 256, and nh3 takes quadratic time."""

_MAX_TAGS = 200_000
_LONG_TAG = 20_000
_MAX_ATTRIBUTES = 1000

_DROPPED = (
    "script", "style", "iframe", "embed", "applet", "noframes", "template", "svg", "math",
    "input", "select", "textarea", "audio", "video", "canvas", "head", "title", "meta", "link",
    "base", "frame", "frameset", "xmp", "plaintext", "noembed", "area",
)  # fmt: skip
_UNWRAPPED = (
    "span", "font", "label", "form", "fieldset", "legend", "button", "dialog", "map", "object", "noscript", "details",
    "summary", "main", "header", "footer", "nav", "aside",
)  # fmt: skip
_HAS_DROPPED = re.compile("<(?:" + "|".join(_DROPPED) + ")", re.IGNORECASE)
_BLOCKS = frozenset(
    [
        "p",
        "div",
        "figure",
        "figcaption",
        "blockquote",
        "pre",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "table",
        "caption",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "td",
        "th",
        "hr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "section",
        "article",
        "center",
    ]
)
_INLINE = frozenset(
    [
        "a",
        "b",
        "strong",
        "i",
        "em",
        "u",
        "s",
        "del",
        "ins",
        "sub",
        "sup",
        "small",
        "big",
        "code",
        "q",
        "cite",
        "mark",
    ]
)
_CONTAINERS = frozenset(
    [
        "body",
        "div",
        "figure",
        "blockquote",
        "ul",
        "ol",
        "dl",
        "table",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "section",
        "article",
        "center",
    ]
)
_TRIMMED = (
    "p",
    "li",
    "td",
    "th",
    "dt",
    "dd",
    "figcaption",
    "figure",
    "div",
    "blockquote",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "strong",
    "b",
    "em",
    "i",
    "u",
    "a",
)
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_SELF_CLOSING = frozenset(["p", "li", "dt", "dd", "tr", "td", "th", "option", "thead", "tbody", "tfoot"])

_CLEANER = nh3.Cleaner(
    tags=(_BLOCKS | _INLINE | {"br", "img", "colgroup", "col"}) - {"section", "article", "center", "big"},
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
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)[^<>]*>")
_TAG_IN_CLEAN = re.compile(r"<[^>\"]*(?:\"[^\"]*\"[^>\"]*)*>")
_BLOCK_IN_CLEAN = re.compile(
    r"<(?:/?(?:p|div|figure|figcaption|blockquote|pre|li|h[1-6]|tr|td|th|dt|dd)|br|hr)\b[^>]*>"
)
_CSS_COMMENT = re.compile(r"/\*[^*]{0,200}\*/")
_HIDDEN = re.compile(r"(?<![\w-])(?:display\s{0,9}:\s{0,9}none|visibility\s{0,9}:\s{0,9}hidden)", re.IGNORECASE)
_NAMED_SIZE = re.compile(r"_w([0-9]{1,5})h([0-9]{1,5})(?=[_.])")
_NUMBER = re.compile(r"([0-9]{1,5})(?:px)?")
_CHART_START = re.compile(r"<!--\s{0,9}EM_StockImg_Start\s{0,9}-->")
_CHART_END = re.compile(r"<!--\s{0,9}EM_StockImg_End\s{0,9}-->")
_KNOWN_ATTRIBUTES = (
    "href", "class", "src", "data-src", "data-original", "data-code", "alt", "width", "height",
)  # fmt: skip
_KEYWORD_CLASSES = frozenset({"keytip", "infokey", "em_stock_key_common"})
_NO_ALT = frozenset({"图片", "image", "img", "图", "picture", "undefined", "null"})


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
    lines = (re.sub(r"[ \t]+", " ", line.strip()) for line in text.split("\n"))
    return "".join(f"<p>{escape(line, quote=False)}</p>" for line in lines if line)


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
    source = _open_cdata(source)
    _check_depth(source)
    source, symbols = _cut_charts(source)
    body = _parse(source)
    if body is None:
        return Cleaned("", None, unite_symbols(symbols))
    if _HAS_DROPPED.search(source):
        etree.strip_elements(body, *_DROPPED, with_tail=False)
    _drop_hidden(body)
    credit = _take_credit(body)
    symbols += _unwrap_links(body, base)
    symbols += _mend_images(body, base)
    etree.strip_tags(body, *_UNWRAPPED)
    for element in body.iter("center"):
        blocks = any(child.tag in _BLOCKS for child in element)
        element.tag = "div" if blocks else "figure" if element.find(".//img") is not None else "p"
    _trim(body)
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


def _check_depth(source: str) -> None:
    if source.count("<") <= MAX_DEPTH and len(source) < _LONG_TAG:
        return
    depth = tags = 0
    for match in _TAG.finditer(source):
        tags += 1
        name = match.group(2).lower()
        if match.end() - match.start() > _LONG_TAG and len(match.group(0).split()) > _MAX_ATTRIBUTES:
            raise Refused("too-deep", f"a tag has more than {_MAX_ATTRIBUTES} attributes", remedy="take them out")
        if name in _VOID or name in _SELF_CLOSING:
            continue
        depth = max(0, depth - 1) if match.group(1) else depth + 1
        if depth > MAX_DEPTH or tags > _MAX_TAGS:
            raise _too_deep()


def _too_deep() -> Refused:
    return Refused(
        "too-deep",
        f"the HTML nests more than {MAX_DEPTH} elements, or has more than {_MAX_TAGS} tags",
        remedy="close its elements, or split it",
    )


def _parse(source: str) -> lxml_html.HtmlElement | None:
    if not source.strip():
        return None
    page = f"<html><body>{source}</body></html>".encode("utf-8", "replace")
    try:
        root = etree.fromstring(page, _PARSER)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None
    if any("depth" in entry.message.lower() for entry in _PARSER.error_log):
        raise _too_deep()
    body: lxml_html.HtmlElement | None = root.find("body") if root is not None else None
    return body


def _open_cdata(source: str) -> str:
    """The content of CDATA sections, which HTML does not know, as text."""
    parts = []
    position = 0
    while (start := source.find("<![CDATA[", position)) >= 0 and (end := source.find("]]>", start)) >= 0:
        parts += [source[position:start], escape(source[start + 9 : end], quote=False)]
        position = end + 3
    return "".join([*parts, source[position:]])


def _cut_charts(source: str) -> tuple[str, list[Symbol]]:
    """Without the blocks between chart markers, and the symbols they showed."""
    symbols: list[Symbol] = []
    kept: list[str] = []
    position = 0
    while start := _CHART_START.search(source, position):
        end = _CHART_END.search(source, start.end())
        if end is None:
            break
        while (later := _CHART_START.search(source, start.end(), end.start())) is not None:
            start = later  # the former one has no end: what follows it is text
        block = source[start.end() : end.start()]
        kept.append(source[position : start.start()])
        symbols.extend(subjects_in_markup(block))
        position = end.end()
    kept.append(source[position:])
    return "".join(kept), symbols


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


def _unwrap_links(body: lxml_html.HtmlElement, base: str) -> list[Symbol]:
    """Turn keyword links into their words, keep genuine links absolute; the symbols the keywords name."""
    symbols: list[Symbol] = []
    for element in list(body.iter("a", "span")):
        attributes = _attributes(element)
        keyword = bool(_KEYWORD_CLASSES & set(attributes.get("class", "").split())) or (
            "/unify/r/" in attributes.get("href", "")
        )
        if keyword and (symbol := mention_of(attributes, element.text_content())):
            image = element.find(".//img")
            if image is not None and is_chart(_attributes(image)):
                symbol = subject_of(attributes) or symbol
            symbols.append(symbol)
        if element.tag != "a":
            continue
        target = "" if keyword else _link(attributes.get("href", ""), base)
        _strip_attributes(element)
        if target:
            element.set("href", target)
        else:
            element.tag = "span"
    return symbols


def _attributes(element: lxml_html.HtmlElement) -> dict[str, str]:
    """The attributes we look at; others may have names that lxml cannot bear."""
    return {name: value for name in _KNOWN_ATTRIBUTES if (value := element.get(name)) is not None}


def _strip_attributes(element: lxml_html.HtmlElement) -> None:
    """Remove the attributes we know; the sanitiser removes the others."""
    for name in _KNOWN_ATTRIBUTES:
        element.attrib.pop(name, None)


def _link(href: str, base: str) -> str:
    href = "".join(href.split()) if ":" in href.split("/")[0] else href.strip()
    if href.lower().startswith("mailto:"):
        return href if re.fullmatch(r"(?i)mailto:[\w.+%-]+@[\w.-]+(?:\?[\w=&%.+-]*)?", href) else ""
    return _absolute(href, base)


def _absolute(url: str, base: str) -> str:
    """An absolute http(s) URL, or "" when that cannot be had."""
    url = url.strip()
    if not url or url.startswith("#"):
        return ""
    if url.startswith("//") and not base:
        url = "https:" + url
    try:
        return web_url(urljoin(base, url) if base else url)
    except ValueError:
        return ""


def _mend_images(body: lxml_html.HtmlElement, base: str) -> list[Symbol]:
    symbols: list[Symbol] = []
    for image in list(body.iter("img", "image")):
        attributes = _attributes(image)
        source = _absolute(
            attributes.get("src") or attributes.get("data-src") or attributes.get("data-original", ""), base
        )
        chart = is_chart(attributes)
        if chart and (symbol := subject_of(attributes)):
            symbols.append(symbol)
        if chart or not source:
            image.drop_tree()
            continue
        image.tag = "img"
        _strip_attributes(image)
        image.set("src", source)
        if size := _size(source, attributes.get("width", ""), attributes.get("height", "")):
            image.set("width", str(size[0]))
            image.set("height", str(size[1]))
        alt = strip_illegal(attributes.get("alt", "")).strip()
        image.set("alt", "" if alt.lower() in _NO_ALT else alt)
    return symbols


def _size(source: str, width: str, height: str) -> tuple[int, int] | None:
    """Width and height in CSS pixels: as given, the missing one from the `_w800h555` in the file's name."""
    wide, high = (int(m.group(1)) if (m := _NUMBER.fullmatch(value[:20].strip())) else 0 for value in (width, height))
    if wide and high:
        return wide, high
    named = _NAMED_SIZE.search(source)
    if named is None or not (int(named.group(1)) and int(named.group(2))):
        return None
    full_wide, full_high = int(named.group(1)), int(named.group(2))
    if wide:
        return wide, max(1, round(full_high * wide / full_wide))
    if high:
        return max(1, round(full_wide * high / full_high)), high
    return full_wide, full_high


def _trim(body: lxml_html.HtmlElement) -> None:
    """No white space at the edges of blocks, no trailing breaks, no empty elements."""
    for element in reversed(body):
        _trim_block(element)
    for element in body.iter(*_CONTAINERS):
        if element.text and not element.text.strip():
            element.text = None
        for child in element:
            if child.tail and not child.tail.strip():
                following = child.getnext()
                if child.tag in _BLOCKS or following is None or following.tag in _BLOCKS:
                    child.tail = None
    if body.text:
        body.text = body.text.lstrip()


def _trim_block(element: lxml_html.HtmlElement) -> None:
    """Trim an element from its innermost parts outwards, and drop it when nothing is left."""
    for child in reversed(element):
        _trim_block(child)
    if element.tag not in _TRIMMED:
        return
    if len(element):
        if element.tag not in _INLINE:
            _trim_start(element)
        _trim_end(element)
    elif element.tag not in _INLINE:
        if (text := element.text) and len(stripped := text.strip()) != len(text):
            element.text = stripped
    elif element.text and _ends_block(element):
        element.text = element.text.rstrip()
    if not len(element) and not (element.text or "").strip() and element.tag not in ("td", "th"):
        element.drop_tree()


def _trim_start(element: lxml_html.HtmlElement) -> None:
    """Cut white space and breaks off the start of a block, also where it begins inside inline elements."""
    while not (element.text or "").strip():
        element.text = None
        first = next(element.iterchildren(), None)
        if first is None:
            return
        if first.tag != "br":
            if first.tag in _INLINE:
                _trim_start(first)
            return
        element.text = first.tail
        element.remove(first)
    element.text = (element.text or "").lstrip()


def _trim_end(element: lxml_html.HtmlElement) -> None:
    if element.tag in _INLINE and element.getparent().tag not in _BLOCKS:
        return
    while (last := next(element.iterchildren(reversed=True), None)) is not None:
        if last.tail and last.tail.strip():
            if element.tag not in _INLINE:
                last.tail = last.tail.rstrip()
            return
        last.tail = None
        if last.tag != "br":
            return
        element.remove(last)
    if element.text and (element.tag not in _INLINE or _ends_block(element)):
        element.text = element.text.rstrip()


def _ends_block(element: lxml_html.HtmlElement) -> bool:
    return element.getnext() is None and not (element.tail or "").strip()
