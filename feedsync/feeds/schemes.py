"""The schemes under which feeds are published: where they stand, and what people call them.

One table for all that publishes, lists, links or explains feeds. The feed of everything stands beside it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from feedsync.feeds import names
from feedsync.model import CATEGORY, CUSTOM, OUTLET, SYMBOL, TAG
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_SYMBOL = re.compile(r"[0-9]{1,3}\.[A-Z0-9_]{1,12}")
_LIST = names.INDEX.removesuffix(".html")


class Scheme(Struct, frozen=True):
    """A kind of feed: `name` as in the store, `folder` below the root, `heading` above a list of them."""

    name: str
    folder: str
    heading: str
    title: Callable[[str, str], str] = lambda _value, label: label
    """What a feed is called, from its value and label: an outlet and a category of one name are two subscriptions."""
    archived: bool = False
    """Whether all its articles stand on pages by year, and articles lead to those beside them."""
    learnt: bool = False
    """Whether articles suggest its labels, so that the store has to be asked for them."""

    def slug(self, value: str) -> str:
        """Its value in a path; different values differ on a case-insensitive disk, too."""
        if self.name == SYMBOL and _SYMBOL.fullmatch(value):
            return value
        # The list of all feeds of a scheme stands beside them; categories are listed on the index.
        return names.coded(value) if value == _LIST and not self.archived else names.slug(value)

    def stem(self, value: str) -> str:
        """The path of a feed without the extension that names a format."""
        return f"{self.folder}/{self.slug(value)}"

    def path(self, value: str, extension: str) -> str:
        return f"{self.stem(value)}.{extension}"

    @property
    def list_path(self) -> str:
        """The page that lists all feeds of the scheme."""
        return f"{self.folder}/{names.INDEX}"


def _title_of_symbol(value: str, label: str) -> str:
    """`中国人寿（601628）`; of one nobody named, market and code."""
    return value if label == value else f"{label}（{value.partition('.')[2]}）"


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(CATEGORY, "category", "栏目", archived=True, learnt=True),
        Scheme(CUSTOM, "feed", "专题"),
        Scheme(OUTLET, "outlet", "媒体", lambda _, label: f"{label}（媒体）"),
        Scheme(SYMBOL, "symbol", "股票和板块", _title_of_symbol, learnt=True),
        Scheme(TAG, "tag", "标签", lambda _, label: f"{label}（标签）"),
    )
}
"""By name, in the order in which people see them."""

LARGE_ALIASES = {
    f"{names.LARGE}/{names.INDEX}": f"../{names.INDEX}",
    **{
        f"{names.LARGE}/{folder}": f"../{folder}"
        for folder in (names.ARTICLE_FOLDER, *(scheme.folder for scheme in SCHEMES.values()))
    },
}
"""What makes every page stand under `large/` once more: symbolic links and where they lead. The bytes are the same."""
