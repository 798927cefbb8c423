"""What we rely on in the libraries we did not write; an upgrade that breaks it must show here."""

import io
import os
import pickle
import select
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import feedparser
import nh3
import pytest
import webencodings
import yaml
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from cssselect import HTMLTranslator, SelectorError
from feedgen.entry import FeedEntry
from feedgen.feed import FeedGenerator
from inotify_simple import INotify, flags
from lxml import etree
from lxml import html as lxml_html
from pypinyin import lazy_pinyin

from feedsync.parse.guard import MAX_DEPTH
from feedsync.values import Struct, asdict, field, replace


class Point(Struct, frozen=True, order=True):
    x: int
    y: tuple[int, ...] = ()


class Tally(Struct):
    seen: int = 0
    names: list[str] = field(default_factory=list)


def test_structs_are_values() -> None:
    point = Point(1, (2, 3))
    assert point == Point(1, (2, 3)) != Point(1)
    pair: object = (1, (2, 3))
    assert point != pair
    assert len({point, Point(1, (2, 3))}) == 1
    assert sorted([Point(2), point, Point(1)]) == [Point(1), point, Point(2)]
    assert replace(point, x=5) == Point(5, (2, 3))
    assert pickle.loads(pickle.dumps(point)) == point
    assert repr(point) == "Point(x=1, y=(2, 3))"
    assert asdict(point) == {"x": 1, "y": (2, 3)}
    with pytest.raises(AttributeError):
        point.x = 2  # type: ignore[misc]
    tally = Tally()
    tally.seen += 1
    tally.names.append("甲")
    assert Tally() == Tally(0, []) != tally


def test_feedgen_draws_an_entry_without_declarations() -> None:
    entry = FeedEntry()
    entry.id("tag:x,2026:1")
    entry.title("t")
    entry.updated(datetime(2026, 1, 1, tzinfo=UTC))
    entry.content("<p>a</p>", type="html")
    xml = etree.tostring(entry.atom_entry())
    assert xml.startswith(b"<entry><id>")
    assert b'type="html">&lt;p&gt;' in xml
    feed = FeedGenerator()
    feed.id("tag:x,2026:f")
    feed.title("t")
    feed.updated(datetime(2026, 1, 1, tzinfo=UTC))
    assert feed.atom_str().count(b"</feed>") == 1


def test_the_tree_keeps_what_is_above_our_depth_and_says_so_below_its_own() -> None:
    def kept(depth: int) -> tuple[bool, bool]:
        parser = lxml_html.HTMLParser(encoding="utf-8")
        root = etree.fromstring(b"<div>" * depth + b"deep" + b"</div>" * depth, parser)
        return "deep" in "".join(root.itertext()), any("depth" in e.message.lower() for e in parser.error_log)

    assert kept(MAX_DEPTH + 1) == (True, False)
    assert kept(1000) == (False, True)


def test_the_sanitiser_writes_only_these_entities_in_text() -> None:
    text = "a'b\"c\u00a0d&e<f>g一，。\u2028"
    assert nh3.clean_text(text) != text
    assert nh3.clean("a'b\"c一，。\u2028") == "a'b\"c一，。\u2028"
    assert nh3.clean("a\u00a0b") == "a&nbsp;b"


def test_yaml_events_show_anchors_before_anything_is_built() -> None:
    events = list(yaml.parse("a: &x 1\nb: *x\n", Loader=yaml.CBaseLoader))
    assert [e.anchor for e in events if isinstance(e, yaml.AliasEvent)] == ["x"]


