"""What is done to raw markup before a parser sees it: bounds, CDATA sections, chart blocks."""

from __future__ import annotations

import re
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from feedsync.errors import Refused
from feedsync.parse.elements import SELF_CLOSING, VOID
from feedsync.parse.symbols import subjects_in_markup
from feedsync.text import strip_illegal

if TYPE_CHECKING:
    from feedsync.model import Symbol

MAX_DEPTH = 200
"""Open elements; libxml2 silently drops what is below 256, and nh3 takes quadratic time."""

_MAX_TAGS = 200_000
_LONG_TAG = 20_000
_MAX_ATTRIBUTES = 1000

_REFERENCE = re.compile(r"&#(?:[xX]0*([0-9a-fA-F]{1,7})(?![0-9a-fA-F])|0*([0-9]{1,8})(?![0-9]));?")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)[^<>]*>")
_CHART_START = re.compile(r"<!--\s{0,9}EM_StockImg_Start\s{0,9}-->")
_CHART_END = re.compile(r"<!--\s{0,9}EM_StockImg_End\s{0,9}-->")


def check_depth(source: str) -> None:
    if source.count("<") <= MAX_DEPTH and len(source) < _LONG_TAG:
        return
    depth = tags = 0
    for match in _TAG.finditer(source):
        tags += 1
        name = match.group(2).lower()
        if match.end() - match.start() > _LONG_TAG and len(match.group(0).split()) > _MAX_ATTRIBUTES:
            raise Refused("too-deep", f"a tag has more than {_MAX_ATTRIBUTES} attributes", remedy="take them out")
        if name in VOID or name in SELF_CLOSING:
            continue
        depth = max(0, depth - 1) if match.group(1) else depth + 1
        if depth > MAX_DEPTH or tags > _MAX_TAGS:
            raise too_deep()


def too_deep() -> Refused:
    return Refused(
        "too-deep",
        f"the HTML nests more than {MAX_DEPTH} elements, or has more than {_MAX_TAGS} tags",
        remedy="close its elements, or split it",
    )


def open_cdata(source: str) -> str:
    """The content of CDATA sections, which HTML does not know, as text."""
    parts = []
    position = 0
    while (start := source.find("<![CDATA[", position)) >= 0 and (end := source.find("]]>", start)) >= 0:
        parts += [source[position:start], escape(source[start + 9 : end], quote=False)]
        position = end + 3
    return "".join([*parts, source[position:]])


def drop_illegal_references(source: str) -> str:
    """Without character references to what no XML document may hold: lxml reads them, and refuses to move them."""
    if "&#" not in source:
        return source
    # Where one goes, what stood around it may be another (`&#&#xF;5`): that gives way to a mark that parts them.
    return _REFERENCE.sub(partial(_legal, "\ufffd"), _REFERENCE.sub(partial(_legal, ""), source))


def _legal(instead: str, reference: re.Match[str]) -> str:
    hexadecimal, decimal = reference.groups()
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    return reference.group() if code <= 0x10FFFF and strip_illegal(chr(code)) else instead


def cut_charts(source: str) -> tuple[str, list[Symbol]]:
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
