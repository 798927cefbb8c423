"""The text of an HTML page: where a selector says it is, where the page marks it, else where it is found."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from lxml import etree
from lxml import html as lxml_html

from feedsync.errors import Refused

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_RAW = re.compile(r"<(script|style|noscript|template|textarea|svg|math|xmp)(?=[\s/>])", re.IGNORECASE)
_RAW_END = {
    name: re.compile(rf"</{name}\s*>", re.IGNORECASE)
    for name in ("script", "style", "noscript", "template", "textarea", "svg", "math", "xmp")
}
_LINKED = re.compile(r"type\s*=\s*[\"']?application/ld\+json", re.IGNORECASE)
_PARSER = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)


def split_scripts(text: str) -> tuple[str, list[str]]:
    """A page without its scripts, styles and comments, and the texts of its JSON-LD scripts. Takes linear time."""
    parts: list[str] = []
    linked: list[str] = []
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
        end_match = _RAW_END[start.group(1).lower()].search(text, start.end())
        close = text.find(">", start.end())
        if end_match is None or close < 0:
            # A script that never ends hides the rest of the page, in browsers too.
            position = len(text) if start.group(1).lower() in ("script", "style") else start.end()
            continue
        if _LINKED.search(text, start.end(), close):
            linked.append(text[close + 1 : end_match.start()])
        position = end_match.end()
    parts.append(text[position:])
    return "".join(parts), linked


def parse_page_tree(text: str) -> HtmlElement | None:
    """The tree of a whole page; None when there is nothing in it."""
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
        etree.tostring(element, encoding="unicode", method="html", with_tail=False)
        for element in found
        if not any(parent in chosen for parent in element.iterancestors())
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
    html: str = etree.tostring(found[0], encoding="unicode", method="html", with_tail=False)
    return html


def extract(page: str) -> str:
    """The HTML of the text on an unknown page, as trafilatura finds it; "" when it finds none."""
    import trafilatura  # half a second to load; only unknown pages need it

    html = trafilatura.extract(
        page, output_format="html", include_comments=False, include_tables=True, include_images=True,
        include_links=True, include_formatting=True, with_metadata=False, deduplicate=False,
    )  # fmt: skip
    return html or ""


@lru_cache(maxsize=64)
def _compiled(selector: str) -> tuple[etree.XPath | None, str]:
    from cssselect import HTMLTranslator, SelectorError

    try:
        return etree.XPath(HTMLTranslator().css_to_xpath(selector)), ""
    except (SelectorError, etree.XPathSyntaxError) as error:
        return None, str(error)
