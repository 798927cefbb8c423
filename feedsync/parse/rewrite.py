"""Where a page's text lives, when the page itself is only a shell of scripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence


class Rewrite(Struct, frozen=True):
    """What matches in a page URL gives way to `to`, a template with `\\1` or `\\g<name>` for groups.

    A template that is itself an absolute URL takes the place of the whole URL, however little of it matched.

    Raises ValueError when `to` names a group that `match` has not.
    """

    match: re.Pattern[str]
    to: str

    def __post_init__(self) -> None:
        blank = re.compile(f"(?:{self.match.pattern})?", self.match.flags).match("")
        try:
            if blank is not None:
                blank.expand(self.to)
        except (re.error, IndexError) as error:
            raise ValueError(f"{self.to!r} does not fit {self.match.pattern!r}: {error}") from error


_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
_SHARE_PAGE = Rewrite(
    re.compile(
        r"^(?P<site>https?://[^/?#\s]+)/html_News/NewsShare\.html\?(?:[^#\s]*&)?infoCode=(?P<code>[A-Z0-9]{1,64})(?:[&#]\S*)?$",
        re.ASCII | re.IGNORECASE,
    ),
    r"\g<site>/NewsData/GetNewsText.do?id=\g<code>",
)
MAX_URL = 2000
"""Characters; what is longer is no page of anybody's, and patterns take their time over it."""

BUILT_IN = (_SHARE_PAGE,)


def text_url(page_url: str, rules: Sequence[Rewrite]) -> str:
    """The URL of a page's text by the first rule that matches, these before those built in; else the page's own."""
    if len(page_url) > MAX_URL:
        return page_url
    for rule in (*rules, *BUILT_IN):
        if match := rule.match.search(page_url):
            target = match.expand(rule.to)
            if _ABSOLUTE.match(target):
                return target
            return page_url[: match.start()] + target + page_url[match.end() :]
    return page_url
