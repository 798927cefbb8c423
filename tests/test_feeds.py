"""What feed readers are given, read back the way they read it."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import feedparser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from feedsync.errors import OutputError
from feedsync.feeds import FORMATS, Window, draw_article, feed_of_all, names, rss, select
from feedsync.feeds.atom import draw_entry, draw_feed
from feedsync.feeds.xml import check_element, check_well_formed, escape_text
from feedsync.model import Arrival, Attribution, Entry, Moment, Origin, Place
from feedsync.plan import decide
from feedsync.values import replace
from tests.conftest import SITE, START, post, read

ATOM = "{http://www.w3.org/2005/Atom}"
CODE = "202503142600000001"


def entry_of(content: str, name: str = "a.md") -> Entry:
    parsed = read(name, content)
    return Entry(decide(None, [Arrival(Origin("s", name), parsed)], {"s": "weifenlei"}, START).after, parsed.html)


def drawn(entry: Entry) -> etree._Element:
    xml = draw_feed(
        feed_of_all(SITE, [entry.known.updated]),
        SITE,
        [draw_entry(entry, SITE, {("category", "emnews"): "东财，滚动"})],
    )
    return etree.fromstring(xml).find(ATOM + "entry")


def test_an_entry_says_all_the_contract_asks_for() -> None:
    entry = drawn(entry_of(post(body='<p>正文。</p><p class="em_media">（文章来源：甲报）</p>')))
    assert entry.findtext(ATOM + "id") == f"tag:example.org,2026:article/{CODE}"
    assert entry.findtext(ATOM + "title") == "标题"
    assert entry.findtext(ATOM + "published") == entry.findtext(ATOM + "updated") == "2025-03-14T02:00:00Z"
    assert entry.findtext(f"{ATOM}author/{ATOM}name") == "甲报"
    links = [(link.get("rel"), link.get("type"), link.get("href")) for link in entry.iter(ATOM + "link")]
    assert links == [
        ("alternate", "text/html", f"http://127.0.0.1:8080/article/{CODE}.html"),
        ("via", None, f"http://finance.example.com/news/1350,{CODE}.html"),
    ]
    categories = [(c.get("scheme"), c.get("term"), c.get("label")) for c in entry.iter(ATOM + "category")]
    assert categories == [
        ("http://127.0.0.1:8080/category/", "emnews", "东财，滚动"),
        ("http://127.0.0.1:8080/tag/", "东财滚动新闻", "东财滚动新闻"),
    ]
    content = entry.find(ATOM + "content")
    assert content.get("type") == "html"
    assert content.get("{http://www.w3.org/XML/1998/namespace}lang") == "zh-CN"
    assert content.text == "<p>正文。</p>"
    assert entry.find(ATOM + "summary") is None


def test_an_entry_names_the_feed_it_came_from() -> None:
    entry = entry_of(post())
    assert drawn(entry).find(ATOM + "source") is None

    def source(attribution: Attribution) -> list[tuple[str, str]]:
        article = replace(entry.known.article, attribution=attribution)
        element = drawn(replace(entry, known=replace(entry.known, article=article))).find(ATOM + "source")
        return [(child.tag.removeprefix(ATOM), child.get("href") or child.text or "") for child in element]

    assert source(Attribution("urn:a", "甲\x0b & 乙", Moment(START, exact=True), "http://a.example/f")) == [
        ("id", "urn:a"),
        ("title", "甲 & 乙"),
        ("updated", START.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("link", "http://a.example/f"),
    ]
    assert source(Attribution("17", "甲")) == source(Attribution("urn:é x", "甲")) == [("title", "甲")]


def test_a_feed_says_all_the_contract_asks_for() -> None:
    entries = [entry_of(post(CODE)), entry_of(post("202503142600000002", date="2025-03-14 11:00:00"))]
    xml = draw_feed(
        feed_of_all(SITE, [e.known.updated for e in entries]), SITE, [draw_entry(e, SITE, {}) for e in entries]
    )
    feed = feedparser.parse(xml)
    assert not feed.bozo
    assert feed.feed.id == "tag:example.org,2026:feed/all"
    assert feed.feed.title == "测试站"
    assert feed.feed.updated == "2025-03-14T03:00:00Z"
    assert feed.feed.language == "zh-CN"
    assert feed.feed.generator_detail == {"name": "feedsync", "version": "0.1.0"}
    assert [(link.rel, link.href, link.type) for link in feed.feed.links] == [
        ("alternate", "http://127.0.0.1:8080/", "text/html"),
        ("self", "http://127.0.0.1:8080/all.atom", "application/atom+xml"),
    ]
    assert [e.id.rpartition("/")[2] for e in feed.entries] == [CODE, "202503142600000002"]


@pytest.mark.parametrize("title", ['<b>a</b> & "b"', "]]>", "a\u000b\ufffeb", "<script>alert(1)</script>", "１%　２"])
def test_titles_are_plain_text(title: str) -> None:
    entry = drawn(entry_of(post(title=title)))
    assert entry.findtext(ATOM + "title") == title.replace("\x0b", "").replace("\ufffe", "")
    assert not entry.find(ATOM + "title").attrib


def test_an_article_without_text_shows_its_title() -> None:
    entry = drawn(entry_of(post(title="只有标题 <1%", body="")))
    assert entry.findtext(ATOM + "content") == "<p>只有标题 &lt;1%</p>"


def test_nothing_leaves_that_is_not_well_formed() -> None:
    with pytest.raises(OutputError, match="well-formed"):
        check_well_formed(b"<feed>\x00</feed>", "x")
    bad = (b"<entry>", b"<a/><b/>", b"<a/>&amp;", b"text", b"", b'<?xml version="1.0"?><a/>', b"<!DOCTYPE a><a/>")
    for part in (*bad, b"\n<!DOCTYPE a><a/>", b"\xef\xbb\xbf<a/>", "<a/>".encode("utf-16")):
        with pytest.raises(OutputError):
            check_element(part, "x")


def test_an_entry_of_whatever_an_article_says_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may reach a feed unchecked, though feeds are not parsed as a whole."""
    entry = entry_of(post())
    for format in FORMATS:
        feed = feed_of_all(SITE, [entry.known.updated])
        assert format.draw_feed(feed, SITE, [format.draw_entry(entry, SITE, {})])
    monkeypatch.setattr("feedsync.feeds.rss.escape", lambda text: text)
    with pytest.raises(OutputError, match=CODE):
        rss.draw_entry(entry_of(post(title="<b>")), SITE, {})
    with pytest.raises(OutputError, match=r"all\.rss"):
        rss.draw_feed(feed_of_all(replace(SITE, title="<b>"), [entry.known.updated]), SITE, [])


