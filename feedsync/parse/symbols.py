"""Stocks and boards named by the markup: charts and keyword links.

The quote link (`.../unify/r/1.601628`) is the authority. `data-code` comes in two orders (quirks B.4):
`601628|1|1` in charts (code, market) and `90,BK0475` in keyword links (market, code).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from feedsync.model import Role, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_QUOTE_LINK = re.compile(r"/unify/r/([0-9]{1,3})\.([A-Za-z0-9_]{1,12})")
_CHART_IMAGE = re.compile(r"[?&]nid=([0-9]{1,3})\.([A-Za-z0-9_]{1,12})")
_CHART_PAGE = re.compile(r"/GetPic\.aspx|eastmoney\.com/[^?]*\?(?:[^#]*&)?token=", re.IGNORECASE)
_CHART_CODE = re.compile(r"(?:K )?([A-Za-z0-9_]{1,12})\|([0-9]{1,3})\|")
_KEYWORD_CODE = re.compile(r"([0-9]{1,3})[,.]([A-Za-z0-9_]{1,12})")
_TAG_ATTRIBUTE = re.compile(
    r"(?<![\w-])(href|src|data-code2?)\s*=\s*(?:\"([^\"<>]{1,400})\"|'([^'<>]{1,400})'|([^\s\"'<>]{1,400}))",
    re.IGNORECASE,
)


def is_chart(attributes: Mapping[str, str]) -> bool:
    """Whether an image is a live quote chart, which says nothing tomorrow, not a picture."""
    source = attributes.get("src", "")
    return "webquotepic" in source or "webquoteklinepic" in source or bool(_CHART_PAGE.search(source))


def subject_of(attributes: Mapping[str, str]) -> Symbol | None:
    """The symbol a chart shows, from the attributes of its link or image."""
    return _symbol(attributes, Role.SUBJECT)


def mention_of(attributes: Mapping[str, str], name: str) -> Symbol | None:
    """The symbol a keyword link leads to; `name` is the word that carries it."""
    return _symbol(attributes, Role.MENTION, name.strip())


def subjects_in_markup(markup: str) -> Iterable[Symbol]:
    """The symbols in a chart block, read from the raw markup; a picture inside a link that names one adds none."""
    linked = False
    for tag in markup.replace("&amp;", "&").split("<"):
        if tag[:2].lower() == "/a":
            linked = False
        attributes = {name.lower(): a or b or c for name, a, b, c in _TAG_ATTRIBUTE.findall(tag)}
        if not linked and (symbol := _symbol(attributes, Role.SUBJECT)):
            linked = tag[:1].lower() == "a"
            yield symbol


def _symbol(attributes: Mapping[str, str], role: Role, name: str = "") -> Symbol | None:
    if (match := _QUOTE_LINK.search(attributes.get("href", ""))) or (
        match := _CHART_IMAGE.search(attributes.get("src", ""))
    ):
        market, code = match.groups()
    elif match := _CHART_CODE.match(written := attributes.get("data-code") or attributes.get("data-code2", "")):
        code, market = match.groups()
    elif match := _KEYWORD_CODE.fullmatch(written):
        market, code = match.groups()
    else:
        return None
    return Symbol(str(int(market)), code.upper(), role, name)
