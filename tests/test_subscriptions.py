"""Feeds of outlets, tags and symbols: what stands in them, what they are called, what they cost."""

import json
import random
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import feedparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html

from feedsync.errors import Interrupted, OutputError
from feedsync.feeds import SCHEMES, Window
from feedsync.outputs import Batch
from feedsync.publish import Publisher
from feedsync.store import Store
from feedsync.values import replace
from feedsync.why import feed_named, feeds_of, judge
from feedsync.withdraw import restore, withdraw
from tests.conftest import SITE, Desk, post
from tests.counters import miscounted
from tests.older import make_older
from tests.test_costs import counted
from tests.test_sync import check

BASE = "http://127.0.0.1:8080/"


def key(number: int) -> str:
    return f"20250314260000{number:04d}"


def chart(symbol: str) -> str:
    market, code = symbol.split(".")
    return (
        f'<p><a href="http://quote.eastmoney.com/unify/r/{symbol}" data-code="{code}|{market}|1">'
        f'<img src="https://webquoteklinepic.eastmoney.com/GetPic.aspx?nid={symbol}&imageType=k"></a></p>'
    )


def mention(symbol: str, name: str) -> str:
    market, code = symbol.split(".")
    link = (
        f'<a href="http://quote.eastmoney.com/unify/r/{symbol}" class="keytip" data-code="{market},{code}">{name}</a>'
    )
    return f'<p>今日<span id="stock_{symbol}">{link}</span><span id="quote_{symbol}"></span>上涨。</p>'


def credited(outlet: str, body: str = "<p>正文。</p>") -> str:
    return f'{body}<p class="em_media">（文章来源：{outlet}）</p>'


def ids(desk: Desk, path: str) -> list[str]:
    """The keys of the articles in a feed, the same in every format."""
    atom = [entry.id.rpartition("/")[2] for entry in feedparser.parse(desk.atom(f"{path}.atom")).entries]
    rss = [entry.id.rpartition("/")[2] for entry in feedparser.parse(desk.atom(f"{path}.rss")).entries]
    items = [item["id"].rpartition("/")[2] for item in json.loads(desk.atom(f"{path}.json"))["items"]]
    assert atom == rss == items
    return atom


def stem(scheme: str, value: str) -> str:
    return SCHEMES[scheme].stem(value)


def test_what_an_article_says_has_a_feed_and_a_page(desk: Desk) -> None:
    desk.put("a.md", post(key(1), "甲", credited("财联社", chart("1.601628")), tag="保险", category="x"))
    desk.put("b.md", post(key(2), "乙", credited("财联社", mention("1.601628", "中国人寿")), tag="东财滚动新闻"))
    desk.put("c.md", post(key(3), "丙", mention("90.BK0493", "新能源"), tag="上证报新闻"))
    desk.run()
    check(desk)
    assert set(ids(desk, stem("outlet", "财联社"))) == {key(1), key(2)}
    assert ids(desk, stem("outlet", "上证报")) == [key(3)]
    assert ids(desk, stem("tag", "保险")) == [key(1)]
    assert set(ids(desk, "symbol/1.601628")) == {key(1), key(2)}
    assert ids(desk, "symbol/90.BK0493") == [key(3)]
    folders = {path.split("/")[0] for path in desk.published() if "/" in path}
    assert folders == {"article", "assets", "category", "large", "outlet", "symbol", "tag"}
    assert len([path for path in desk.published() if path.startswith("tag/")]) == 4 + 1  # one tag, and the list
    feed = feedparser.parse(desk.atom("symbol/1.601628.atom")).feed
    assert (feed.title, feed.id) == ("中国人寿（601628） - 测试站", "tag:example.org,2026:feed/symbol/1.601628")
    assert "<title>财联社（媒体） - 测试站</title>" in desk.atom(f"{stem('outlet', '财联社')}.atom")
    assert "<title>保险（标签） - 测试站</title>" in desk.atom(f"{stem('tag', '保险')}.atom")
    page = html.document_fromstring(desk.atom("symbol/1.601628.html"))
    assert [a.text for a in page.iterfind(".//ul[@class='lines']//a")] == ["甲", "乙"]


