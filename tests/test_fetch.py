"""Fetched sources from end to end: real servers, a real store, real feeds."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from feedsync.parse import ListShape
from feedsync.report import SourceReport
from feedsync.sources import FeedSource, FetchPolicy, FileSource, ListSource, UrlSource
from feedsync.store import Fetches
from tests.conftest import REAL, Desk, needs_real, post, read
from tests.test_cli import CONFIG, Shell
from tests.test_daemon import Daemon
from tests.upstream import Reply, Upstream, as_html, as_json, validated

POLICY = FetchPolicy(
    allow_private=True, per_host_concurrency=8, read_timeout_s=5, total_timeout_s=8, max_body_bytes=200_000
)
CODE = "NW202503142600000001"
FIELDS = {
    "info_code": "infocode",
    "title": "title",
    "published": "showtime",
    "outlet": "from",
    "digest": "digest",
    "page_url": "url_w",
}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


def page(title: str = "海湾集团签下新订单", text: str = "海湾集团今日宣布签下一份新订单。" * 12) -> str:
    return (
        f'<html><head><title>{title}</title><meta property="og:title" content="{title}">'
        '<meta property="article:published_time" content="2025-03-14T10:00:00+08:00">'
        f'<meta property="og:type" content="article"></head><body><article><h1>{title}</h1><p>{text}</p></article></body></html>'
    )


def record(number: int, **more: object) -> dict[str, object]:
    return {
        "infocode": f"NW2025031426{number:08d}",
        "title": f"第{number}条消息的标题",
        "showtime": f"2025-03-14 10:{number % 60:02d}:00",
        "from": "财联社",
    } | more


def detail(number: int, **more: object) -> dict[str, object]:
    return {"text": f"<p>第{number}条消息的正文，共{number * 7}字。</p>"} | more


class Lists:
    """A list endpoint with its details."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.source = ListSource(
            "list",
            upstream.url + "/list",
            ListShape("nodeList", FIELDS),
            upstream.url + "/detail?id={info_code}",
            policy=POLICY,
        )

    def offer(self, *numbers: int) -> None:
        self.upstream.routes["/list"] = as_json({"nodeList": [record(number) for number in numbers]})
        for number in numbers:
            self.upstream.routes[f"/detail?id=NW2025031426{number:08d}"] = as_json(detail(number))


def result(desk: Desk, name: str, **request: object) -> SourceReport:
    return desk.run(**request).sources[name]  # type: ignore[arg-type]


def counts(report: SourceReport) -> tuple[int, int, int, int, int]:
    return report.new, report.revised, report.merged, report.unchanged, report.failed


# --- pages


def test_a_page_becomes_an_article_and_is_asked_again_conditionally(desk: Desk, upstream: Upstream) -> None:
    upstream.routes["/a.html"] = validated(as_html(page()), '"1"')
    source = UrlSource("pages", (upstream.url + "/a.html",), interval_s=600, policy=POLICY)
    desk.sources = [source]
    assert counts(result(desk, "pages")) == (1, 0, 0, 0, 0)
    assert "海湾集团签下新订单" in desk.atom()
    assert (
        f'rel="via" href="{upstream.url}/a.html"' in desk.atom()
        or f'href="{upstream.url}/a.html" rel="via"' in desk.atom()
    )
    before = desk.published()
    assert counts(result(desk, "pages")) == (0, 0, 0, 1, 0)
    assert upstream.paths() == ["/a.html"], "not due yet: no request"
    assert counts(result(desk, "pages", later=timedelta(minutes=20))) == (0, 0, 0, 1, 0)
    assert upstream.asked[-1].headers["If-None-Match"] == '"1"'
    upstream.routes["/a.html"] = as_html(page(text="海湾集团更正：订单总额为三亿元。" * 12))
    assert counts(result(desk, "pages", later=timedelta(minutes=20))) == (0, 1, 0, 0, 0)
    assert desk.published() != before


