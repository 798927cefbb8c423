"""The text of an HTML page: where a selector says it is, where the page marks it, else where it is found."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from lxml import etree
from lxml import html as lxml_html

from feedsync.errors import Refused
from feedsync.parse.clean import text_of
from feedsync.parse.elements import BLOCKS
from feedsync.parse.guard import check_depth
from feedsync.text import normalise

if TYPE_CHECKING:
    from configparser import ConfigParser

    from lxml.html import HtmlElement

MAX_TAGS = 50_000
"""A second's work; long pages have five thousand."""

_RAW = re.compile(r"<(script|style|noscript|template|textarea|svg|math|xmp)(?=[\s/>])", re.IGNORECASE)
_RAW_END = {
    name: re.compile(rf"</{name}\s*>", re.IGNORECASE)
    for name in ("script", "style", "noscript", "template", "textarea", "svg", "math", "xmp")
}
_LINKED = re.compile(r"type\s*=\s*[\"']?application/ld\+json", re.IGNORECASE)
_LEAVES = ("p", "div", "li", "td", "blockquote", "section", "h2", "h3", "h4")
_LAYOUT = frozenset({"div", "section", "article", "main", "td", "body"})
_H1 = re.compile(r"<h1>[^<]{0,300}</h1>")
_MIN_LINE = 4
_MAX_LINE = 60
_MAX_BESIDES = 1.5

_PARSER = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)


def split_scripts(text: str) -> tuple[str, list[str]]:
    """A page without its scripts, styles and comments, and the texts of its JSON-LD scripts. Takes linear time."""
    parts: list[str] = []
    linked: list[str] = []
    endless: set[str] = set()
    position = 0
    while position < len(text):
        start = _RAW.search(text, position)
        comment = text.find("<!--", position)
        if start is None and comment < 0:
            break
        if start is None or 0 <= comment < start.start():
            parts.append(text[position:comment])
            end = text.find("-->", comment + 4)
            position = end + 3 if end >= 0 else len(text)
            continue
        parts.append(text[position : start.start()])
        name = start.group(1).lower()
        end_match = None if name in endless else _RAW_END[name].search(text, start.end())
        close = text.find(">", start.end())
        if end_match is None or close < 0:
            # A script that never ends hides the rest of the page, in browsers too.
            position = len(text) if name in ("script", "style") else start.end()
            endless.add(name)
            continue
        if _LINKED.search(text, start.end(), close):
            linked.append(text[close + 1 : end_match.start()])
        position = end_match.end()
    parts.append(text[position:])
    return "".join(parts), linked


def parse_page_tree(text: str) -> HtmlElement | None:
    """The tree of a whole page; None when there is nothing in it.

    Raises Refused (`too-deep`) for one that nests too deep or has more tags than any page for people.
    """
    check_depth(text)
    if text.count("<") > MAX_TAGS:
        raise Refused("too-deep", f"the page has more than {MAX_TAGS} tags", remedy="check the URL")
    try:
        root: HtmlElement | None = etree.fromstring(text.encode("utf-8", "replace"), _PARSER)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None
    return root


def select(page: HtmlElement, selector: str) -> str:
    """The HTML of the elements a CSS selector names, in the page's order; one inside another counts once.

    Raises Refused: `selector` when it is none, `no-text` when nothing matches.
    """
    path, fault = _compiled(selector)
    if path is None:
        raise Refused("selector", f"{selector!r} is no CSS selector: {fault}", remedy="mend `content_selector`")
    found = path(page)
    chosen = set(found)
    html = "".join(
        _inner(element) for element in found if not any(parent in chosen for parent in element.iterancestors())
    )
    if not html:
        raise Refused("no-text", f"nothing on the page matches {selector!r}", remedy="check `content_selector`")
    return html


def selector_fault(selector: str) -> str:
    """What is wrong with a CSS selector, for whoever reads the configuration; "" when nothing is."""
    return _compiled(selector)[1]


def marked(page: HtmlElement) -> str:
    """The HTML of the element the page itself marks as the article's text; "" when it marks none, or several."""
    found = page.xpath(".//*[@itemprop='articleBody']")
    if len(found) != 1 or not found[0].text_content().strip():
        return ""
    return _inner(found[0])


def find(page: HtmlElement, source: str, title: str) -> str:
    """The HTML of the text on an unknown page; "" when there is none.

    trafilatura finds the text; the page's own markup around it is what is taken, since trafilatura keeps neither
    tables within a text nor what symbols are known by. `source` is the page as text.
    """
    found = _extract(source)
    lines = {line for part in text_of(found).split("\n") if len(line := normalise(part)) >= _MIN_LINE}
    lines.discard(normalise(title))
    container = _container(page, lines)
    if container is None:
        return _H1.sub("", found)
    return _inner(container)


def _container(page: HtmlElement, lines: set[str]) -> HtmlElement | None:
    """The smallest element around all blocks whose text is one of the lines; None when it holds much besides."""
    leaves = [
        (element, normalise(element.text_content()))
        for element in page.iter(*_LEAVES)
        if not any(child.tag in BLOCKS for child in element)
    ]
    longest = max(lines, key=len, default="")
    blocks = [leaf for leaf, text in leaves if text in lines] or [leaf for leaf, text in leaves if longest in text]
    if not blocks or not longest:
        return None
    shared = [blocks[0], *blocks[0].iterancestors()] if len(blocks) > 1 else list(blocks[0].iterancestors())[:1]
    for block in blocks[1:]:
        above = {block, *block.iterancestors()}
        shared = [element for element in shared if element in above]
    wanted = sum(map(len, lines))
    for element in shared:
        if element.tag in ("html", "body"):
            return None
        if len(normalise(element.text_content())) <= _MAX_BESIDES * wanted + _MAX_LINE:
            return element
        break
    return blocks[0] if len(blocks) == 1 else None


def _inner(element: HtmlElement) -> str:
    """The HTML of an element; of one that only lays out, what it holds."""
    html: str = etree.tostring(element, encoding="unicode", method="html", with_tail=False)
    if element.tag not in _LAYOUT:
        return html
    return html[html.index(">") + 1 : html.rindex("<")]


def _extract(page: str) -> str:
    import trafilatura  # half a second to load; only unknown pages need it

    return (
        trafilatura.extract(
            page,
            output_format="html",
            include_comments=False,
            include_tables=True,
            include_images=True,
            include_links=True,
            include_formatting=True,
            with_metadata=False,
            deduplicate=False,
            config=_settings(),
        )
        or ""
    )


@lru_cache(maxsize=1)
def _settings() -> ConfigParser:
    """trafilatura's, but for Chinese: a flash is whole in thirty characters, not in two hundred and fifty."""
    from trafilatura.settings import use_config

    settings = use_config()
    settings.set("DEFAULT", "MIN_EXTRACTED_SIZE", "30")
    settings.set("DEFAULT", "MIN_OUTPUT_SIZE", "1")
    return settings


@lru_cache(maxsize=64)
def _compiled(selector: str) -> tuple[etree.XPath | None, str]:
    from cssselect import HTMLTranslator, SelectorError

    try:
        return etree.XPath(HTMLTranslator().css_to_xpath(selector)), ""
    except (SelectorError, etree.XPathSyntaxError) as error:
        return None, str(error)