def test_a_symbol_an_article_is_about_is_told_from_one_it_mentions(desk: Desk) -> None:
    desk.put("a.md", post(key(1), "甲", chart("1.601628") + mention("90.BK0474", "保险"), category="x"))
    desk.put("b.md", post(key(2), "乙", mention("1.601628", "中国人寿")))
    desk.run()
    told = {}
    for entry in etree.fromstring(desk.atom().encode()).iter("{*}entry"):
        found = [dict(c.attrib) for c in entry.iter("{*}category") if "/symbol/" in c.get("scheme")]
        told[entry.findtext("{*}title")] = found
    subject, plain = f"{BASE}symbol/subject/", f"{BASE}symbol/"
    assert told == {
        "甲": [
            {"term": "1.601628", "scheme": subject, "label": "中国人寿"},
            {"term": "90.BK0474", "scheme": plain, "label": "保险"},
        ],
        "乙": [{"term": "1.601628", "scheme": plain, "label": "中国人寿"}],
    }
    rss = etree.fromstring(desk.atom("all.rss").encode())
    assert [(c.get("domain"), c.text) for c in rss.iter("category") if c.get("domain")] == [
        (subject, "中国人寿"),
        (plain, "保险"),
        (plain, "中国人寿"),
    ]
    one, other = json.loads(desk.atom("all.json"))["items"]
    assert one["_feedsync"]["symbols"] == [
        {"symbol": "1.601628", "name": "中国人寿", "role": "subject"},
        {"symbol": "90.BK0474", "name": "保险", "role": "mention"},
    ]
    assert "中国人寿" in one["tags"]
    assert "保险" not in one["tags"]
    assert "中国人寿" not in other["tags"]
    assert ids(desk, "symbol/1.601628") == [key(1), key(2)]