def test_a_share_page_is_read_where_its_text_lives(desk: Desk, upstream: Upstream) -> None:
    share = f"{upstream.url}/html_News/NewsShare.html?infoCode={CODE}"
    upstream.routes[f"/NewsData/GetNewsText.do?id={CODE}"] = as_json(
        {"title": "标题", "showtime": "2025-03-14 10:00:00", "text": "<p>正文。</p>", "infocode": CODE}
    )
    desk.sources = [UrlSource("pages", (share,), policy=POLICY)]
    assert result(desk, "pages").new == 1
    assert upstream.paths() == [f"/NewsData/GetNewsText.do?id={CODE}"]
    with desk.store.reading() as reader:
        known = reader.known([CODE[2:]])[CODE[2:]]
    assert known.article.urls == (share,)


def test_urls_come_from_a_file_too(desk: Desk, upstream: Upstream, tmp_path: Path) -> None:
    upstream.routes["/a"] = as_html(page("甲公司的消息"))
    upstream.routes["/b"] = as_html(page("乙公司的消息"))
    listed = tmp_path / "urls.txt"
    listed.write_text(f"# 两个\n{upstream.url}/a\n\n{upstream.url}/b # 第二个\n{upstream.url}/a\n", encoding="utf-8")
    desk.sources = [UrlSource("pages", path=listed, policy=POLICY)]
    assert counts(result(desk, "pages")) == (2, 0, 0, 0, 0)
    listed.unlink()
    report = result(desk, "pages")
    assert "cannot be read" in (report.error or "")
    listed.write_text("# nothing\n", encoding="utf-8")
    assert "names none now" in (result(desk, "pages").error or "")
    assert desk.atom().count("<entry>") == 2


@pytest.mark.parametrize(
    "reply",
    [
        as_html("<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>"),
        as_html(
            "<html><head><title>请登录</title></head><body><form><input type=password></form>请登录后查看</body></html>"
        ),
        as_json({"code": -1, "message": "参数错误"}),
        as_json({"title": "标题", "showtime": "2025-03-14 10:00:00", "text": ""}),
        as_html(""),
        Reply(status=204),
        Reply(b"gone", 410),
        Reply(b"missing", 404),
    ],
)
def test_what_is_no_article_never_becomes_one_and_erases_nothing(desk: Desk, upstream: Upstream, reply: Reply) -> None:
    upstream.routes["/a"] = as_html(page())
    upstream.routes["/b"] = reply
    desk.sources = [UrlSource("pages", (upstream.url + "/a", upstream.url + "/b"), policy=POLICY)]
    report = result(desk, "pages")
    assert (report.new, report.failed) == (1, 1)
    assert report.faults[0].url == upstream.url + "/b"
    before = desk.published()
    upstream.routes["/a"] = reply
    report = result(desk, "pages", later=timedelta(hours=2))
    assert report.failed == 2
    assert desk.published() == before


def test_what_failed_is_retried_when_it_is_due_and_not_before(desk: Desk, upstream: Upstream) -> None:
    upstream.routes["/a"] = Reply(b"", 500)
    desk.sources = [UrlSource("pages", (upstream.url + "/a",), policy=POLICY)]
    assert result(desk, "pages").failed == 1
    asked = len(upstream.asked)
    report = result(desk, "pages", later=timedelta(seconds=1))
    assert (report.failed, report.faults[0].code) == (1, "waiting")
    assert len(upstream.asked) == asked
    assert result(desk, "pages", later=timedelta(seconds=1), full=True).failed == 1
    assert len(upstream.asked) == asked + 1
    upstream.routes["/a"] = as_html(page())
    assert result(desk, "pages", later=timedelta(minutes=10)).new == 1
    report = result(desk, "pages")
    assert (report.failed, report.faults) == (0, [])


