"""Why an article is as it is, and why it is in a feed or not: against what was published."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from feedsync.errors import UsageError
from feedsync.feeds import Window
from feedsync.model import ALL, CATEGORY, Arrival, Origin
from feedsync.plan import decide, winners
from feedsync.publish import Publisher
from feedsync.store import Fetches, FetchRow
from feedsync.values import replace
from feedsync.why import decisions, feed_named, feeds_of, judge
from feedsync.withdraw import withdraw
from tests.conftest import SITE, START, Desk, post
from tests.test_plan import distinct, documents
from tests.test_sync import check
from tests.test_withdraw import CODE, OTHER, flagged, typed

__all__ = ["typed"]


def test_the_verdict_is_what_was_published(tmp_path: Path) -> None:
    """Of every article in every feed, at every pass."""
    desk = Desk(tmp_path, window=Window(min_entries=2, window_hours=1, max_entries=3))
    keys = [f"2025031426000000{number:02d}" for number in range(9)]
    seen = set()
    for number, key in enumerate(keys):
        late = number not in (0, 3)
        date = f"2025-03-{1 if late else 10 + number:02d} 10:00:00 +0800"
        category = ("emnews", "meiti")[number % 2]
        text = post(key, date="" if number == 5 else date, title="" if number == 5 else "标题", category=category)
        desk.put(f"{key}.md", flagged(text) if number == 4 else text)
        if number not in (6, 7):
            desk.run(later=timedelta(minutes=25))
            with desk.store.reading() as reader:
                for stem, term in feeds_of(reader.terms(ALL, CATEGORY)).items():
                    content = desk.atom(f"{stem}.atom") if term.articles else ""
                    order = re.findall(r"<id>tag:example.org,2026:article/(\d+)</id>", content)
                    for one in keys:
                        verdict = judge(reader, desk.presentation.window, term, one)
                        assert verdict.stands == (one in order), (stem, one, verdict)
                        assert verdict.reason
                        seen.add(verdict.code)
                        if verdict.stands and verdict.rank == 1:
                            assert order[0] == one
    assert seen == {"newest", "late", "outside-window", "capped", "not-filed", "held", "withdrawn", "unknown"}
    desk.close()


def test_it_says_since_when_and_why_it_was_withdrawn(desk: Desk) -> None:
    desk.put("a.md", post(CODE))
    desk.run()
    came = desk.now
    withdraw(desk.store, Publisher(desk.tree, desk.presentation), OTHER, "未来", now=desk.now)
    with desk.store.reading() as reader:
        (term,) = reader.terms(ALL)
        assert judge(reader, Window(), term, CODE).since == came
        verdict = judge(reader, Window(), term, OTHER)
    assert (verdict.code, verdict.since) == ("withdrawn", came)
    assert "未来" in verdict.reason


def test_a_feed_goes_by_many_names(desk: Desk) -> None:
    desk.put("a.md", post(CODE, category="财经"))
    desk.put("b.md", post(OTHER, category="emnews"))
    desk.run()
    with desk.store.reading() as reader:
        feeds = feeds_of(reader.terms(ALL, CATEGORY, "symbol"))
    assert len(feeds) == 3
    for text in ("all", "/all.atom", "all.rss", "http://127.0.0.1:8080/all.json", "/", "index.html"):
        assert (feed_named(text, feeds, SITE) or ("",))[0] == "all"
    for text in ("emnews", "category/emnews", "/category/emnews.html", "http://127.0.0.1:8080/category/emnews.atom"):
        assert (feed_named(text, feeds, SITE) or ("",))[0] == "category/emnews"
    named = feed_named("财经", feeds, SITE)
    assert named is not None
    assert named[1].value == "财经"
    assert feed_named("meiti", feeds, SITE) is None


@given(st.lists(documents(), min_size=1, max_size=5).map(distinct))
def test_every_decision_names_a_document_that_said_so(arrivals: list[Arrival]) -> None:
    known = decide(None, arrivals, {"s": "weifenlei"}, START).after
    won = winners(known.documents)
    assert all(known.documents[o].body == known.article.body for o in won["body"])
    assert all(known.documents[o].title == known.article.title for o in won["title"])
    assert all(known.documents[o].published == known.article.published for o in won["published"])
    assert all(won[part] for part in ("title", "body", "published"))
    assert bool(won["credit"]) == (known.article.credit is not None)
    told = decisions(known)
    assert all(decision.origins for decision in told)
    assert {d.value for d in told if d.part == "category"} == {c.term for c in known.article.categories}
    assert {d.value for d in told if d.part == "url"} == set(known.article.urls)
    assert decisions(decide(None, arrivals[::-1], {"s": "weifenlei"}, START).after) == told


def test_the_commands(typed: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "in/a.md").write_text(post(CODE, "标题甲"), encoding="utf-8")
    (tmp_path / "in/b.md").write_text(
        post(CODE, "标题乙", body="<p>长一些的正文。</p>", category="meiti"), encoding="utf-8"
    )
    typed("resync")
    shown = json.loads(typed("show", CODE, "--json"))
    assert [(d["location"], len(d["digest"]), d["url"]) for d in shown["documents"]] == [
        ("a.md", 32, ""),
        ("b.md", 32, ""),
    ]
    decided = {d["part"]: (d["value"], d["documents"]) for d in shown["decisions"]}
    assert decided["title"] == ("标题乙", ["articles: b.md"])
    assert decided["tag"] == ("东财滚动新闻", ["articles: a.md", "articles: b.md"])
    assert [(m["feed"], m["shown"]) for m in shown["memberships"]] == [
        ("all", True), ("category/emnews", True), ("category/meiti", True),
    ]  # fmt: skip
    assert all(m["since"] == shown["arrived"] for m in shown["memberships"])
    assert "标题乙" in typed("show", CODE)
    assert "is in category/emnews: " in typed("why", "emnews", f"NW{CODE}")
    assert json.loads(typed("why", "all", OTHER, "--json")) == {
        "feed": "all", "key": OTHER, "in": False, "code": "unknown", "since": None, "rank": None,
        "reason": "no source has brought it; `feedsync quarantine` has what was refused",
    }  # fmt: skip
    typed("withdraw", CODE, "--reason", "数据有误")
    assert "数据有误" in typed("why", "all", CODE)
    assert json.loads(typed("show", CODE, "--json"))["withdrawn"]["reason"] == "数据有误"
    assert "category/emnews" in typed("why", "category/emnew", CODE, error=UsageError)
    assert "no infoCode" in typed("why", "all", "没有", error=UsageError)


def test_a_fetched_document_has_its_address(desk: Desk) -> None:
    desk.put("a.md", post(CODE))
    desk.run()
    with desk.store.writing() as writer:
        source_id = writer.source_id("articles")
        Fetches(writer.connection).put(source_id, [FetchRow("a.md", "http://example.com/a", START)])
    with desk.store.reading() as reader:
        assert reader.readings(CODE) == {Origin("articles", "a.md"): (desk.now, "http://example.com/a")}


def test_pages_explain_when_asked(desk: Desk) -> None:
    desk.put("a.md", post(CODE))
    desk.run()
    page = desk.tree.root / f"article/{CODE}.html"
    plain = page.read_text(encoding="utf-8")
    assert "a.md" not in plain
    desk.presentation = replace(desk.presentation, explain=True)
    desk.run()
    assert "articles: a.md" in page.read_text(encoding="utf-8")
    desk.put("<b>/b.md", post(CODE))
    desk.run()
    text = page.read_text(encoding="utf-8")
    assert "articles: &lt;b&gt;/b.md" in text
    assert f"feedsync show {CODE}" in text
    check(desk)
    desk.presentation = replace(desk.presentation, explain=False)
    desk.run()
    assert page.read_text(encoding="utf-8") == plain
