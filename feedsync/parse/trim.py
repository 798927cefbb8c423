"""No white space at the edges of blocks, no trailing breaks, no empty elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedsync.parse.elements import BLOCKS, CONTAINERS, INLINE, TRIMMED

if TYPE_CHECKING:
    from lxml.html import HtmlElement


def trim(body: HtmlElement) -> None:
    """No white space at the edges of blocks, no trailing breaks, no empty elements."""
    for element in reversed(body):
        _trim_block(element)
    for element in body.iter(*CONTAINERS):
        if element.text and not element.text.strip():
            element.text = None
        for child in element:
            if child.tail and not child.tail.strip():
                following = child.getnext()
                if child.tag in BLOCKS or following is None or following.tag in BLOCKS:
                    child.tail = None
    if body.text:
        body.text = body.text.lstrip()


def _trim_block(element: HtmlElement) -> None:
    """Trim an element from its innermost parts outwards, and drop it when nothing is left."""
    for child in reversed(element):
        _trim_block(child)
    if element.tag not in TRIMMED:
        return
    if len(element):
        if element.tag not in INLINE:
            _trim_start(element)
        _trim_end(element)
    elif element.tag not in INLINE:
        if (text := element.text) and len(stripped := text.strip()) != len(text):
            element.text = stripped
    elif element.text and _ends_block(element):
        element.text = element.text.rstrip()
    if not len(element) and not (element.text or "").strip() and element.tag not in ("td", "th"):
        element.drop_tree()


def _trim_start(element: HtmlElement) -> None:
    """Cut white space and breaks off the start of a block, also where it begins inside inline elements."""
    while not (element.text or "").strip():
        element.text = None
        first = next(element.iterchildren(), None)
        if first is None:
            return
        if first.tag != "br":
            if first.tag in INLINE:
                _trim_start(first)
            return
        element.text = first.tail
        element.remove(first)
    element.text = (element.text or "").lstrip()


def _trim_end(element: HtmlElement) -> None:
    if element.tag in INLINE and element.getparent().tag not in BLOCKS:
        return
    while (last := next(element.iterchildren(reversed=True), None)) is not None:
        if last.tail and last.tail.strip():
            if element.tag not in INLINE:
                last.tail = last.tail.rstrip()
            return
        last.tail = None
        if last.tag != "br":
            return
        element.remove(last)
    if element.text and (element.tag not in INLINE or _ends_block(element)):
        element.text = element.text.rstrip()


def _ends_block(element: HtmlElement) -> bool:
    return element.getnext() is None and not (element.tail or "").strip()
