"""What we rely on in the libraries we did not write; an upgrade that breaks it must show here."""

import threading
from datetime import UTC, datetime

import nh3
import yaml
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from feedgen.entry import FeedEntry
from feedgen.feed import FeedGenerator
from lxml import etree
from lxml import html as lxml_html

from feedsync.parse.guard import MAX_DEPTH


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
