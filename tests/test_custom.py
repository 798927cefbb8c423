"""Custom feeds: their conditions, kept true by every change, and what becomes of their addresses."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsync import config
from feedsync.errors import ConfigError
from feedsync.model import CustomFeed
from feedsync.parse import text_of
from feedsync.publish import Publisher
from feedsync.query import selection_of, subject_of
from feedsync.store import Custom, Index
from feedsync.values import replace
from feedsync.why import feeds_of, judge
from feedsync.withdraw import restore, withdraw
from tests.conftest import SHANGHAI, Desk, post
from tests.test_cli import Shell
from tests.test_costs import counted
from tests.test_subscriptions import chart, credited, ids, key, mention
from tests.test_sync import check

INSURANCE = CustomFeed("insurance", "保险要闻", "保险 OR 分红 -传闻", none_of=("emnews",))


def ask(desk: Desk, *feeds: CustomFeed) -> None:
    desk.presentation = replace(desk.presentation, custom=feeds)


def admitted(desk: Desk, feed: CustomFeed) -> set[str]:
    """The published articles that are what a feed asks for, by a scan of the store."""
    selection = selection_of(feed, SHANGHAI)
    found = set()
    with desk.store.reading() as reader:
        for _, entry in reader.changed_entries((-1, 0), 10_000):
            known = entry.known
            subject = subject_of(known, text_of(entry.html))
            if not known.hidden and selection.admits(subject, known.article.body.length):
                found.add(known.article.key)
    return found


def gone(desk: Desk) -> set[str]:
    return {path for path in desk.published() if path.endswith(".gone")}


def files(name: str, suffix: str = "") -> set[str]:
    return {f"feed/{name}.{extension}{suffix}" for extension in ("atom", "rss", "json", "html")}


def test_a_custom_feed_is_a_feed_like_any_other(desk: Desk) -> None:
    ask(desk, INSURANCE)
    desk.put("a.md", post(key(1), "保险业的消息", category="meiti"))
    desk.put("b.md", post(key(2), "分红的传闻", category="meiti"))
    desk.put("c.md", post(key(3), "保险", category="emnews"))
    desk.put("d.md", post(key(4), "别的", "<p>说到分 红。</p>", category="meiti"))
    desk.run()
    check(desk)
    assert set(ids(desk, "feed/insurance")) == {key(1), key(4)}
    atom = desk.atom("feed/insurance.atom")
    assert "<id>tag:example.org,2026:feed/feed/insurance</id>" in atom
    assert "<title>保险要闻 - 测试站</title>" in atom
    assert "保险要闻" in desk.atom("index.html")
    assert "保险要闻" in desk.atom("feed/index.html")
    assert 'text="专题"' in desk.atom("feeds.opml")
    assert files("insurance") <= desk.published().keys()
    with desk.store.reading() as reader:
        term = feeds_of(reader.terms("custom"))["feed/insurance"]
        assert judge(reader, desk.presentation.window, term, key(1)).stands
        assert judge(reader, desk.presentation.window, term, key(3)).code == "not-filed"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"any_of": ("X", "没有")}, {1, 2}),
        ({"none_of": ("x",)}, {3, 4}),
        ({"outlets": ("甲报",)}, {1, 3}),
        ({"outlets": ("甲报", "乙报")}, {1, 2, 3}),
        ({"symbols": ("1.601628",)}, {1, 4}),
        ({"symbols": ("中国人寿", "BK0474")}, {2, 4}),
        ({"min_characters": 100}, {4}),
        ({"query": "正文", "outlets": ("乙报",)}, {2}),
        ({"query": "before:2025-03-14T10:30"}, {1, 2, 3, 4}),
        ({"query": "after:2025-03-14T10:30"}, set()),
        ({"query": "tag:东财滚动新闻", "any_of": ("y",), "min_characters": 1}, {3, 4}),
    ],
)
def test_all_conditions_must_hold(desk: Desk, conditions: dict[str, Any], expected: set[int]) -> None:
    feed = CustomFeed("f", "题", **conditions)
    ask(desk, feed)
    desk.put("1.md", post(key(1), "一", credited("甲报", "<p>正文</p>" + chart("1.601628")), category="x"))
    desk.put("2.md", post(key(2), "二", credited("乙报", "<p>正文</p>" + mention("90.BK0474", "保险")), category="x"))
    desk.put("3.md", post(key(3), "三", credited("甲报"), category="y"))
    desk.put("4.md", post(key(4), "四", "<p>长</p>" * 100 + mention("1.601628", "中国人寿"), category="y"))
    desk.run()
    assert set(ids(desk, "feed/f")) == {key(number) for number in expected} == admitted(desk, feed)
    check(desk)


def test_it_follows_what_becomes_of_articles(desk: Desk) -> None:
    ask(desk, CustomFeed("f", "题", "保险"))
    publisher = Publisher(desk.tree, desk.presentation)
    desk.put("a.md", post(key(1), "保险"))
    desk.run(publisher=publisher)
    desk.put("b.md", post(key(2), "别的"))
    desk.run(publisher=publisher)
    assert ids(desk, "feed/f") == [key(1)]
    desk.put("b.md", post(key(2), "说保险了"))
    desk.run(publisher=publisher)
    assert set(ids(desk, "feed/f")) == {key(1), key(2)}
    with desk.store.reading() as reader:
        (term,) = reader.terms("custom")
        place = reader.place(term.id, key(2))
    assert place is not None
    assert place.arrived == desk.now  # it came to stand there with its revision, and so is in the window
    desk.put("a.md", post(key(1), "不说了"))
    desk.run(publisher=publisher)
    assert ids(desk, "feed/f") == [key(2)]
    withdraw(desk.store, publisher, key(2), "撤", now=desk.now + timedelta(seconds=1))
    assert ids(desk, "feed/f") == []
    assert "deleted-entry" in desk.atom("feed/f.atom")
    check(desk)
    restore(desk.store, publisher, key(2), now=desk.now + timedelta(seconds=2))
    assert ids(desk, "feed/f") == [key(2)]
    check(desk)


def test_it_is_there_before_anything_is_in_it(desk: Desk) -> None:
    ask(desk, CustomFeed("f", "题", "没有的词"))
    desk.put("a.md", post(key(1)))
    desk.run()
    check(desk)
    assert ids(desk, "feed/f") == []
    assert "题" in desk.atom("index.html")


def test_a_changed_feed_is_decided_anew_and_a_removed_one_is_gone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        desk.put(f"{number}.md", post(key(number), f"词{number}"))
    desk.run()
    plain = desk.published()
    publisher = Publisher(desk.tree, desk.presentation)
    ask(desk, CustomFeed("f", "题", "词1 OR 词2"), CustomFeed("other", "别", "词3"))
    assert not list(Publisher(desk.tree, replace(desk.presentation, custom=())).audit.differences(desk.store))
    assert set(Publisher(desk.tree, desk.presentation).audit.differences(desk.store)) >= {
        "feed/f.atom",
        "feed/other.atom",
    }
    with counted(desk, monkeypatch) as costs:
        desk.run()
    # Another feed is no reason to draw all others.
    drawn = {path.split(".")[0] for path in costs.drawn if path.split("/")[0] in ("feed", "category", "all.atom")}
    assert drawn == {"feed/f", "feed/other", "feed/index"}
    check(desk)
    ask(desk, CustomFeed("f", "新题", "词2 OR 词3"), CustomFeed("other", "别", "词3"))
    desk.run()
    assert set(ids(desk, "feed/f")) == {key(2), key(3)}
    assert "<title>新题 - 测试站</title>" in desk.atom("feed/f.atom")
    assert "新题" in desk.atom("index.html")
    assert gone(desk) == set()
    check(desk)
    ask(desk, CustomFeed("f", "新题", "词2 OR 词3"))
    desk.run()
    assert gone(desk) == files("other", ".gone")
    assert not files("other") & desk.published().keys()
    assert "别" not in desk.atom("feeds.opml")
    check(desk)
    ask(desk)
    desk.run()
    assert gone(desk) == files("other", ".gone") | files("f", ".gone")
    assert desk.published().keys() - gone(desk) == plain.keys()
    check(desk)
    before = desk.published()
    shutil.rmtree(desk.tree.root)
    desk.run(full=True)
    assert desk.published() == before
    ask(desk, CustomFeed("other", "别", "词1"))
    desk.run()
    assert ids(desk, "feed/other") == [key(1)]
    assert gone(desk) == files("f", ".gone")
    check(desk)
    assert publisher.presentation.custom == ()


def test_only_what_changed_is_looked_at(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(desk, *(CustomFeed(f"f{n}", f"题{n}", f"词{n}") for n in range(5)))
    for number in range(60):
        desk.put(f"{number}.md", post(key(number), f"词{number}"))
    desk.run()
    publisher = Publisher(desk.tree, desk.presentation)
    desk.run(publisher=publisher)
    evaluated = 0

    def count(*arguments: Any) -> Any:
        nonlocal evaluated
        evaluated += 1
        return subject_of(*arguments)

    monkeypatch.setattr("feedsync.store.custom.subject_of", count)
    monkeypatch.setattr("feedsync.store.search.subject_of", count)
    desk.put("new.md", post(key(900), "词3"))
    desk.run(publisher=publisher)
    assert evaluated == 1
    assert set(ids(desk, "feed/f3")) >= {key(3), key(900)}
    desk.run(publisher=publisher)  # files younger than a tick are read once more
    with counted(desk, monkeypatch) as costs:
        desk.run(publisher=publisher)
    assert (costs.rows, costs.drawn, evaluated) == (0, [], 1)


@pytest.mark.parametrize("few", [500, 1])
def test_a_learnt_name_reaches_custom_feeds(desk: Desk, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedsync.store.memberships._FEW", few)
    ask(desk, CustomFeed("f", "题", "标题甲"))
    desk.put("a.md", post(key(1), "标题甲", chart("1.601628")))
    desk.run()
    desk.put("b.md", post(key(2), "标题乙", mention("1.601628", "中国人寿")))
    desk.run()
    assert 'label="中国人寿"' in desk.atom("feed/f.atom")
    check(desk)


_FEEDS = st.lists(
    st.sampled_from(
        [
            CustomFeed("one", "一", "保险"),
            CustomFeed("one", "一", "-保险"),
            CustomFeed("one", "另", "保险"),
            CustomFeed("two", "二", "股票 OR category:x"),
            CustomFeed("two", "二", none_of=("x",), min_characters=4),
            CustomFeed("three", "三", outlets=("甲报",)),
            CustomFeed("three", "三", symbols=("601628",)),
        ]
    ),
    max_size=3,
    unique_by=lambda feed: feed.name,
)
_POST = st.tuples(
    st.integers(1, 4),
    st.sampled_from(["保险", "股票", "别的"]),
    st.sampled_from(["<p>短。</p>", "<p>说到保险。</p>", "<p>长一些的股票。</p>" + chart("1.601628")]),
    st.sampled_from(["x", "y"]),
    st.sampled_from(["甲报", ""]),
)


@settings(max_examples=12)
@given(st.lists(st.one_of(_POST, _POST, st.integers(1, 4), _FEEDS, st.just("index")), max_size=6), _FEEDS)
def test_whatever_happens_a_feed_holds_what_a_scan_finds(steps: Sequence[Any], last: list[CustomFeed]) -> None:
    """Articles come, change and go, feeds too, and the search index is written at some time or other."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        desk.run()
        asked: set[str] = set()
        withdrawn: set[int] = set()
        for step in [*steps, last]:
            match step:
                case int():
                    desk.now += timedelta(seconds=1)
                    speak = Publisher(desk.tree, desk.presentation)
                    if step in withdrawn:
                        restore(desk.store, speak, key(step), now=desk.now)
                    else:
                        withdraw(desk.store, speak, key(step), "", now=desk.now)
                    withdrawn ^= {step}
                case list():
                    ask(desk, *step)
                    asked |= {feed.name for feed in step}
                    desk.run()
                case "index":
                    with desk.store.writing() as writer:
                        Index(writer.connection).catch_up(3)
                case number, title, body, category, outlet:
                    text = credited(outlet, body) if outlet else body
                    desk.put(f"{number}.md", post(key(number), title, text, category=category))
                    desk.run()
            check(desk)
            current = desk.presentation.custom
            for feed in current:
                assert set(ids(desk, f"feed/{feed.name}")) == admitted(desk, feed)
            assert gone(desk) - {f"article/{key(n)}.html.gone" for n in withdrawn} == {
                path for name in asked - {feed.name for feed in current} for path in files(name, ".gone")
            }
        before = desk.published()
        shutil.rmtree(desk.tree.root)
        desk.run(full=True)
        assert desk.published() == before
        with desk.store.reading() as reader:
            assert Custom(reader.connection).stale(last, "Asia/Shanghai") == []
        desk.close()


