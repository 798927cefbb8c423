"""Upstream feeds in every dialect, whole, broken and lying."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.errors import Refused
from feedsync.model import Article, Attribution, Credit, Moment, Response
from feedsync.parse.identity import key_from_user
from feedsync.parse.upstream import Upstream, parse_upstream
from tests.conftest import SHANGHAI

CODE = "202503142600000001"
AT = Moment(datetime(2025, 3, 14, 2, 0, tzinfo=UTC), exact=True)
ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><id>tag:u.example,2025:feed</id><title type="html">上游 &lt;b&gt;快讯&lt;/b&gt;</title>
<updated>2025-03-14T02:00:00Z</updated><link href="http://u.example/"/><link rel="self" href="http://u.example/f.atom"/>
<author><name>上游社</name></author>%s</feed>"""
RSS = """<?xml version="1.0" encoding="utf-8"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>上游</title><link>http://www.u.example/</link>
<lastBuildDate>Fri, 14 Mar 2025 02:00:00 GMT</lastBuildDate>%s</channel></rss>"""


def feed(content: str | bytes, media_type: str = "application/xml", url: str = "http://u.example/feed") -> Upstream:
    body = content.encode() if isinstance(content, str) else content
    return parse_upstream(Response("s", url, url, "", media_type, body), SHANGHAI)


def only(content: str | bytes, media_type: str = "application/xml", url: str = "http://u.example/feed") -> Article:
    found = feed(content, media_type, url)
    assert not found.refused
    (entry,) = found.entries
    return entry.parsed.article


def rss(fields: str) -> str:
    return RSS % f"<item>{fields}</item>"


def atom(fields: str) -> str:
    return ATOM % f"<entry>{fields}</entry>"


def html_of(content: str) -> str:
    return feed(content).entries[0].parsed.html


def test_atom() -> None:
    found = feed(
        atom(
            '<id>tag:u.example,2025:1</id><title>甲 &lt;乙&gt;</title><link href="/a/1.html"/><link rel="via" href="http://o.example/1"/>'
            "<published>2025-03-14T10:00:00+08:00</published><updated>2025-03-15T00:00:00Z</updated>"
            '<author><name>财联社</name><email>a@b.example</email></author><category term="gs" label="公司"/>'
            '<summary>摘要。</summary><content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>正文<img src="b.png"/></p></div></content>'
        )
    )
    assert found.attribution == Attribution("tag:u.example,2025:feed", "上游 快讯", AT, "http://u.example/f.atom")
    (entry,) = found.entries
    article = entry.parsed.article
    assert entry.location == "tag:u.example,2025:1"
    assert article.key.startswith("u-")
    assert (article.title.text, article.published, article.summary) == ("甲 <乙>", AT, "摘要。")
    assert article.urls == ("http://o.example/1", "http://u.example/a/1.html")
    assert (article.credit, article.tags) == (Credit(Credit.LINE, "财联社"), ("公司",))
    assert article.attribution == found.attribution
    assert entry.parsed.html == '<p>正文<img src="http://u.example/a/b.png" alt=""></p>'


def test_rss() -> None:
    found = feed(
        rss(
            "<title>甲 &amp;amp; 乙</title><link>http://u.example/1</link><guid isPermaLink='false'>17</guid>"
            "<pubDate>Fri, 14 Mar 2025 10:00:00 +0800</pubDate><dc:creator>财联社</dc:creator>"
            "<description>&lt;p&gt;摘要。&lt;/p&gt;</description><content:encoded><![CDATA[<p>正文<script>x</script>。</p>]]></content:encoded>"
        )
    )
    article = found.entries[0].parsed.article
    assert found.attribution == Attribution("http://u.example/feed", "上游", AT, "http://u.example/feed")
    assert (found.entries[0].location, article.title.text, article.summary) == ("17", "甲 & 乙", "摘要。")
    assert (article.published, article.credit) == (AT, Credit(Credit.LINE, "财联社"))
    assert found.entries[0].parsed.html == "<p>正文。</p>"


