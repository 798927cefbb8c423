"""Articles without front matter: a title line, a line with the date, then the text."""

from __future__ import annotations

import re

from feedsync.parse.credit import MEDIUM, is_outlet, outlet_of_line
from feedsync.parse.dates import WEEKDAY, find_moment
from feedsync.text import one_line
from feedsync.values import Struct

_HEAD_LINES = 8
_MAX_TITLE = 200
_LABEL = re.compile(
    r"(?:发布|发表|更新|出版|日期|时间)+\s*[:：]?|[:：|｜/·\-—,，()（）\[\]【】]+"
    r"|(?:文章)?来源\s*[:：]\s*\S{0,30}|(?:作者|记者|编辑|责编|责任编辑|文|撰文)\s*[:：/]\s*\S{0,30}"
    r"|(?:浏览|阅读|点击)(?:次数|量|数)?\s*[:：]?\s*\d*|字号\S{0,8}|北京时间"
)
_OUTLET = re.compile(r"(?:文章)?来源\s*[:：]\s*([^\s|｜]{1,30})")
_TITLE_LABEL = re.compile(r"^(?:#{1,6}\s+|(?:标题|题目)\s*[:：]\s*)")


class PlainText(Struct, frozen=True):
    """The parts of a plain-text article; `title`, `date` and `outlet` are "" where it has none."""

    title: str
    date: str
    outlet: str
    body: str


def read_plain(text: str) -> PlainText:
    """Find title, date and text in a document without front matter. Raises nothing."""
    lines = text.split("\n")
    filled = [number for number, line in enumerate(lines) if line.strip()][:_HEAD_LINES]
    dated = next((number for number in filled if date_of_line(lines[number])), None)
    titled = next((number for number in filled if number != dated and len(lines[number].strip()) <= _MAX_TITLE), None)
    if titled is not None and titled != filled[0] and filled[0] != dated:
        titled = None  # the first line is already the text
    if dated is not None and titled is not None and titled > dated and dated != filled[0]:
        titled = None
    date = date_of_line(lines[dated]) if dated is not None else ""
    outlet, credited = _outlet(lines, filled, dated) if dated is not None else ("", None)
    title = one_line(_TITLE_LABEL.sub("", lines[titled].strip())) if titled is not None else ""
    body = "\n".join(line for number, line in enumerate(lines) if number not in (titled, dated, credited))
    return PlainText(title, date, outlet, body.strip("\n"))


def date_of_line(line: str) -> str:
    """The date in a line that holds a date and nothing but labels, or the outlet's name, beside it."""
    date, rest = _dated(line)
    return "" if rest and not _names_outlet(rest) else date


def _dated(line: str) -> tuple[str, str]:
    """The date in a line, "" when there is none, and what stands beside it and is no label."""
    if len(line) > 120:
        return "", ""
    line = WEEKDAY.sub(" ", line)
    date = find_moment(line)
    return (date, _LABEL.sub(" ", line.replace(date, " ", 1)).strip()) if date else ("", "")


def _names_outlet(words: str) -> bool:
    return 2 <= len(words) <= 12 and is_outlet(words) and bool(MEDIUM.search(words))


def _outlet(lines: list[str], filled: list[int], dated: int) -> tuple[str, int | None]:
    """The outlet beside the date, or on a line of its own below; and the number of that line."""
    if (match := _OUTLET.search(lines[dated])) and is_outlet(match.group(1)):
        return match.group(1), None
    if _names_outlet(rest := _dated(lines[dated])[1]):
        return rest, None
    below = next((number for number in filled if number > dated), None)
    if below is not None and (outlet := outlet_of_line(lines[below])):
        return outlet, below
    return "", None
