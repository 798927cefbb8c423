"""Every format says the same: entries, ids, times, links, content."""

import json
import locale
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import feedparser
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from feedsync.errors import OutputError
from feedsync.feeds import (
    FORMATS,
    SCHEMES,
    Presentation,
    Window,
    draw_entry,
    draw_opml,
    draw_outline,
    feed_of_all,
    feed_of_term,
    jsonfeed,
)
from feedsync.feeds.xml import escape
from feedsync.model import Attribution, Entry, Site
from feedsync.values import replace
from tests.conftest import SITE, Desk, post
from tests.test_feeds import entry_of

CODE = "202503142600000001"
NS = {
    "atom": "http://www.w3.org/2005/Atom",
    "content": "http://purl.org/rss/1.0/modules/content/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "fh": "http://purl.org/syndication/history/1.0",
}


@dataclass(frozen=True)
class Said:
    """What a reader program takes from an entry."""

    id: str
    title: str
    link: str
    published: datetime
    updated: datetime
    author: str
    content: str


def documents(entries: list[Entry], site: Site = SITE, complete: bool = False) -> dict[str, bytes]:
    labels = {("category", "emnews"): "东财，滚动"}
    feed = feed_of_all(site, [entry.known.updated for entry in entries], complete=complete)
    drawn = [draw_entry(entry, site, labels) for entry in entries]
    return {f.extension: f.draw_feed(feed, site, [d[n] for d in drawn]) for n, f in enumerate(FORMATS)}


def in_atom(document: bytes) -> list[Said]:
    def text(entry: Any, path: str) -> str:
        return entry.findtext(path, namespaces=NS) or ""

    return [
        Said(
            text(e, "atom:id"),
            text(e, "atom:title"),
            e.find("atom:link[@rel='alternate']", NS).get("href"),
            datetime.fromisoformat(text(e, "atom:published")),
            datetime.fromisoformat(text(e, "atom:updated")),
            text(e, "atom:author/atom:name"),
            text(e, "atom:content"),
        )
        for e in etree.fromstring(document).iter("{*}entry")
    ]


def in_rss(document: bytes) -> list[Said]:
    def text(entry: Any, path: str) -> str:
        return entry.findtext(path, namespaces=NS) or ""

    return [
        Said(
            text(e, "guid"),
            text(e, "title"),
            text(e, "link"),
            parsedate_to_datetime(text(e, "pubDate")),
            datetime.fromisoformat(text(e, "atom:updated")),
            text(e, "dc:creator"),
            text(e, "content:encoded"),
        )
        for e in etree.fromstring(document).iter("item")
    ]


def in_json(document: bytes) -> list[Said]:
    return [
        Said(
            e["id"],
            e["title"],
            e["url"],
            datetime.fromisoformat(e["date_published"]),
            datetime.fromisoformat(e["date_modified"]),
            e["authors"][0]["name"],
            e["content_html"],
        )
        for e in json.loads(document)["items"]
    ]


def test_rss_names_the_feed_an_entry_came_from() -> None:
    entry = entry_of(post())

    def sources(attribution: Attribution | None) -> list[tuple[str | None, str | None]]:
        article = replace(entry.known.article, attribution=attribution)
        document = documents([replace(entry, known=replace(entry.known, article=article))])["rss"]
        return [(e.get("url"), e.text) for e in etree.fromstring(document).iter("source")]

    assert sources(Attribution("urn:a", "甲\x0b & 乙", url="http://a.example/f?a=1&b=2")) == [
        ("http://a.example/f?a=1&b=2", "甲 & 乙")
    ]
    assert sources(Attribution("urn:a", "甲")) == sources(None) == []