def test_back_off_outlives_the_process(desk: Desk, upstream: Upstream) -> None:
    upstream.routes["/a"] = Reply(b"", 503, {"Retry-After": "3600"})
    desk.sources = [UrlSource("pages", (upstream.url + "/a",), policy=POLICY)]
    due = result(desk, "pages").faults[0].due
    assert due - desk.now >= timedelta(hours=1)
    with desk.store.reading() as reader:
        (row,) = Fetches(reader.connection).failing(reader.find_source("pages") or 0, 10)
    assert (row.due, row.failures) == (due, 1)
    asked = len(upstream.asked)
    assert result(desk, "pages", later=timedelta(minutes=50)).failed == 1
    assert len(upstream.asked) == asked


# --- lists


def test_a_list_and_its_details_become_articles(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2, 3)
    desk.sources = [lists.source]
    assert counts(result(desk, "list")) == (3, 0, 0, 0, 0)
    assert desk.atom("category/cailianshe.atom").count("<entry>") == 3
    assert "财联社" in desk.atom("category/cailianshe.atom")


def test_an_unchanged_list_costs_one_request(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(*range(1, 40))
    desk.sources = [lists.source]
    result(desk, "list")
    before, asked = desk.published(), len(upstream.asked)
    assert counts(result(desk, "list")) == (0, 0, 0, 39, 0)
    assert [a.path for a in upstream.asked[asked:]] == ["/list"], "robots.txt is remembered, no detail is asked"
    assert desk.published() == before


def test_a_list_with_validators_costs_a_304(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2)
    upstream.routes["/list"] = validated(upstream.routes["/list"], '"7"')  # type: ignore[arg-type]
    desk.sources = [lists.source]
    result(desk, "list")
    assert counts(result(desk, "list")) == (0, 0, 0, 2, 0)
    assert upstream.asked[-1].headers["If-None-Match"] == '"7"'


def test_a_failed_detail_is_retried_though_the_list_did_not_change(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2)
    upstream.routes["/list"] = validated(upstream.routes["/list"], '"7"')  # type: ignore[arg-type]
    place = "/detail?id=NW202503142600000002"
    good, upstream.routes[place] = upstream.routes[place], Reply(b"", 500)
    desk.sources = [lists.source]
    assert counts(result(desk, "list")) == (1, 0, 0, 0, 1)
    assert counts(result(desk, "list", later=timedelta(seconds=1))) == (0, 0, 0, 1, 1)
    upstream.routes[place] = good
    assert counts(result(desk, "list", later=timedelta(minutes=10))) == (1, 0, 0, 1, 0)
    assert counts(result(desk, "list")) == (0, 0, 0, 2, 0)


def test_a_title_that_changed_costs_its_detail(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2)
    desk.sources = [lists.source]
    result(desk, "list")
    upstream.routes["/list"] = as_json({"nodeList": [record(1, title="改过的标题"), record(2)]})
    asked = len(upstream.asked)
    assert counts(result(desk, "list")) == (0, 1, 0, 1, 0)
    assert [a.path for a in upstream.asked[asked:]] == ["/list", "/detail?id=NW202503142600000001"]


def test_an_article_known_from_a_file_costs_no_detail_and_joins_the_category(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1)
    desk.put("a.md", post(title="第1条消息的标题", date="2025-03-14 10:01:00 +0800"))
    desk.run()
    desk.sources = [lists.source]
    assert counts(result(desk, "list")) == (0, 0, 1, 0, 0)
    assert upstream.paths() == ["/list"]
    assert desk.atom("category/emnews.atom").count("<entry>") == 1
    assert desk.atom("category/cailianshe.atom").count("<entry>") == 1
    assert counts(result(desk, "list")) == (0, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (as_html("<html><body>维护中</body></html>"), "JSON"),
        (as_json({"nodeList": None}), "nodeList"),
        (as_json({"code": 500, "message": "系统繁忙"}), "nodeList"),
        (as_json({"nodeList": []}), "names none now"),
        (Reply(b"", 503), "503"),
        (Reply(b"[", 200, {"Content-Type": "application/json"}), "JSON"),
    ],
)
def test_a_broken_list_is_an_error_and_unpublishes_nothing(
    desk: Desk, upstream: Upstream, reply: Reply, reason: str
) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2)
    desk.sources = [lists.source]
    result(desk, "list")
    before = desk.published()
    upstream.routes["/list"] = reply
    report = result(desk, "list")
    assert report.failed == 1
    assert reason in report.faults[0].reason
    assert desk.published() == before
    with desk.store.reading() as reader:
        (row,) = reader.source_rows()
    assert row.failures == 1
    assert reason in (row.error or "")