def test_json_feed() -> None:
    line = {
        "id": 17, "url": "http://u.example/1", "external_url": "http://o.example/1", "title": "甲",
        "content_text": "正文 <p>一</p>", "summary": "摘要。", "date_published": "2025-03-14T10:00:00+08:00",
        "authors": [{"name": "财联社"}], "tags": ["公司", None],
    }  # fmt: skip
    text = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "上游",
        "feed_url": "http://u.example/f.json",
        "items": [line, 1],
    }
    found = feed(json.dumps(text), "application/feed+json")
    (entry,) = found.entries
    article = entry.parsed.article
    assert found.attribution == Attribution("http://u.example/f.json", "上游", None, "http://u.example/f.json")
    assert (entry.location, article.title.text, article.published) == ("17", "甲", AT)
    assert (article.urls, article.tags) == (("http://o.example/1", "http://u.example/1"), ("公司",))
    assert entry.parsed.html == "<p>正文 &lt;p&gt;一&lt;/p&gt;</p>"
    assert len(found.refused) == 1


@pytest.mark.parametrize(
    "fields",
    [
        f"<guid>NW{CODE}</guid>",
        f"<guid isPermaLink='false'>tag:x.example,2026:article/{CODE}</guid>",
        f"<guid>17</guid><link>http://u.example/a/{CODE}.html</link>",
        f"<guid>17</guid><link>http://u.example/html_News/NewsShare.html?x=1&amp;infoCode=NW{CODE}</link>",
        f"<link>http://u.example/news/1354,{CODE}.html</link>",
    ],
)
def test_an_infocode_anywhere_is_the_key(fields: str) -> None:
    assert only(rss(f"<title>甲</title><pubDate>2025-03-14 10:00:00</pubDate>{fields}")).key == CODE


def test_keys_follow_from_ids_and_sites_alone() -> None:
    def key(fields: str, site: str = "http://www.u.example/", url: str = "http://u.example/feed") -> str:
        text = rss(f"<title>甲</title><pubDate>2025-03-14 10:00:00</pubDate>{fields}")
        return only(text.replace("http://www.u.example/", site), url=url).key

    one = key("<guid isPermaLink='false'>17</guid>")
    assert one == key(
        "<guid isPermaLink='false'>17</guid><link>http://else.example/</link>", "https://u.example/x", "http://m/2"
    )
    assert one != key("<guid isPermaLink='false'>17</guid>", "http://v.example/")
    assert one != key("<guid isPermaLink='false'>18</guid>")
    assert key("<guid>urn:x:1</guid>") == key("<guid>urn:x:1</guid>", "http://v.example/")
    assert key("<link>http://u.example/1</link>") == key("<guid>http://u.example/1</guid>")
    assert key("").startswith("t-")
    assert one.startswith("u-")
    assert key_from_user(one) == one


def test_entries_without_a_date_are_of_the_day_of_their_feed() -> None:
    dated = only(rss("<guid>17</guid><title>甲</title>"))
    assert dated.published == Moment(datetime(2025, 3, 13, 16, 0, tzinfo=UTC), exact=False)
    undated = feed(rss("<guid>17</guid><title>甲</title>").replace("lastBuildDate", "x"))
    assert [(where, error.code) for where, error in undated.refused] == [("17", "no-time")]


@pytest.mark.parametrize(
    "date",
    ["<pubDate>2025-03-14 10:00:00</pubDate>", "<dc:date>2025-03-14T02:00:00Z</dc:date>", "<pubDate>昨天</pubDate><dc:date>2025-03-14T02:00:00Z</dc:date>",
     "<pubDate>Fri, 14 Mar 2025 02:00:00 GMT</pubDate>"],
)  # fmt: skip
def test_dates(date: str) -> None:
    assert only(rss(f"<guid>17</guid><title>甲</title>{date}")).published == AT


def test_an_entrys_own_source_wins() -> None:
    own = (
        "<id>urn:e</id><title>甲</title><updated>2025-03-14T02:00:00Z</updated><source><id>urn:o</id><title>原源</title>"
        '<updated>2025-03-14T02:00:00Z</updated><link rel="self" href="http://o.example/f"/></source>'
    )
    assert only(atom(own)).attribution == Attribution("urn:o", "原源", AT, "http://o.example/f")
    line = "<guid>17</guid><title>甲</title><pubDate>2025-03-14 10:00:00</pubDate><source url='http://o.example/f'>原源</source>"
    article = only(rss(line))
    assert article.attribution == Attribution("http://o.example/f", "原源", None, "http://o.example/f")
    assert article.credit == Credit(Credit.TAG, "原源")


def test_secrets_in_the_url_of_a_feed_are_kept_out_of_it() -> None:
    article = only(rss("<guid>17</guid><title>甲</title>"), url="http://u:p@u.example/feed?key=SECRET")
    assert article.attribution == Attribution("http://www.u.example/", "上游", AT, "")


