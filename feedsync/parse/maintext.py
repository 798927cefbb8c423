"""The text of an HTML page: where a selector says it is, where the page marks it, else where it is found."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING

from lxml import etree
from lxml import html as lxml_html

from feedsync.errors import Refused
from feedsync.parse.clean import text_of
from feedsync.parse.elements import BLOCKS
from feedsync.parse.guard import check_depth
from feedsync.parse.plain import date_of_line
from feedsync.parse.selector import compiled
from feedsync.text import normalise, one_line

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
_MAX_HEAD, _MAX_FOOT = 500, 40
_FOOT = re.compile(
    r"分享到|分享至|扫一扫|责任?编辑|版权所有|备案|[上下]一[篇条]|打印本|关闭窗口|相关阅读|点击查看|违法和不良"
)
_MAX_BESIDES = 0.5

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
        close = text.find(">", start.end())
        if close > 0 and text[close - 1] == "/":  # XHTML
            position = close + 1
            continue
        name = start.group(1).lower()
        end_match = None if name in endless else _RAW_END[name].search(text, start.end())
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
    path, fault = compiled(selector)
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
    blocks = _blocks(page, lines)
    told = [block for block in blocks if not _of_links(*block) and not _is_around(*block, title)]
    if blocks and not told:
        return ""  # an index
    container = _container(told) if told else None
    if container is None:
        return _H1.sub("", found)
    _behead(container, told[0][0], title)
    return _inner(container)


def _is_head(element: HtmlElement, title: str) -> bool:
    """Whether it shows what stands above a text: the title, or the line with the time."""
    text = element.text_content()
    if len(text) > _MAX_HEAD:
        return False
    return normalise(text) == normalise(title) or bool(date_of_line(one_line(text)))


def _is_around(element: HtmlElement, text: str, title: str) -> bool:
    return _is_head(element, title) or (len(text) <= _MAX_FOOT and _FOOT.search(text) is not None)


def _behead(container: HtmlElement, first: HtmlElement, title: str) -> None:
    """Drop the title and the line with the time from above the first block of the text."""
    for element in list(container.iter(*_LEAVES, "h1", "time", "span", "em", "i")):
        if element is first:
            return
        if element is not container and first not in element.iterdescendants() and _is_head(element, title):
            element.drop_tree()


def _blocks(page: HtmlElement, lines: set[str]) -> list[tuple[HtmlElement, str]]:
    """The innermost blocks whose text is one of the lines, with that text; else those that hold the longest line."""
    leaves = [
        (element, normalise(element.text_content()))
        for element in page.iter(*_LEAVES)
        if not any(child.tag in BLOCKS for child in element)
    ]
    longest = max(lines, key=len, default="")
    return [leaf for leaf in leaves if leaf[1] in lines] or [leaf for leaf in leaves if longest and longest in leaf[1]]


def _container(blocks: list[tuple[HtmlElement, str]]) -> HtmlElement | None:
    """The element that holds these blocks and little besides; None when none does."""
    # Where something far away was found too, what most of the text stands in.
    weights: dict[HtmlElement, int] = {}
    for element, text in blocks:
        parent = element.getparent()
        weights[parent] = weights.get(parent, 0) + len(text)
    heaviest = max(weights, key=lambda element: weights[element])
    wanted = sum(weights.values())
    candidates = [_shared([element for element, _ in blocks])]
    if 2 * weights[heaviest] >= wanted:
        candidates.append(heaviest)
    if len(blocks) == 1:
        candidates.append(blocks[0][0])
    for element in candidates:
        besides = len(normalise(element.text_content())) - wanted
        if element.tag not in ("html", "body") and besides <= _MAX_BESIDES * wanted + _MAX_LINE:
            return element
    return None


def _of_links(block: HtmlElement, text: str) -> bool:
    return 2 * sum(len(normalise(link.text_content())) for link in block.iter("a")) > len(text)


def _shared(blocks: list[HtmlElement]) -> HtmlElement:
    """The smallest element around all blocks, and around one its parent."""
    around = list(blocks[0].iterancestors())
    for block in blocks[1:]:
        above = set(block.iterancestors())
        around = [element for element in around if element in above]
    return around[0]


def _inner(element: HtmlElement) -> str:
    """The HTML of an element; of one that only lays out, what it holds."""
    if element.tag not in _LAYOUT:
        html: str = etree.tostring(element, encoding="unicode", method="html", with_tail=False)
        return html
    children = (etree.tostring(child, encoding="unicode", method="html") for child in element)
    inner = escape(element.text or "", quote=False) + "".join(children)
    return inner if any(child.tag in BLOCKS for child in element.iterdescendants()) else f"<p>{inner}</p>"


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
    """trafilatura's, but for Chinese: a flash is whole in twenty characters, not in two hundred and fifty."""
    from trafilatura.settings import use_config

    settings = use_config()
    settings.set("DEFAULT", "MIN_EXTRACTED_SIZE", "20")
    settings.set("DEFAULT", "MIN_OUTPUT_SIZE", "1")
    return settings
