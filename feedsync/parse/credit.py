"""Which outlet published: credit lines, the bracket that ends a digest, the tag of a post.

False friends (quirks B.3 to B.5): `图片来源：...` captions, `（名单）` in a title, `（第四十九批）` in the middle, a
claim in brackets that is no name. Only a bracket at the very end, after the last full stop, is a credit.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from feedsync.model import Credit
from feedsync.text import normalise, one_line

_NAMED = r"([^（(）)，,、；;\n]{1,40}?(?:[（(][^（(）)\n]{1,20}[）)])?)"
_SEVERAL = r"([^（(）)；;\n]{1,40}?(?:[（(][^（(）)\n]{1,20}[）)])?)"
_BESIDE = r"(?:[\s，,、；;|｜]+(?:作者|记者|编辑|责任编辑|责编)\s*[:：]?[^（(）)\n]{0,20})?"
_WHO = rf"(?:(?:文章|新闻|稿件)来源\s*[:：]\s*{_SEVERAL}|来源\s*[:：]\s*{_NAMED}){_BESIDE}"
_LINE = re.compile(rf"[（(【\[]?\s*{_WHO}\s*[）)】\]]?\s*。?")
_BRACKETED_LINE = re.compile(rf"[（(]\s*{_WHO}\s*[）)]\s*。?\s*$")
_TAIL = re.compile(r"(?<=[。！？!?…”’」』\".])\s*[（(]([^（(）)\n]{2,12})[）)]\s*$")
_TAIL_OF_MEDIUM = re.compile(r"(?<=\w|[%％\])）])\s*[（(]([^（(）)\n]{3,12})[）)]\s*$")
MEDIUM = re.compile(
    r"(?:新华|中新|财联|路透|美联|法新|彭博|共同|塔斯|通讯)社$"
    r"|[日晚时商晨早]报$|证券报$|经济报$|经济报道$|(?:人民|新华|中新|中国新闻|新闻|日报|证券|财经|经济|时报)网$"
    r"|新闻$|财经$|客户端$|电视台$|周刊$|杂志$|快讯$|研究中心$|资讯$"
)
"""What the names of media end with, where nothing else shows that a name is one."""
_NAME = re.compile(r"[\w·&＆+\-－.《》 ]+")
_NO_NAME = re.compile(
    r"[\d\s.%％\-年月日时分秒点万亿元]$"
    r"|^第.*[批期届季次轮集章篇辑]$|^[上中下续完全][篇集文]?$|^其[一二三四五六七八九十]$"
    r"|名单|附[表图股件]|一览|列表|更新|待续|未完|下同|同上|含税|预告|原标题|图解|详见|见图|如图|单位|声明|参考|建议"
    r"|风险|自担|记者|编辑|作者|责编|摄影|摄$|通讯员|实习生|截至|截止|[今明去前后]年|[今明昨]日|上涨|下跌|同比|环比"
    r"|\d[日月]|报道$|^[不]?含|^包括|^不|^未经|^已|^仅|^折合|^合计|审计|临床|视频|音频|详情|天候|资金|贷款|[现原曾]用?名|简称|下称|个百分点|亿美元|转载|首发|有删[减节]|节选|整理$|译$|完$"
)
_PEOPLE = re.compile(r"[\u4e00-\u9fff]{2,3}(?:[\s·]+[\u4e00-\u9fff]{2,3})+")
_MAX_BARE_NAME = 12
_PREDICATE = re.compile("[是的]")
_NOBODY = re.compile(r"[（(]?\s*(?:文章|新闻|稿件)?来源\s*[:：]\s*[）)]?")
_HEADLINE = re.compile(r"\s*【([^【】]{1,200})】\s*")
_SAME_HEADLINE = 0.8
_CHANNELS = frozenset({"东财滚动"})
_SUFFIX = "新闻"


def outlet_of_tag(tag: str) -> str:
    """The outlet a tag names: less exactly one final 新闻; "" for a tag without it, and for a channel."""
    if not tag.endswith(_SUFFIX) or tag == _SUFFIX:
        return ""
    outlet = tag.removesuffix(_SUFFIX).strip()
    return "" if outlet in _CHANNELS else outlet


def is_topic(tag: str) -> bool:
    """Whether a tag says what an article is about, not who published it or which channel it came by."""
    return not tag.endswith(_SUFFIX)


def outlet_of_line(text: str) -> str:
    """The outlet in a whole paragraph that is a credit line; "" when it is none."""
    text = text.strip()
    if len(text) > 60:
        return ""
    match = _LINE.fullmatch(text)
    if match is None:
        return ""
    outlet = _named(match)
    # A bare `来源：...` may be any sentence about where something comes from.
    if match.group(2) and text[0] not in "（(【[" and not _may_stand_bare(outlet):
        return ""
    return outlet


def _may_stand_bare(name: str) -> bool:
    short = len(name) <= _MAX_BARE_NAME or name.isascii()
    return short and is_outlet(name) and not _PREDICATE.search(name)


def is_empty_credit(text: str) -> bool:
    """Whether a paragraph is a credit line that names nobody."""
    return bool(_NOBODY.fullmatch(text.strip()))


def split_tail(text: str) -> tuple[str, Credit | None]:
    """A text without the credit at its very end, and that credit."""
    text = text.rstrip()
    if match := _BRACKETED_LINE.search(text, max(0, len(text) - 80)):
        return text[: match.start()].rstrip(), Credit(Credit.LINE, _named(match))
    start = max(0, len(text) - 20)
    match = _TAIL.search(text, start)
    if match is None and (match := _TAIL_OF_MEDIUM.search(text, start)) and not MEDIUM.search(match.group(1)):
        match = None
    if match and is_outlet(match.group(1)):
        return text[: match.start()].rstrip(), Credit(Credit.DIGEST, one_line(match.group(1)))
    return text, None


def cut_headline(digest: str, title: str) -> str:
    """A digest (`【title】text（source）`) without its headline, when that is the title; else as it is."""
    match = _HEADLINE.match(digest)
    if match is None:
        return digest
    headline, title = normalise(match.group(1)), normalise(title)
    same = headline == title or SequenceMatcher(None, headline, title, autojunk=False).ratio() >= _SAME_HEADLINE
    return digest[match.end() :] if same else digest


def _named(match: re.Match[str]) -> str:
    return one_line(match.group(1) or match.group(2))


def is_outlet(name: str) -> bool:
    """Whether the words in a final bracket can be the name of an outlet."""
    return bool(_NAME.fullmatch(name)) and not _NO_NAME.search(name) and not _PEOPLE.fullmatch(name)
