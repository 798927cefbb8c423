"""Where a page's text lives, when the page itself is only a shell of scripts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A page URL that matches as a whole is read at `to`, a template with `\\1` or `\\g<name>` for groups.

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


_SHARE_PAGE = Rewrite(
    re.compile(
        r"(?P<site>https?://[^/?#\s]+)/html_News/NewsShare\.html\?(?:[^#\s]*&)?infoCode=(?P<code>[A-Z0-9]{1,64})(?:[&#]\S*)?",
        re.ASCII | re.IGNORECASE,
    ),
    r"\g<site>/NewsData/GetNewsText.do?id=\g<code>",
)
BUILT_IN = (_SHARE_PAGE,)


def text_url(page_url: str, rules: Sequence[Rewrite]) -> str:
    """The URL of a page's text by the first rule that matches, these before those built in; else the page's own."""
    for rule in (*rules, *BUILT_IN):
        if match := rule.match.fullmatch(page_url):
            return match.expand(rule.to)
    return page_url