def test_of_several_versions_the_last_counts() -> None:
    one = "<entry><id>urn:e</id><title>旧</title><updated>2025-03-14T02:00:00Z</updated></entry>"
    two = "<entry><id>urn:e</id><title>新</title><updated>2025-03-15T02:00:00Z</updated></entry>"
    assert only(ATOM % (one + two)).title.text == "新"
    assert only(ATOM % (two + one)).title.text == "新"


def test_charsets() -> None:
    for codec in ("gbk", "gb18030", "utf-8", "big5"):
        title = "股市開盤" if codec == "big5" else "股市开盘"
        text = rss(f"<guid>17</guid><title>{title}</title>").replace("utf-8", codec).replace("上游", "源")
        assert only(text.encode(codec)).title.text == title
        assert only(text.encode(codec), f"text/xml; charset={codec}").title.text == title
    lying = rss("<guid>17</guid><title>中国人民银行</title>").replace('encoding="utf-8"', 'encoding="gbk"')
    assert only(lying, "text/xml; charset=gb2312").title.text == "中国人民银行"


def test_text_is_text_and_html_is_html() -> None:
    head = "<id>urn:e</id><title>甲</title><updated>2025-03-14T02:00:00Z</updated>"
    assert html_of(atom(head + "<content>a &lt;p&gt;b&lt;/p&gt;</content>")) == "<p>a &lt;p&gt;b&lt;/p&gt;</p>"
    assert html_of(atom(head + '<content type="html">&lt;p&gt;b&lt;/p&gt;</content>')) == "<p>b</p>"
    assert html_of(atom(head)) == ""


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "empty"),
        ("<!DOCTYPE html><html><head><title>登录</title></head><body>请登录</body></html>", "not-a-feed"),
        ("<html><body><feed></feed></body></html>", "not-a-feed"),
        ("<?xml version='1.0'?><urlset><url/></urlset>", "not-a-feed"),
        ("<rss version='2.0'><channel><title>甲", "not-a-feed"),
        ("Not Found", "not-a-feed"),
        ('{"code": -1, "message": "no"}', "not-a-feed"),
        ('{"version": "https://jsonfeed.org/version/1", "items": null}', "not-a-feed"),
        ('{"version": ', "not-json"),
        ("<rss><channel>" + "<a>" * 1000, "too-deep"),
    ],
)
def test_what_is_no_feed_is_refused(content: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        feed(content)
    assert refused.value.code == code
    assert refused.value.remedy


def test_an_empty_feed_is_a_feed() -> None:
    assert feed(ATOM % "").entries == ()
    assert feed(RSS % "").entries == ()


def test_a_feed_that_breaks_off_loses_its_last_entry_only() -> None:
    whole = "<item><guid>1</guid><title>甲</title></item>"
    found = feed((RSS % whole).partition("</channel>")[0] + "<item><guid>2</guid><title>乙</title><description>半")
    assert [entry.location for entry in found.entries] == ["1"]
    assert [(where, error.code) for where, error in found.refused] == [("2", "cut-short")]


def test_a_feed_that_is_not_well_formed_is_read_nevertheless() -> None:
    assert only(rss("<guid>1</guid><title>甲 & 乙</title>")).title.text == "甲 & 乙"


def test_one_bad_entry_harms_no_other() -> None:
    deep = "<item><guid>1</guid><title>甲</title><description><![CDATA[" + "<div>" * 300 + "]]></description></item>"
    found = feed(RSS % (deep + "<item><guid>2</guid></item><item><guid>3</guid><title>丙</title></item>"))
    assert [(where, error.code) for where, error in found.refused] == [("1", "too-deep"), ("2", "no-text")]
    assert [entry.location for entry in found.entries] == ["3"]


@given(st.text(alphabet="<>/=\"' abdeglinkrtu中文2025-&;#![]", max_size=200))
def test_any_entry_is_an_article_or_refused(content: str) -> None:
    for text in (content, rss(content), atom(content), rss(f"<guid>1</guid><title>{content}</title>"), json.dumps({"version": "1", "items": [{"id": content, "title": content}]})):  # fmt: skip
        try:
            found = feed(text)
        except Refused as refused:
            assert refused.remedy
        else:
            assert all(error.remedy for _, error in found.refused)
            assert len({entry.location for entry in found.entries}) == len(found.entries)
