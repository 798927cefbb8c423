"""Articles without front matter: a title line, a line with the date, then the text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from feedsync.parse.credit import is_outlet
from feedsync.parse.dates import find_moment
from feedsync.text import one_line

_HEAD_LINES = 8
_MAX_TITLE = 200
_LABEL = re.compile(
    r"(?:发布|发表|更新|出版|日期|时间)+\s*[:：]?|[:：|｜/·\-—,，()（）\[\]【】]+|星期[一二三四五六日天]|周[一二三四五六日]"
    r"|(?:文章)?来源\s*[:：]\s*\S{0,30}|(?:作者|记者|编辑|责编|责任编辑|文|撰文)\s*[:：/]\s*\S{0,30}"
    r"|(?:浏览|阅读|点击)(?:次数|量|数)?\s*[:：]?\s*\d*|字号\S{0,8}|北京时间"
)
_OUTLET = re.compile(r"(?:文章)?来源\s*[:：]\s*([^\s|｜]{1,30})")


@dataclass(frozen=True, slots=True)
class PlainText:
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
    outlet = ""
    if dated is not None and (match := _OUTLET.search(lines[dated])) and is_outlet(match.group(1)):
        outlet = match.group(1)
    title = one_line(re.sub(r"^#{1,6}\s+", "", lines[titled].strip())) if titled is not None else ""
    body = "\n".join(line for number, line in enumerate(lines) if number not in (titled, dated))
    return PlainText(title, date, outlet, body.strip("\n"))


def date_of_line(line: str) -> str:
    """The date in a line that holds a date and nothing but labels beside it."""
    if len(line) > 120 or not (date := find_moment(line)):
        return ""
    rest = _LABEL.sub(" ", line.replace(date, " ", 1))
    return "" if rest.strip() else date
