"""The category of an outlet: its name in pinyin, as the old site named its pages."""

from __future__ import annotations

import re
from functools import lru_cache

from feedsync.model import Category
from feedsync.text import one_line

SUFFIX = "新闻"
"""What the old site put behind an outlet's name to make the tag of its posts."""

READINGS = {
    "长三角": "changsanjiao",
    "长丰": "changfeng",
    "长亮": "changliang",
    "长信": "changxin",
    "长和": "changhe",
    "长岛": "changdao",
    "长投": "changtou",
    "长桥": "changqiao",
    "长牛": "changniu",
    "长电": "changdian",
    "长盛": "changsheng",
    "长航": "changhang",
    "长荣": "changrong",
    "长飞": "changfei",
    "总行": "zonghang",
    "支行": "zhihang",
    "投行": "touhang",
    "行研": "hangyan",
    "重塑": "chongsu",
    "单仁": "shanren",
    "北京朝阳": "beijingchaoyang",
}
"""Words in the names of outlets that pypinyin reads wrong (docs/reference/pages-to-articles.md shows them)."""

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_WORD = re.compile("|".join(sorted(map(re.escape, READINGS), key=len, reverse=True)))


def category_of_outlet(outlet: str) -> Category:
    """The category of the posts an outlet's list brings.

    Its term is the name in pinyin, without tones, lower-case and without hyphens; what is not Chinese stays. Its
    label is the tag the old site gave such posts, which keeps it the same category as that of its files: the
    name and one 新闻, which is taken off again where people read it.
    """
    return Category(_pinyin(outlet), tag_of_outlet(outlet))


def tag_of_outlet(outlet: str) -> str:
    """The tag the old site gave the posts of an outlet."""
    return one_line(outlet) + SUFFIX


@lru_cache(maxsize=4096)
def _pinyin(outlet: str) -> str:
    name = one_line(outlet)
    parts = []
    position = 0
    for word in _WORD.finditer(name):
        parts += [_HAN.sub(_read, name[position : word.start()]), READINGS[word.group()]]
        position = word.end()
    parts.append(_HAN.sub(_read, name[position:]))
    return "".join(parts).replace("-", "").lower().strip()


def _read(match: re.Match[str]) -> str:
    from pypinyin import lazy_pinyin  # a second to load; only lists need it

    return "".join(lazy_pinyin(match.group()))