def test_a_detail_of_another_article_is_not_taken(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2)
    upstream.routes["/detail?id=NW202503142600000001"] = as_json(detail(2, infoCode="NW202503142600000002"))
    desk.sources = [lists.source]
    report = result(desk, "list")
    assert (report.new, report.failed) == (1, 1)
    assert report.faults[0].code == "mismatch"


def test_records_with_faults_harm_no_others(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2)
    upstream.routes["/list"] = as_json(
        {"nodeList": [record(1), None, {"title": "无码"}, record(3, title=None), record(1), record(2)]}
    )
    desk.sources = [lists.source]
    report = result(desk, "list")
    assert (report.new, report.failed) == (2, 3)


def test_one_article_asked_for_by_its_code(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2)
    desk.sources = [lists.source]
    result(desk, "list")
    upstream.routes["/detail?id=NW202503142600000002"] = as_json({"text": "<p>改过的正文。</p>"})
    asked = len(upstream.asked)
    assert counts(result(desk, "list", codes=("NW202503142600000002",))) == (0, 1, 0, 0, 0)
    assert [a.path for a in upstream.asked[asked:]] == ["/list", "/detail?id=NW202503142600000002"]
    lists.offer(1)  # the list moves on: the article can be asked for all the same
    upstream.routes["/detail?id=NW202503142600000002"] = as_json({"text": "<p>又改过的正文。</p>"})
    report = desk.run(codes=("NW202503142600000002",))
    assert (report.sources["list"].revised, report.missing) == (1, [])
    assert desk.run(codes=("NW202503142600000099",)).missing == ["NW202503142600000099"]


def test_full_asks_for_everything_again(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2)
    desk.sources = [lists.source]
    result(desk, "list")
    asked = len(upstream.asked)
    assert counts(result(desk, "list", full=True)) == (0, 0, 0, 2, 0)
    assert len(upstream.asked) - asked == 3


@needs_real
def test_real_articles_as_lists_give_the_feeds_they_give_as_files(tmp_path: Path, upstream: Upstream) -> None:
    """Where a file and a record with its detail carry the same facts, the feeds are the same to the byte."""
    (tmp_path / "files").mkdir()
    (tmp_path / "lists").mkdir()
    by_files, by_lists = Desk(tmp_path / "files"), Desk(tmp_path / "lists")
    records: list[dict[str, object]] = []
    for path in sorted([*(REAL / "_posts").glob("*.md"), *(REAL / "old_post").glob("*.md")]):
        text = path.read_bytes()
        parsed = read(path.name, text)
        said = re.search(r"^title: \"(.+)\"$", text.decode(), re.MULTILINE)
        date = re.search(r"^date: (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", text.decode(), re.MULTILINE)
        body = text.decode().lstrip().split("\n---\n", 1)[1].strip("\n").split("\n\n<http")[0]
        code = "NW" + parsed.article.key
        if not (said and date and len(parsed.article.urls) == 1) or any(code == r["infocode"] for r in records):
            continue
        digest = ""
        if body.startswith("> "):
            digest, _, body = body.partition("\n\n")
        records.append(
            {
                "infocode": code,
                "title": said.group(1),
                "showtime": date.group(1),
                "digest": digest.removeprefix("> "),
                "url_w": parsed.article.urls[0],
                "categories": [c.term for c in parsed.article.categories],
                "tags": list(parsed.article.tags),
            }
        )
        upstream.routes[f"/detail?id={code}"] = as_json({"text": body})
        by_files.put(path.name, text)
    assert len(records) > 30
    upstream.routes["/list"] = as_json({"nodeList": records})
    lists = Lists(upstream)
    fields = FIELDS | {"categories": "categories", "tags": "tags"}
    by_lists.sources = [
        ListSource("list", lists.source.url, ListShape("nodeList", fields), lists.source.detail_url, policy=POLICY)
    ]
    by_files.run()
    by_lists.run()
    one, two = by_lists.published(), by_files.published()
    assert sorted(name for name in one | two if one.get(name) != two.get(name)) == []
    by_files.close()
    by_lists.close()