def test_the_scheduler_runs_late_jobs_and_one_after_the_other() -> None:
    ran = threading.Event()
    scheduler = BackgroundScheduler(
        timezone=UTC,
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    scheduler.add_job(ran.set, "date", run_date=datetime(2020, 1, 1, tzinfo=UTC))
    scheduler.start()
    assert ran.wait(10)
    scheduler.remove_all_jobs()
    scheduler.shutdown(wait=True)


def test_feedparser_takes_streams_as_they_are() -> None:
    text = (
        "<rss version='2.0'><channel><title>甲</title><item><guid>17</guid><link>/a</link>"
        "<description>&lt;script&gt;x&lt;/script&gt;&lt;img src='b'&gt;</description><pubDate>昨天</pubDate></item></channel></rss>"
    )
    parsed = feedparser.parse(
        io.BytesIO(text.encode()),
        response_headers={"content-type": "application/xml; charset=utf-8"},
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    assert not parsed.bozo
    assert parsed.feed.title == "甲"
    (entry,) = parsed.entries
    assert (entry.id, entry.link, dict.get(entry, "published")) == ("17", "/a", "昨天")
    assert entry.summary == "<script>x</script><img src='b'>"
    assert dict.get(entry, "updated") is None
    with pytest.warns(DeprecationWarning, match="`updated`"):  # why it is never asked by its own get
        entry.get("updated")


def test_webencodings_knows_the_labels_of_the_standard() -> None:
    names = {label: (found and found.codec_info.name) for label in ("gb2312", "GBK", "big5", "utf-7", "x-foo", "latin1", "utf8")
             for found in [webencodings.lookup(label)]}  # fmt: skip
    assert names == {
        "gb2312": "gbk", "GBK": "gbk", "big5": "big5hkscs", "utf-7": None, "x-foo": None, "latin1": "cp1252", "utf8": "utf-8",
    }  # fmt: skip
    found = webencodings.lookup("hz-gb-2312")
    assert found is None or found.name in ("replacement", "hz-gb-2312")


def test_pypinyin_reads_words() -> None:
    assert lazy_pinyin("厦门日报") == ["xia", "men", "ri", "bao"]
    assert lazy_pinyin("中国银行") == ["zhong", "guo", "yin", "hang"]
    assert lazy_pinyin("绿") == ["lv"]


def test_cssselect_says_what_is_no_selector() -> None:
    assert HTMLTranslator().css_to_xpath("#a > .b")
    with pytest.raises(SelectorError):
        HTMLTranslator().css_to_xpath("div[")


def test_trafilatura_finds_a_short_chinese_text_and_tells_no_metadata() -> None:
    from feedsync.parse.maintext import _extract

    text = "沧屿港三期扩建工程在江澜开工，计划投资四十亿元，三年建成。"
    page = f"<html><body><ul><li><a href=/>首页</a></li></ul><h1>标题</h1><div class=c><p>{text}</p></div><footer>版权所有</footer></body></html>"
    found = _extract(page)
    assert text in found
    assert "版权" not in found
    assert "首页" not in found
    assert _extract("<html><body></body></html>") == ""


def test_what_is_slow_to_load_is_loaded_when_it_is_needed() -> None:
    code = (
        "import sys, feedsync.cli, feedsync.parse.page, feedsync.parse.listing, feedsync.parse.upstream\n"
        "print([m for m in ('trafilatura', 'feedparser', 'pypinyin', 'cssselect') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_inotify_tells_at_once_and_a_closed_one_is_an_error(tmp_path: Path) -> None:
    with INotify() as inotify:
        watch = inotify.add_watch(os.fsencode(tmp_path), flags.CREATE | flags.CLOSE_WRITE | flags.ONLYDIR)
        assert list(inotify.read(timeout=0)) == []
        (tmp_path / "folder").mkdir()
        (tmp_path / os.fsdecode(b"a\xff")).touch()
        assert select.select([inotify], [], [], 0)[0]  # it can be waited for together with others
        created, *others = inotify.read(timeout=0)
        assert (created.wd, created.name, created.mask) == (watch, "folder", flags.CREATE | flags.ISDIR)
        assert {os.fsencode(event.name)[-1:] for event in others} == {b"\xff"}
        with pytest.raises(FileNotFoundError):
            inotify.add_watch(tmp_path / "gone", flags.CREATE)
    with pytest.raises(ValueError, match="closed"):
        inotify.add_watch(tmp_path, flags.CREATE)