@pytest.mark.parametrize("few", [500, 1])
def test_names_of_symbols_are_learnt_from_other_articles(desk: Desk, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedsync.store.memberships._FEW", few)
    desk.put("a.md", post(key(1), "甲", chart("1.601628")))
    desk.put("z.md", post(key(9), "别的", mention("0.000001", "平安银行")))
    desk.run()
    assert 'term="1.601628" scheme="http://127.0.0.1:8080/symbol/subject/" label="1.601628"' in desk.atom()
    assert "<title>1.601628 - 测试站</title>" in desk.atom("symbol/1.601628.atom")
    for number, name in enumerate(("中国人寿", "国寿", "国寿"), 2):
        desk.put(f"{number}.md", post(key(number), "乙", mention("1.601628", name)))
        desk.run()
        check(desk)
        label = "中国人寿" if number < 4 else "国寿"
        assert f'label="{label}"' in desk.atom("all.atom").split(f"article/{key(1)}<")[1].split("</entry>")[0]
        assert f">{label}</a>" in desk.atom(f"article/{key(1)}.html")
        assert f"{label}（601628）" in desk.atom("index.html")
        assert f"{label}（601628）" in desk.atom("symbol/index.html")
        assert f"{label}（601628）" in desk.atom("feeds.opml")
    with desk.store.reading() as reader:
        feeds = feeds_of(reader.terms("all", *SCHEMES))
        assert (
            feed_named("国寿", feeds, SITE)
            == feed_named("1.601628", feeds, SITE)
            == ("symbol/1.601628", feeds["symbol/1.601628"])
        )
        seqs = {term.value: term.changed_seq for term in reader.terms("symbol")}
        assert seqs["0.000001"] < seqs["1.601628"]
        assert judge(reader, Window(), feeds["symbol/1.601628"], key(9)).reason.endswith("it has: 0.000001")


@pytest.mark.parametrize(
    ("tag", "feed"),
    [
        ("财联社新闻", False),
        ("每日经济新闻新闻", False),
        ("东财滚动新闻", False),
        ("站长消息", True),
        ("新闻联播", True),
        ("保险", True),
        ("index", True),
        ("INDEX", True),
        ("../x", True),
    ],
)
def test_tags_that_say_where_an_article_is_from_have_no_feed(desk: Desk, tag: str, feed: bool) -> None:
    desk.put("a.md", post(key(1), tag=tag))
    desk.run()
    check(desk)
    assert ((desk.tree.root / f"{stem('tag', tag)}.atom").exists()) == feed
    assert (desk.tree.root / "tag/index.html").exists() == feed
    assert f'term="{tag}" scheme="{BASE}tag/"' in desk.atom()
    if feed:
        assert "全部标签" in desk.atom("tag/index.html")


def test_the_lists_name_every_feed_and_the_index_the_largest(desk: Desk) -> None:
    for number in range(40):
        body = "".join(mention(f"0.{300000 + n}", f"股{n}") for n in range(number, 40))
        desk.put(f"{number}.md", post(key(number), f"第{number}篇", credited("甲报", body), tag="保险"))
    desk.run()
    index = html.document_fromstring(desk.atom("index.html"))
    shelves = {section.get("aria-labelledby"): section for section in index.iter("section")}
    listed = [a.text for a in shelves["symbol"].iterfind("ul/li/a[1]")]
    assert listed == [f"股{n}（{300000 + n}）" for n in range(39, 9, -1)]
    assert shelves["symbol"].find("p/a").get("href") == "symbol/index.html"
    assert "全部股票和板块（40）" in desk.atom("index.html")
    page = html.document_fromstring(desk.atom("symbol/index.html"))
    links = [a.get("href") for a in page.iterfind(".//ul[@class='terms']/li/a[1]")]
    assert sorted(links) == sorted(f"0.{300000 + n}.html" for n in range(40))
    assert all((desk.tree.root / "symbol" / link).is_file() for link in links)
    assert (desk.tree.root / "large/symbol/index.html").is_file()
    opml = etree.fromstring(desk.atom("feeds.opml").encode())
    groups = {o.get("text"): len(o) for o in opml.iterfind("body/outline")}
    assert groups == {"测试站": 0, "栏目": 1, "媒体": 1, "股票和板块": 40, "标签": 1}
    assert all(
        (desk.tree.root / o.get("xmlUrl").removeprefix(BASE)).is_file() for o in opml.iterfind(".//outline[@type]")
    )


def test_an_article_page_leads_to_all_of_them(desk: Desk) -> None:
    body = credited("甲报", chart("1.601628") + mention("1.601628", "中国人寿"))
    desk.put("a.md", post(key(1), "甲", body, tag="保险"))
    desk.put("b.md", post(key(2), "乙", body))
    desk.put("c.md", post(key(3), "丙", body))
    desk.run()
    page = html.document_fromstring(desk.atom(f"article/{key(1)}.html"))
    links = [(a.text, a.get("href")) for a in page.iterfind(".//article//p//a") if a.get("href").startswith("../")]
    assert links == [
        ("甲报", f"../{stem('outlet', '甲报')}.html"),
        ("东财滚动", "../category/emnews.html"),
        ("中国人寿", "../symbol/1.601628.html"),
        ("保险", f"../{stem('tag', '保险')}.html"),
    ]
    assert all((desk.tree.root / "article" / href).is_file() for _, href in links)
    assert "标签" not in desk.atom(f"article/{key(2)}.html")


def test_switches_remove_what_is_of_their_kind_and_bring_it_back(desk: Desk) -> None:
    desk.put("a.md", post(key(1), "甲", credited("甲报", chart("1.601628")), tag="保险"))
    desk.put("b.md", post(key(2), "乙", credited("乙报", mention("1.601628", "中国人寿"))))
    desk.run()
    before = desk.published()
    presentation = desk.presentation
    for off, folder in (("outlets", "outlet"), ("tags", "tag"), ("symbols", "symbol")):
        desk.presentation = replace(presentation, **{off: False})
        desk.run()
        check(desk)
        without = desk.published()
        assert before.keys() - without.keys() == {path for path in before if path.startswith(f"{folder}/")}
        for path, content in without.items():
            allowed = rb'scheme="http://127.0.0.1:8080/tag/"' if folder == "tag" else b""
            assert f"{folder}/".encode() not in content.replace(allowed, b""), path
        if off == "symbols":  # a name learnt meanwhile
            desk.put("c.md", post(key(3), "丙", mention("1.601628", "国寿")))
            desk.put("d.md", post(key(4), "丁", mention("1.601628", "国寿")))
            desk.run()
    desk.presentation = presentation
    desk.run()
    check(desk)
    assert '"国寿"' in desk.atom()
    for number in (3, 4):
        (desk.inbox / f"{'abcd'[number - 1]}.md").unlink()
    desk.now = desk.now.replace(year=2026)
    desk.run(full=True)
    assert before.keys() <= desk.published().keys()


def test_formats_nobody_asked_for_are_removed_and_come_back(desk: Desk) -> None:
    desk.put("a.md", post(key(1), "甲", credited("甲报", chart("1.601628")), tag="保险"))
    desk.run()
    before = desk.published()
    presentation = desk.presentation
    for formats in (("atom", "json"), ("atom",), ("atom", "rss")):
        desk.presentation = replace(presentation, site=replace(presentation.site, formats=formats))
        desk.run()
        check(desk)
        without = desk.published()
        off = {".rss", ".json"} - {f".{extension}" for extension in formats}
        assert before.keys() - without.keys() == {path for path in before if path.endswith(tuple(off))}
        assert without["all.atom"] == before["all.atom"]
        pages = [content for path, content in without.items() if path.endswith(".html")]
        assert not any(f'{extension}"'.encode() in page for page in pages for extension in off)
    desk.presentation = presentation
    desk.run()
    check(desk)
    assert desk.published() == before


def test_formats_are_removed_though_the_first_attempt_was_cut_short(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put("a.md", post(key(1), "甲", credited("甲报")))
    desk.run()
    desk.presentation = replace(desk.presentation, site=replace(desk.presentation.site, formats=("atom",)))
    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "_remove_strangers", _interrupted)
        with pytest.raises(Interrupted):
            desk.run()
    assert "all.rss" in desk.published()
    desk.run()
    check(desk)
    assert not [path for path in desk.published() if path.endswith((".rss", ".json"))]


def _interrupted(*_: object) -> int:
    raise Interrupted("stopped", remedy="go on")


def test_an_outlet_that_lost_its_articles_leaves_no_feed(desk: Desk) -> None:
    desk.put("a.md", post(key(1), "甲", credited("甲报")))
    desk.put("b.md", post(key(2), "乙"))
    desk.run()
    assert "outlet/index.html" in desk.published()
    desk.put("a.md", post(key(1), "甲", credited("乙报")))
    desk.run()
    check(desk)
    outlets = {path.split(".")[0] for path in desk.published() if path.startswith("outlet/")}
    assert outlets == {"outlet/index", stem("outlet", "乙报")}


_OUTLETS, _SYMBOLS, _TAGS = ("甲报", "乙报", ""), ("1.601628", "90.BK0493", "106.NIO"), ("保险", "甲报新闻", "Abc")
_ARTICLES = st.fixed_dictionaries(
    {
        "number": st.integers(1, 4),
        "copy": st.sampled_from("pq"),
        "outlet": st.sampled_from(_OUTLETS),
        "about": st.sets(st.sampled_from(_SYMBOLS), max_size=2),
        "mentions": st.sets(st.tuples(st.sampled_from(_SYMBOLS), st.sampled_from(["名", "另名"])), max_size=2),
        "tag": st.sampled_from(_TAGS),
        "title": st.sampled_from(["甲", "乙"]),
    }
)


def written(desk: Desk, said: dict[str, Any]) -> None:
    body = "<p>正文。</p>" + "".join(map(chart, sorted(said["about"])))
    body += "".join(mention(symbol, name) for symbol, name in sorted(said["mentions"]))
    text = post(
        key(said["number"]), said["title"], credited(said["outlet"], body) if said["outlet"] else body, tag=said["tag"]
    )
    desk.put(f"{said['copy']}/{key(said['number'])}.md", text)


def expected(desk: Desk) -> dict[str, set[str]]:
    """What stands in the feed of each path, from what articles say, by a scan."""
    found: dict[str, set[str]] = {}
    with desk.store.reading() as reader:
        for one in reader.known([key(number) for number in range(1, 5)]).values():
            if one.hidden:
                continue
            places = [("outlet", one.article.credit.outlet)] if one.article.credit else []
            places += [("tag", tag) for tag in one.article.tags if not tag.endswith("新闻")]
            places += [("symbol", symbol.value) for symbol in one.article.symbols]
            for scheme, value in places:
                found.setdefault(stem(scheme, value), set()).add(one.article.key)
    return found


@settings(max_examples=10)
@given(st.lists(st.one_of(_ARTICLES, st.integers(1, 4)), min_size=1, max_size=6))
def test_whatever_happens_the_tree_is_what_would_be_drawn_from_nothing(steps: list[Any]) -> None:
    """Articles come, change, are withdrawn and restored, each in a pass of its own."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        publisher = Publisher(desk.tree, desk.presentation)
        desk.run(publisher=publisher)
        withdrawn: set[int] = set()
        for step in steps:
            if isinstance(step, int):
                desk.now = desk.now.replace(microsecond=0)
                speak = restore if step in withdrawn else withdraw
                withdrawn ^= {step}
                if speak is withdraw:
                    withdraw(desk.store, publisher, key(step), "", now=desk.now)
                else:
                    restore(desk.store, publisher, key(step), now=desk.now)
            else:
                written(desk, step)
                desk.run(publisher=publisher)
            check(desk)
        shown = {
            path.removesuffix(".atom"): set(ids(desk, path.removesuffix(".atom")))
            for path in desk.published()
            if path.endswith(".atom") and path.split("/")[0] in ("outlet", "tag", "symbol")
        }
        assert {path: keys for path, keys in shown.items() if keys} == expected(desk)
        before = desk.published()
        shutil.rmtree(desk.tree.root)
        desk.run(full=True)
        assert desk.published() == before
        desk.close()


@settings(max_examples=5)
@given(st.lists(_ARTICLES, min_size=1, max_size=6, unique_by=lambda a: (a["number"], a["copy"])), st.integers(0, 99))
def test_the_order_of_documents_leaves_no_trace(articles: list[dict[str, Any]], seed: int) -> None:
    trees = []
    for shuffle in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            desk = Desk(Path(folder))
            if shuffle:
                random.Random(seed).shuffle(articles)
            for said in articles:
                written(desk, said)
            desk.run()
            trees.append(desk.published())
            desk.close()
    assert trees[0] == trees[1]


def test_a_store_of_before_is_filed_anew_without_its_sources(desk: Desk) -> None:
    desk.put("a.md", post(key(1), "甲", credited("甲报", chart("1.601628")), tag="保险"))
    desk.put("b.md", post(key(2), "乙", credited("乙报"), tag="甲新闻"))
    desk.put("c.md", post(key(3), "丙", credited("丙报"), tag="保险"))
    desk.put("d.md", post("", "", tag="无").replace("date: 2025-03-14 10:00:00 +0800", "date: +0800"))
    desk.run()
    desk.put("a.md", post(key(1), "甲，更正", credited("甲报", chart("1.601628")), tag="保险"))
    desk.run()
    withdraw(desk.store, Publisher(desk.tree, desk.presentation), key(3), "", now=desk.now)
    rows = "SELECT t.scheme, t.value, t.articles, m.* FROM terms t JOIN memberships m ON m.term_id = t.id"
    select = f"SELECT scheme, value, articles, article_id, published_us, arrived_us, role, label, revised_us FROM ({rows}) ORDER BY 1, 2, 4"
    path = desk.store.path
    desk.store.close()
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute(select).fetchall()
    make_older(path, 5)
    tree = desk.published()
    shutil.rmtree(desk.inbox)
    desk.store = Store.open(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(select).fetchall() == before
        assert not list(miscounted(connection))
        assert connection.execute("SELECT documents FROM sources").fetchone() == (3,)
    Publisher(desk.tree, desk.presentation).publish(desk.store, everything=True)
    check(desk)
    lost = tree.keys() - desk.published().keys()
    assert {path.split(".")[0] for path in lost} <= {stem("outlet", "丙报")}  # it was withdrawn before there was a feed


def test_one_new_article_costs_the_same_however_many_symbols_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for symbols in (100, 500):
        (tmp_path / str(symbols)).mkdir()
        desk = Desk(tmp_path / str(symbols), window=Window(10, 0, 10))
        for first in range(20):
            body = "".join(mention(f"0.{300000 + n}", f"股{n}") for n in range(first, symbols, 20))
            desk.put(f"{first}.md", post(key(first), f"第{first}篇", credited("甲报", body), tag="保险"))
        publisher = Publisher(desk.tree, desk.presentation)
        desk.run(publisher=publisher)
        for number in (9000, 9001):
            desk.put(f"{number}.md", post(key(number), "新的", credited("甲报", chart("0.300007")), tag="保险"))
            with counted(desk, monkeypatch) as costs:
                desk.run(publisher=publisher, paths={"articles": frozenset({f"{number}.md".encode()})})
        results.append(costs)
        feeds = {path.rsplit(".", 1)[0] for path in costs.drawn if path.split("/")[0] in ("outlet", "symbol", "tag")}
        lists = {"outlet/index", "symbol/index", "tag/index"}
        assert feeds == {stem("outlet", "甲报"), "symbol/0.300007", stem("tag", "保险")} | lists
        assert not {path for path in costs.written if path.endswith("/index.html")} | (
            {"feeds.opml"} & costs.written.keys()
        )
        desk.close()
    few, many = results
    assert (many.statements, many.rows) == (few.statements, few.rows)
    assert many.steps < 1.1 * few.steps


def test_entries_drawn_before_a_publication_failed_show_no_former_label(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(desk.tree, desk.presentation)
    desk.put("other.md", post(key(9), "别", category="other"))
    desk.run(publisher=publisher)
    desk.put("0.md", post(key(0), "甲", mention("1.601628", "中国人寿")))
    settle = Batch.settle

    def full(batch: Batch) -> None:
        if any(path.startswith("symbol/") for path in batch._pending):
            raise OutputError("the disk is full")
        settle(batch)

    monkeypatch.setattr(Batch, "settle", full)
    with pytest.raises(OutputError, match="full"):
        desk.run(publisher=publisher)
    monkeypatch.undo()
    for number in (1, 2):
        desk.put(f"{number}.md", post(key(number), "乙", mention("1.601628", "国寿")))
    desk.run(publisher=publisher)
    check(desk)


def test_pages_of_new_feeds_are_in_place_before_any_feed_leads_to_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[str] = []
    put = Batch.put

    def noting(batch: Batch, path: str, content: bytes) -> bool:
        placed.append(path)
        return put(batch, path, content)

    monkeypatch.setattr(Batch, "put", noting)
    desk.put("a.md", post(key(1), "甲", credited("甲报", chart("1.601628")), tag="保险"))
    desk.put("b.md", post(key(2), "乙", credited("乙报"), category="second"))
    desk.run()
    led_to = {path.replace(".atom", ".html") for path in placed if path.endswith(".atom")}
    pages = [n for n, path in enumerate(placed) if path in led_to or path.startswith("article/")]
    feeds = [n for n, path in enumerate(placed) if path.endswith((".atom", ".rss", ".json"))]
    assert len(pages) == 2 + 2 + 2 + 1 + 1  # of articles, categories, outlets, the tag, the symbol
    assert max(pages) < min(feeds)