# --- upstream feeds


RSS = """<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>上游</title><link>http://up.example.com/</link>
<item><title>第一条</title><link>http://up.example.com/a/202503142600000001.html</link><guid isPermaLink="false">g1</guid>
<pubDate>Fri, 14 Mar 2025 02:00:00 GMT</pubDate><description>&lt;p&gt;正文一。&lt;/p&gt;</description></item>
<item><title>第二条</title><link>http://up.example.com/2.html</link><guid isPermaLink="false">g2</guid>
<pubDate>Fri, 14 Mar 2025 03:00:00 GMT</pubDate><description>&lt;p&gt;正文二。&lt;/p&gt;</description></item></channel></rss>"""


def test_an_upstream_feed_is_taken_in(desk: Desk, upstream: Upstream) -> None:
    upstream.routes["/feed"] = validated(Reply(RSS.encode(), headers={"Content-Type": "application/rss+xml"}), '"f"')
    desk.sources = [FeedSource("up", upstream.url + "/feed", policy=POLICY)]
    assert counts(result(desk, "up")) == (2, 0, 0, 0, 0)
    assert "urn:" not in desk.atom()
    assert "tag:example.org,2026:202503142600000001" in desk.atom() or "202503142600000001" in desk.atom()
    assert counts(result(desk, "up")) == (0, 0, 0, 2, 0)
    assert upstream.asked[-1].headers["If-None-Match"] == '"f"'
    upstream.routes["/feed"] = Reply(RSS.replace("正文二", "改过的正文二").encode())
    assert counts(result(desk, "up")) == (0, 1, 0, 1, 0)
    before = desk.published()
    upstream.routes["/feed"] = as_html("<html><body>maintenance</body></html>")
    assert result(desk, "up").failed == 1
    assert desk.published() == before


# --- files that lack their text


def test_files_without_a_text_are_completed(desk: Desk, upstream: Upstream) -> None:
    url = f"{upstream.url}/news/1350,202503142600000001.html"
    upstream.routes["/news/1350,202503142600000001.html"] = as_html(page("标题"))
    desk.put("a.md", f'---\ntitle: "标题"\ndate: 2025-03-14 10:00:00 +0800\ncategories: emnews\n---\n\n<{url}>\n')
    desk.sources = [FileSource("articles", desk.inbox, fetch=POLICY)]
    report = result(desk, "articles")
    assert counts(report) == (1, 1, 0, 0, 0) or counts(report) == (1, 0, 1, 0, 0)
    assert "签下一份新订单" in desk.atom()
    assert not (desk.tree.root / "category/weifenlei.atom").exists()
    asked = len(upstream.asked)
    assert counts(result(desk, "articles")) == (0, 0, 0, 1, 0)
    assert len(upstream.asked) == asked
    upstream.routes["/news/1350,202503142600000001.html"] = as_html(page("标题", "海湾集团更正了订单总额。" * 12))
    assert result(desk, "articles", full=True).revised == 1
    assert len(upstream.asked) == asked + 1


def test_the_text_of_another_article_completes_none(desk: Desk, upstream: Upstream) -> None:
    url = f"{upstream.url}/news/1350,202503142600000001.html"
    upstream.routes["/news/1350,202503142600000001.html"] = as_json(
        {
            "title": "别的",
            "showtime": "2025-03-14 10:00:00",
            "text": "<p>别的正文。</p>",
            "infoCode": "NW202503142600000009",
        }
    )
    desk.put("a.md", f'---\ntitle: "标题"\ndate: 2025-03-14 10:00:00 +0800\ncategories: emnews\n---\n\n<{url}>\n')
    desk.sources = [FileSource("articles", desk.inbox, fetch=POLICY)]
    report = result(desk, "articles")
    assert (report.failed, report.faults[0].code) == (1, "mismatch")


