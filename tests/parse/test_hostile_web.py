"""What a hostile or broken server may send: read or refused, and in no time."""

import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from feedsync.errors import Refused
from feedsync.model import Response
from feedsync.parse.listing import ListShape, parse_list
from feedsync.parse.page import parse_page
from feedsync.parse.upstream import parse_upstream

ZONE = ZoneInfo("Asia/Shanghai")
SHAPE = ListShape("list", {"info_code": "code", "title": "title"})
PUBLISHED = '<meta property="article:published_time" content="2025-03-14T10:00:00+08:00">'
STORY = f"<html><head><title>标题</title>{PUBLISHED}</head><body>%s<p>正文在此，说的是一件不长不短的事情。</p></body></html>"
RSS = "<rss version='2.0'><channel><title>源</title><item><guid>1</guid><title>甲</title><description>%s</description></item></channel></rss>"

UNITS = [
    "<!--", "<![", "<script>", "</script", "<p", "<p>", "<div class='time'>", "</", "<a href='", "<a>", "&#", "&amp;",
    "<meta charset=", "<![CDATA[", "]]>", "<time>", "<style", "{", '["', "a(", "a.", "<title>", "<h1>", "<?xml ",
    "<!DOCTYPE ", "<b><i>", "<table><tr><td>", "来源：", "2025-03-14 ", "【", "（", " ", "\n", "<svg><math>", "<base href=x>",
    '<script type="application/ld+json">', '<script type="application/ld+json">[', "<item>", "<entry>", "<li>", "\ufeff",
]  # fmt: skip


def _page(text: str) -> object:
    return parse_page(Response("s", "l", "http://h.example/a", "http://h.example/a", "", text.encode()), ZONE)


def _selected(text: str) -> object:
    return parse_page(Response("s", "l", "http://h.example/a", "", "text/html", text.encode()), ZONE, "p, div > a")


def _feed(text: str) -> object:
    return parse_upstream(Response("s", "l", "http://h.example/a", "", "", text.encode()), ZONE)


def _list(text: str) -> object:
    return parse_list(text.encode(), "", SHAPE, ZONE)


@pytest.mark.parametrize(
    ("read", "around"),
    [(_page, "%s"), (_page, STORY), (_selected, STORY), (_feed, "%s"), (_feed, RSS), (_feed, "<rss>%s"), (_list, "%s")],
)
def test_repetitions_take_no_time(read: Callable[[str], object], around: str) -> None:
    for unit in UNITS:
        text = around.replace("%s", unit * (20_000 // len(unit)))
        started = time.process_time()
        try:
            read(text)
        except Refused as refused:
            assert refused.remedy, unit
        assert time.process_time() - started < 1.5, unit


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE r [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;&b;&b;'>]>"
        "<rss version='2.0'><channel><title>&c;</title><item><title>&c;</title></item></channel></rss>",
        "<!DOCTYPE rss [<!ENTITY x SYSTEM 'file:///etc/hostname'>]>"
        "<rss version='2.0'><channel><title>t</title><item><guid>1</guid><title>&x;</title></item></channel></rss>",
        "<!DOCTYPE rss [<!ENTITY % p SYSTEM 'http://127.0.0.1:9/p.dtd'> %p;]><rss version='2.0'><channel/></rss>",
    ],
)
def test_a_feed_with_entities_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        _feed(text)
    assert refused.value.code == "not-a-feed"


def test_a_page_with_entities_reads_no_file() -> None:
    head = "<?xml version='1.0'?><!DOCTYPE html [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
    text = STORY.replace("%s", "<p>&x;甲乙丙丁</p>")
    parsed = parse_page(Response("s", "l", "http://h/a", "", "application/xhtml+xml", (head + text).encode()), ZONE)
    assert "root:" not in parsed.html
    assert "甲乙丙丁" in parsed.html


@pytest.mark.parametrize(
    "text",
    ["<table>" + "<tr><td>x</td></tr>" * 20_000 + "</table>", "<div>" * 300 + "x", "<p " + "a=1 " * 10_000 + ">x</p>"],
)
def test_pages_beyond_all_measure_are_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        _page(STORY.replace("%s", text))
    assert refused.value.code == "too-deep"
