"""Error messages that come with status 200: pages and texts that apologise instead of telling."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from feedsync.errors import Refused
from feedsync.parse.clean import text_of
from feedsync.text import one_line

if TYPE_CHECKING:
    from feedsync.model import Parsed

_MAX_MESSAGE = 120
"""Characters of a text that may be an error message; more is told at length."""

_STATUS = (
    r"(?:(?:http|status|error|code|错误|状态|代码|码)\s*[:：]?\s*){0,3}(?:40[013459]|410|429|50[0234])"
    r"(?=\s*$|[\s:：,，.!！-]*(?:not|forbidden|bad|internal|error|gateway|service|unauthorized|too|gone|page"
    r"|页面|网页|错误|您|抱歉|对不起|找不到|服务器|[-_|｜–—]))"
)
_MESSAGE = re.compile(
    r"[(（【\[]?\s*(?:" + _STATUS + r""
    r"|(?:很|非常|十分)?抱歉[，,!！：: ]|对不起[，,!！：: ]|(?:sorry|oops|whoops)\b"
    r"|(?:您|你)(?:所|要|所要|想要)?(?:访问|查看|请求|浏览|打开|查找)的?"
    r"(?:页面|文章|内容|网页|新闻|资讯|资源|链接|地址|网站)"
    r"|(?:该|此|本|当前)?(?:文章|页面|内容|网页|新闻|资讯|资源|链接|记录|数据)(?:已经?|可能|暂)?"
    r"(?:不存在|被?删除|被移除|被?下线|已?下架|失效|过期|无法访问|为空)"
    r"|(?:页面|网页|文章)(?:找不到|未找到|丢失|走丢)|找不到(?:该|此|相关)?(?:页面|网页|文章|内容|资源)"
    r"|(?:暂无|没有找到?|未找到|查无)(?:相关)?(?:数据|内容|记录|信息|文章)"
    r"|(?:系统|服务器?|网络|后台|接口|程序)(?:正?忙|繁忙|出错|错误|异常|维护中|超时|开小差|内部错误|暂不可用|正在维护|发生错误)"
    r"|(?:访问|请求|操作)(?:过于|太|过)?(?:频繁|受限|被拒绝?|异常|失败|超时)|(?:没有|无)权限?访问|(?:禁止|拒绝)访问(?:\W|$)"
    r"|请(?:先)?(?:登录|登陆|输入验证码|完成(?:安全)?验证|(?:开|启)用?javascript|稍后(?:再试|重试|访问))"
    r"|(?:图形|短信)?验证码(?:错误|已?过期|已?失效|\W|$)|(?:安全|人机|滑动|身份)验证(?:\W|页面|$)"
    r"|(?:参数|签名|令牌|token)(?:错误|无效|缺失|不能为空|不正确|非法|已?过期)"
    r"|登录(?:超时|失效|过期)|(?:用户|会员)登录(?:\W|$)"
    r"|(?:正在)?(?:加载|载入)中|loading\b|页面(?:正在)?跳转|正在跳转"
    r"|(?:page )?not found|internal server error|bad (?:gateway|request)|service (?:temporarily )?unavailable"
    r"|gateway time-?out|forbidden|unauthorized|(?:access|permission) denied|too many requests|request rejected"
    r"|an error (?:has )?occurred|error\b|exception\b|undefined\b|null\b|nan\b|\[object object\]"
    r"|just a moment|attention required|checking (?:if|your)|verif(?:y|ying) (?:that )?you are"
    r"|please (?:enable|turn on|wait|log ?in|sign ?in)|(?:you need to )?enable javascript"
    r"|(?:log|sign) ?in\b|(?:under|site) maintenance|are you (?:a )?(?:human|robot)"
    r")",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"(?:" + _STATUS + r".{0,40}"
    r"|.{0,20}(?:not found|页面不存在|文章不存在|页面找不到|页面未找到|找不到页面)"
    r"|just a moment.{0,10}|attention required.{0,30}|(?:access|permission) denied"
    r"|(?:安全|人机|滑动|身份)验证(?:中|页面)?|(?:用户|会员|账号)?登录(?:页面?|中心)?|(?:请输入)?验证码"
    r"|(?:页面)?出错(?:了|啦)?[!！。~]*|错误(?:提示|页面|信息)?|提示(?:信息)?|系统(?:提示|错误|繁忙|维护)(?:中|通知)?"
    r"|(?:网站)?访问(?:受限|被拒绝?|异常)|禁止访问"
    r"|(?:log|sign) ?in|error|forbidden|unauthorized|service unavailable|bad gateway|internal server error"
    r")(?:\s*[-_|｜–—].{0,40})?",
    re.IGNORECASE,
)


def is_message(text: str) -> bool:
    """Whether a short text, from its first word, is an error message and no article."""
    text = one_line(text)
    return len(text) <= _MAX_MESSAGE and _MESSAGE.match(text) is not None


def is_message_title(title: str) -> bool:
    """Whether a title as a whole is that of an error page, a login or a captcha."""
    return _TITLE.fullmatch(title.strip()) is not None


def check_text(parsed: Parsed) -> None:
    """Raise Refused unless an article from the web has a text, and one that is no error message."""
    if parsed.article.body.empty:
        raise Refused("no-text", "the page has no text", remedy="ask again later")
    text = text_of(parsed.html)
    if is_message(text):
        raise refuse(text)
    if is_message_title(parsed.article.title.text) and len(text) <= 2 * _MAX_MESSAGE:
        raise refuse(parsed.article.title.text)


def refuse(words: str) -> Refused:
    return Refused("not-an-article", f"it is an error page: {one_line(words)[:80]}", remedy="ask again later")