def test_rss_says_all_the_contract_asks_for() -> None:
    body = '<p>正文 &lt;1%。</p><p class="em_media">（文章来源：甲报）</p>'
    channel = etree.fromstring(documents([entry_of(post(body=body))])["rss"]).find("channel")
    assert channel.findtext("title") == channel.findtext("description") == "测试站"
    assert channel.findtext("link") == "http://127.0.0.1:8080/"
    assert channel.findtext("lastBuildDate") == "Fri, 14 Mar 2025 02:00:00 GMT"
    assert channel.findtext("language") == "zh-CN"
    assert [dict(link.attrib) for link in channel.iterfind("atom:link", NS)] == [
        {"rel": "self", "type": "application/rss+xml", "href": "http://127.0.0.1:8080/all.rss"}
    ]
    item = channel.find("item")
    assert item.find("guid").attrib == {"isPermaLink": "false"}
    assert item.findtext("pubDate") == "Fri, 14 Mar 2025 02:00:00 GMT"
    assert item.findtext("dc:creator", namespaces=NS) == "甲报"
    assert item.findtext("content:encoded", namespaces=NS) == "<p>正文 &lt;1%。</p>"
    assert item.find("description").text is None
    assert [c.text for c in item.iter("category")] == ["东财，滚动", "东财滚动新闻"]


def test_json_feed_says_all_the_contract_asks_for() -> None:
    feed = json.loads(documents([entry_of(post())])["json"])
    (entry,) = feed.pop("items")
    assert feed == {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "测试站",
        "home_page_url": "http://127.0.0.1:8080/",
        "feed_url": "http://127.0.0.1:8080/all.json",
        "language": "zh-CN",
        "authors": [{"name": "测试站"}],
    }
    assert entry == {
        "id": f"tag:example.org,2026:article/{CODE}",
        "url": f"http://127.0.0.1:8080/article/{CODE}.html",
        "title": "标题",
        "date_published": "2025-03-14T02:00:00Z",
        "date_modified": "2025-03-14T02:00:00Z",
        "authors": [{"name": "测试站"}],
        "language": "zh-CN",
        "tags": ["东财，滚动", "东财滚动新闻"],
        "content_html": "<p>正文。</p>",
    }


def test_opml_lists_every_feed() -> None:
    feed = feed_of_term(SITE, SCHEMES["category"], "emnews", '东财"<滚动>')
    opml = etree.fromstring(draw_opml(SITE, draw_outline(feed_of_all(SITE)), [('栏<目>"', [draw_outline(feed)])]))
    assert (opml.get("version"), opml.findtext("head/title")) == ("2.0", "测试站")
    assert [o.get("text") for o in opml.iterfind("body/outline")] == ["测试站", '栏<目>"']
    assert [dict(outline.attrib) for outline in opml.iter("outline") if outline.get("type")] == [
        {
            "type": "rss",
            "text": title,
            "title": title,
            "xmlUrl": f"http://127.0.0.1:8080/{stem}.atom",
            "htmlUrl": f"http://127.0.0.1:8080/{page}",
        }
        for title, stem, page in (
            ("测试站", "all", ""),
            ('东财"<滚动> - 测试站', "category/emnews", "category/emnews.html"),
        )
    ]


def test_an_icon_stands_where_the_format_has_a_place_for_it() -> None:
    drawn = documents([], Site("站", "http://h", "example.org,2026", icon="http://h/a.png?x&y"))
    assert json.loads(drawn["json"])["icon"] == "http://h/a.png?x&y"
    assert b"<icon>http://h/a.png?x&amp;y</icon>" in drawn["atom"]
    assert b"<image>" not in drawn["rss"]  # RSS knows png, gif and jpeg only
    drawn = documents([], Site("站", "http://h", "example.org,2026", icon="http://h/a.png"))
    assert etree.fromstring(drawn["rss"]).findtext("channel/image/url") == "http://h/a.png"


def test_dates_do_not_follow_the_locale() -> None:
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
        drawn = documents([entry_of(post())])["rss"]
        assert locale.setlocale(locale.LC_ALL) == "C.UTF-8"
    finally:
        locale.setlocale(locale.LC_ALL, before)
    assert b"<pubDate>Fri, 14 Mar 2025 02:00:00 GMT</pubDate>" in drawn