def _config(tmp_path: Path, feeds: str) -> Path:
    path = tmp_path / "feedsync.toml"
    site = '[site]\ntitle = "站"\nbase_url = "http://127.0.0.1"\nauthority = "example.org,2026"\n'
    path.write_text(f"{site}{feeds}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('name = "a"\ntitle = "甲"\nquery = "(x"', "feeds.custom[0].query: the feed 'a' cannot be: ( at character 1"),
        ('name = "a"\ntitle = "甲"\nquery = "outlt:x"', "write outlet:"),
        ('name = "a"\ntitle = "甲"', "it has no condition"),
        ('name = "a"\ntitle = "甲"\nany_of = [" "]', "an empty category is none"),
        ('name = "A b"\ntitle = "甲"\nquery = "x"', "feeds.custom[0].name"),
        ('name = "index"\ntitle = "甲"\nquery = "x"', "choose another"),
        ('name = "a"\nquery = "x"', "feeds.custom[0].title: it is required"),
        ('name = "a"\ntitle = "甲\\n乙"\nquery = "x"', "on one line"),
        ('name = "a"\ntitle = "甲"\nqeury = "x"', "did you mean 'query'"),
        ('name = "a"\ntitle = "甲"\nquery = "x"\nmin_characters = -1', "feeds.custom[0].min_characters"),
        ('name = "a"\ntitle = "甲"\nquery = "x"\n[[feeds.custom]]\nname = "a"\ntitle = "乙"\nquery = "y"', "already"),
    ],
)
def test_a_feed_that_cannot_be_is_a_fault_of_the_configuration(tmp_path: Path, table: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.load(_config(tmp_path, f"[[feeds.custom]]\n{table}\n"))
    assert problem in "; ".join(raised.value.problems)


def test_the_commands_know_them(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.put("a.md", post(key(1), "保险"))
    shell.put("b.md", post(key(2), "别的"))
    path = tmp_path / "config/feedsync.toml"
    before = path.read_text(encoding="utf-8")
    feed = '\n[[feeds.custom]]\nname = "insurance"\ntitle = "保险要闻"\nquery = "保险"\nmin_characters = 1\n'
    path.write_text(before + feed, encoding="utf-8")
    assert "feed insurance: 保险要闻, query 保险; at least 1 characters" in shell("check-config").stdout
    shell("resync")
    assert "is in feed/insurance" in shell("why", "feed/insurance", key(1)).stdout
    assert "is not in feed/insurance: it is not what the feed asks for" in shell("why", "insurance", key(2)).stdout
    shown = json.loads(shell("show", key(1), "--json").stdout)
    assert "feed/insurance" in [place["feed"] for place in shown["memberships"]]
    feeds = json.loads(shell("status", "--json").stdout)["counts"]["feeds"]
    assert shell("publish", "--check").stdout is not None
    path.write_text(before + feed.replace('保险"\nmin', '("\nmin'), encoding="utf-8")
    assert "the feed 'insurance' cannot be" in shell("check-config", code=2).stderr
    path.write_text(before, encoding="utf-8")
    shell("resync")
    assert json.loads(shell("status", "--json").stdout)["counts"]["feeds"] == feeds - 1
    assert (tmp_path / "var/public/feed/insurance.atom.gone").read_bytes() == b""