# --- all of them


def test_a_source_that_fails_stops_no_other(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1)
    desk.put("a.md", post(code="202503142600000007"))
    desk.sources = [
        FeedSource("broken", upstream.url + "/nothing", policy=POLICY),
        UrlSource("lost", path=desk.folder / "no.txt", policy=POLICY),
        desk.source,
        lists.source,
    ]
    report = desk.run()
    assert list(report.sources) == ["broken", "lost", "articles", "list"]
    assert [source.new for source in report.sources.values()] == [0, 0, 1, 1]
    assert not report.clean
    json.dumps(report.to_json(), ensure_ascii=False)


def test_a_dry_run_changes_nothing_and_says_what_would_be(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2)
    desk.sources = [lists.source]
    report = desk.run(dry_run=True)
    assert report.sources["list"].new == 2
    assert desk.published() == {}
    assert counts(result(desk, "list")) == (2, 0, 0, 0, 0)


def test_what_it_costs_is_counted(desk: Desk, upstream: Upstream) -> None:
    lists = Lists(upstream)
    lists.offer(1, 2)
    desk.sources = [lists.source]
    report = result(desk, "list")
    assert report.requests == 4, "robots.txt, the list, two details"
    assert report.bytes > 100
    result(desk, "list")
    with desk.store.reading() as reader:
        (row,) = reader.source_rows()
    assert row.requests == 5
    assert row.bytes > report.bytes


def test_nothing_secret_is_stored_or_published(desk: Desk, upstream: Upstream) -> None:
    upstream.routes["/a?token=geheim"] = as_html(page())
    secret = upstream.url.replace("http://", "http://user:geheim@") + "/a?token=geheim"
    desk.sources = [UrlSource("pages", (secret, secret + "b"), policy=POLICY)]
    report = desk.run()
    assert report.sources["pages"].new == 1
    assert upstream.asked[-1].headers.get("Authorization")
    assert "geheim" not in json.dumps(report.to_json())
    assert not [name for name, content in desk.published().items() if b"geheim" in content]
    for path in desk.folder.glob("feedsync.db*"):
        assert b"geheim" not in path.read_bytes()


# --- the daemon


def test_the_daemon_fetches_and_a_new_line_in_a_list_of_urls_is_fetched_soon(
    tmp_path: Path, upstream: Upstream
) -> None:
    lists = Lists(upstream)
    lists.offer(1)
    upstream.routes["/a"] = as_html(page("甲公司的消息"))
    upstream.routes["/slow"] = upstream.hang()
    (tmp_path / "site").mkdir()
    (tmp_path / "site/urls.txt").write_text(f"{upstream.url}/slow\n", encoding="utf-8")
    sources = f"""
[[sources]]
name = "pages"
kind = "urls"
path = "urls.txt"
allow_private = true
[[sources]]
name = "list"
kind = "list"
url = "{upstream.url}/list"
records = "nodeList"
fields = {{ info_code = "infocode" }}
detail_url = "{upstream.url}/detail?id={{info_code}}"
allow_private = true
"""
    with contextlib.closing(Daemon(Shell(tmp_path / "site"), tmp_path, CONFIG + sources)) as daemon:
        daemon.hear("READY=1")
        daemon.until(partial(daemon.has, "第1条消息的标题"))
        daemon.shell.put("a.md", post())
        assert daemon.until(partial(daemon.has, "202503142600000001")) < 5, "a slow server keeps no file waiting"
        with (tmp_path / "site/urls.txt").open("a", encoding="utf-8") as listed:
            listed.write(f"{upstream.url}/a\n")
        upstream.released.set()  # the slow one ends
        daemon.until(partial(daemon.has, "甲公司的消息"), 20)
        status = daemon.shell.json("status", "--json")
        assert status["sources"]["list"]["fetching"]["requests"] >= 2
        assert daemon.stop() == 0
