"""Links and pictures: keyword links become words, genuine links and images absolute, charts only symbols."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from feedsync.parse.footer import web_url
from feedsync.parse.symbols import is_chart, mention_of, subject_of
from feedsync.text import strip_illegal

if TYPE_CHECKING:
    from lxml.html import HtmlElement

    from feedsync.model import Symbol

_NAMED_SIZE = re.compile(r"_w([0-9]{1,5})h([0-9]{1,5})(?=[_.])")
_NUMBER = re.compile(r"([0-9]{1,5})(?:px)?")
_KNOWN_ATTRIBUTES = (
    "href", "class", "src", "data-src", "data-original", "data-code", "data-code2", "alt", "width", "height",
)  # fmt: skip
_BREAK = re.compile(r"[\t\n\f\r]")
_UP_TO_HOST = re.compile(r"[^/]*//[^/?#]*")
_KEYWORD_CLASSES = frozenset({"keytip", "infokey", "em_stock_key_common"})
_NO_ALT = frozenset({"图片", "image", "img", "图", "picture", "undefined", "null"})


def unwrap_links(body: HtmlElement, base: str) -> list[Symbol]:
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
                image.drop_tree()  # the link has said it, and is the authority
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


def mend_images(body: HtmlElement, base: str) -> list[Symbol]:
    symbols: list[Symbol] = []
    for image in list(body.iter("img")):
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
        _strip_attributes(image)
        image.set("src", source)
        for name, length in zip(("width", "height"), _size(source, attributes), strict=True):
            if length:
                image.set(name, str(length))
        alt = strip_illegal(attributes.get("alt", "")).strip()
        image.set("alt", "" if alt.lower() in _NO_ALT else alt)
    return symbols


def _attributes(element: HtmlElement) -> dict[str, str]:
    """The attributes we look at; others may have names that lxml cannot bear."""
    return {name: value for name in _KNOWN_ATTRIBUTES if (value := element.get(name)) is not None}


def _strip_attributes(element: HtmlElement) -> None:
    """Remove the attributes we know; the sanitiser removes the others."""
    for name in _KNOWN_ATTRIBUTES:
        element.attrib.pop(name, None)


def _link(href: str, base: str) -> str:
    href = "".join([part.strip() for part in _BREAK.split(href)])
    if ":" in href.split("/")[0]:
        host = _UP_TO_HOST.match(href)
        href = "".join(host.group().split()) + href[host.end() :] if host else "".join(href.split())
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


def _size(source: str, attributes: dict[str, str]) -> tuple[int, int]:
    """Width and height in CSS pixels: as given, else from the `_w800h555` in the name; 0 if unknown."""
    wide, high = (
        int(m.group(1)) if (m := _NUMBER.fullmatch(attributes.get(name, "")[:20].strip())) else 0
        for name in ("width", "height")
    )
    if wide and high:
        return wide, high
    named = _NAMED_SIZE.search(source)
    if named is None or not (int(named.group(1)) and int(named.group(2))):
        return wide, high
    full_wide, full_high = int(named.group(1)), int(named.group(2))
    if wide:
        return wide, max(1, round(full_high * wide / full_wide))
    if high:
        return max(1, round(full_wide * high / full_high)), high
    return full_wide, full_high