_MARKUP = st.text(st.sampled_from("<>&;/!?-[]abc 文\n\"'"), max_size=12)


@given(st.lists(_MARKUP, max_size=4))
def test_elements_that_pass_make_a_document_that_passes(parts: list[str]) -> None:
    elements = []
    for part in parts:
        with suppress(OutputError):
            check_element(part.encode(), "x")
            elements.append(part)
    check_well_formed(f"<feed>{''.join(elements)}</feed>".encode(), "x")


_TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)


@given(_TEXT, _TEXT, _TEXT, st.datetimes(datetime(1995, 1, 1), datetime(2030, 1, 1)))
def test_what_is_drawn_is_read_back(title: str, text: str, tag: str, moment: datetime) -> None:
    content = post(
        CODE, "题" + title.replace("\n", " "), f"<p>文{text}</p>", f"{moment:%Y-%m-%d %H:%M:%S} +0000", "x", tag
    )
    entry = entry_of(content)
    feed = feedparser.parse(draw_feed(feed_of_all(SITE, [entry.known.updated]), SITE, [draw_entry(entry, SITE, {})]))
    assert not feed.bozo
    (found,) = feed.entries
    article = entry.known.article
    assert found.id == names.article_id(SITE, CODE)
    assert found.link == f"http://127.0.0.1:8080/article/{CODE}.html"
    assert found.published == min(moment.replace(tzinfo=UTC), START).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found.title_detail.value.split() == article.title.text.split()
    assert article.title.text.encode() in draw_article(SITE, entry, {}).replace(b"&amp;", b"&").replace(
        b"&lt;", b"<"
    ).replace(b"&gt;", b">").replace(b"&#34;", b'"').replace(b"&#39;", b"'")


@given(st.lists(st.text(max_size=30) | st.sampled_from(["a", "A", "a-", "-a", "a_b", "a" * 300]), unique=True))
def test_slugs_are_safe_stable_and_never_shared(values: list[str]) -> None:
    slugs = [names.slug(value) for value in values]
    assert len({slug.lower() for slug in slugs}) == len(values)
    for value, slug in zip(values, slugs, strict=True):
        assert names.slug(value) == slug
        assert len(slug) <= 120
        assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")
        assert not slug.startswith("-")
        # No value can be written that looks like the slug of another one.
        assert names.slug(slug) != slug or slug == value


@pytest.mark.parametrize(
    ("suggested", "label"),
    [
        ("每日样本新闻新闻", "每日样本新闻"),
        ("样本报新闻", "样本报"),
        ("站长消息", "站长消息"),
        ("", "x"),
        ("新闻", "新闻"),
        ("a,b", "a，b"),
    ],
)
def test_labels(suggested: str, label: str) -> None:
    assert names.label("x", suggested, {}) == label
    assert names.label("x", suggested, {"x": "已配置"}) == "已配置"


_PLACES = st.lists(
    st.builds(
        lambda number, published, arrived: Place(number, START + timedelta(hours=published), START + timedelta(hours=arrived)),
        st.integers(1, 40), st.integers(0, 30), st.integers(0, 9),
    ),
    unique_by=lambda place: place.article_id, max_size=25,
)  # fmt: skip


@given(_PLACES, st.integers(1, 6), st.integers(0, 6))
def test_the_window_keeps_the_newest_and_the_latest(places: list[Place], minimum: int, extra: int) -> None:
    window = Window(minimum, 48, minimum + extra)
    newest = sorted(places, key=lambda p: (-p.published.timestamp(), p.article_id))
    latest = sorted(places, key=lambda p: (-p.arrived.timestamp(), -p.published.timestamp(), p.article_id))
    chosen = select(newest, latest, window)
    assert len(chosen) == min(len(places), window.max_entries)
    assert set(newest[:minimum]) <= set(chosen)
    rest = [p for p in latest if p not in newest[:minimum]]
    assert set(rest[:extra]) <= set(chosen)
    assert chosen == sorted(chosen, key=lambda p: (-p.published.timestamp(), p.article_id))


@given(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
        | st.sampled_from("\n\t\r<>&\"']")
    )
)
def test_text_is_escaped_as_libxml2_does(text: str) -> None:
    element = etree.Element("content")
    element.text = text or None
    written = etree.tostring(element, encoding="UTF-8")
    assert written == (f"<content>{escape_text(text)}</content>".encode() if text else b"<content/>")