def test_nothing_leaves_that_is_not_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonfeed, "_encode", lambda members: msgspec.json.encode(members)[:-1])
    with pytest.raises(OutputError, match="would not be JSON"):
        jsonfeed.draw_entry(entry_of(post()), SITE, {})
    with pytest.raises(OutputError, match="would not be JSON"):
        jsonfeed.draw_feed(feed_of_all(SITE), SITE, [])


_TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=40)
_MOMENTS = st.datetimes(datetime(1995, 1, 1), datetime(2025, 12, 31))


@given(st.lists(st.tuples(_TEXT, _TEXT, _TEXT, _MOMENTS), min_size=1, max_size=3))
def test_all_formats_say_the_same(articles: list[tuple[str, str, str, datetime]]) -> None:
    entries = [
        entry_of(
            post(
                f"20250314260000000{number}",
                "题" + title.replace("\n", " "),
                f"<p>文{text}</p>",
                f"{moment:%Y-%m-%d %H:%M:%S} +0000",
                "x",
                tag,
            )
        )
        for number, (title, text, tag, moment) in enumerate(articles)
    ]
    drawn = documents(entries)
    said = in_atom(drawn["atom"])
    assert said == in_rss(drawn["rss"]) == in_json(drawn["json"])
    assert [s.published for s in said] == [a[3].replace(tzinfo=UTC, microsecond=0) for a in articles]


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"], whitelist_characters="\r\n\t"), max_size=30))
def test_escaped_text_comes_back(text: str) -> None:
    element = etree.fromstring(f"<a>{escape(text)}</a>") if "￾" not in text and "￿" not in text else None
    assert element is None or (element.text or "") == text


def test_a_feed_that_holds_all_its_articles_says_so(desk: Desk) -> None:
    desk.presentation = Presentation(SITE, Window(2, 0, 2))
    for number in range(3):
        desk.put(f"{number}.md", post(f"20250314260000000{number}", f"标题{number}", category=f"c{number // 2}"))
    desk.run()
    desk.put("3.md", post("202503142600000003", "标题3", category="c1"))
    desk.run()

    def complete(name: str) -> list[bool]:
        return [
            etree.parse(desk.tree.root / f"{name}.{extension}").find(path, NS) is not None
            for extension, path in (("atom", "fh:complete"), ("rss", "channel/fh:complete"))
        ]

    assert complete("all") == [False, False]
    assert complete("category/c0") == complete("category/c1") == [True, True]


def test_a_pass_writes_every_format_and_counts_a_feed_once(desk: Desk) -> None:
    desk.put("a.md", post())
    report = desk.run().feeds
    assert (report.written, report.unchanged) == (2, 0)
    stems = ("all", "category/emnews")
    assert {f"{stem}.{f.extension}" for stem in stems for f in FORMATS} | {"feeds.opml"} <= desk.published().keys()
    said = [
        read(desk.published()[f"category/emnews.{extension}"])
        for extension, read in (("atom", in_atom), ("rss", in_rss), ("json", in_json))
    ]
    assert said[0] == said[1] == said[2]
    desk.put("a.md", post(category="gone"))
    (desk.inbox / "a.md").touch()
    desk.run()
    assert not [path for path in desk.published() if "emnews" in path and not path.startswith("article")]
    (desk.tree.root / "category/gone.json").unlink()
    desk.run()
    assert "category/gone.json" in desk.published()


def test_feedparser_reads_both(desk: Desk) -> None:
    desk.put("a.md", post(body="<p>正文。</p>"))
    desk.run()
    atom, rss = (feedparser.parse(desk.published()[f"all.{extension}"]) for extension in ("atom", "rss"))
    assert not atom.bozo
    assert not rss.bozo
    (one,), (other,) = atom.entries, rss.entries
    for name in ("id", "title", "link", "published_parsed", "updated_parsed", "author"):
        assert one[name] == other[name], name
    assert one.content[0].value == other.content[0].value == "<p>正文。</p>"
