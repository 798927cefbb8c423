"""Search as people meet it: the commands, the page, the feeds."""

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from urllib.parse import quote, quote_from_bytes, urlencode

import feedparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from feedsync.errors import FeedsyncError
from feedsync.feeds import Presentation
from feedsync.query import parse_query
from feedsync.search import answer, find
from feedsync.store import WORTHWHILE, Index, Stopped, stoppable
from tests.conftest import SHANGHAI, SITE, Desk, post
from tests.older import make_older
from tests.test_cli import Shell
from tests.test_web import Answer, Web, serving

CODES = [f"20250314260000000{number}" for number in range(3)]


def fill(put: object) -> None:
    assert callable(put)
    put(
        "0.md",
        post(
            CODES[0],
            "保险 业\x1b[31m新闻",
            "<p>头部。</p><p>中国人寿<b>的</b>保险业务 &lt;b&gt;增长。</p>",
            "2025-03-01 10:00:00 +0800",
        ),
    )
    put("1.md", post(CODES[1], "无关标题", "<p>保险业，保险业。</p>", "2025-03-02 10:00:00 +0800", category="yicai"))
    put("2.md", post(CODES[2], "别的", "<p>没有那个词。</p>", "2025-03-03 10:00:00 +0800"))


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("shell"))
    fill(shell.put)
    shell("resync")
    return shell


def test_the_command_shows_hits_marked_newest_first(shell: Shell) -> None:
    shown = shell("search", "保险业").stdout
    assert shown.index(CODES[1]) < shown.index(CODES[0])
    assert "[保险业]，[保险业]。" in shown
    assert "[保险 业]" in shown
    assert "\x1b" not in shown
    assert CODES[2] not in shown
    assert f"http://127.0.0.1:8080/article/{CODES[0]}.html" in shown
    assert shown.endswith("2 found\n")
    assert "1 found, there are more" in shell("search", "保险业", "--limit", "1").stdout


def test_the_command_tells_machines(shell: Shell) -> None:
    told = shell.json("search", "保险业", "--json", "--order", "best")
    assert [hit["key"] for hit in told["hits"]] == CODES[:2]
    first = told["hits"][0]
    assert [first["title"][start:end] for start, end in first["title_marks"]] == ["保险 业"]
    assert [first["snippet"][start:end] for start, end in first["snippet_marks"]] == ["保险业"]
    assert "<b>" in first["snippet"]
    assert (first["published"], first["categories"]) == ("2025-03-01T02:00:00Z", ["emnews"])
    assert told["more"] is False
    assert shell.json("search", "--json", "category:yicai", "OR", "别的", "--limit", "1")["more"] is True
    assert shell.json("search", "--json", "--", "-保险业")["hits"][0]["key"] == CODES[2]


def test_a_query_that_means_nothing_is_told_where_and_why(shell: Shell) -> None:
    done = shell("search", "保险 (业", code=2)
    assert "( at character 4 is never closed (close it with ))" in done.stderr
    assert done.stdout == ""


def test_on_a_terminal_hits_stand_out(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "feedsync", "search", "保险业"],
            cwd=shell.folder,
            stdout=theirs,
            check=True,
            timeout=60,
        )
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert re.search("\x1b\\[[0-9;]*m(\x1b\\[[0-9;]*m)*保险业\x1b\\[0m", shown)
    assert "\x1b[31m新闻" not in shown


def test_the_index_command_builds_it_anew(shell: Shell) -> None:
    shell("index")
    assert shell("index").stdout == "0 articles indexed\n"
    assert shell("index", "--rebuild").stdout == "3 articles indexed\n"
    assert "2 found" in shell("search", "保险业").stdout


def test_a_pass_indexes_a_share_of_what_it_takes_in(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    share = 2 * WORTHWHILE
    for number in range(share + 2):
        shell.put(f"{number}.md", post(f"202503142600{number:06d}", f"第{number}篇"))
    shell("resync")
    with closing(sqlite3.connect(tmp_path / "var/feedsync.db")) as connection:
        assert connection.execute("SELECT count(*) FROM search_numbers").fetchone() == (share,)
    assert f"{share + 2} found" in shell("search", "第", "--limit", "1000").stdout


def test_after_much_the_index_is_left_to_others(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for number in range(WORTHWHILE + 2):
        shell.put(f"{number}.md", post(f"202503142600{number:06d}", f"第{number}篇"))
    script = f"import sys; from feedsync.cli import main, passes; passes._MUCH = {WORTHWHILE}; sys.argv[1:] = ['resync']; main()"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    with closing(sqlite3.connect(tmp_path / "var/feedsync.db")) as connection:
        assert connection.execute("SELECT count(*) FROM search_numbers").fetchone() == (0,)
    assert f"{WORTHWHILE + 2} found" in shell("search", "第", "--limit", "1000").stdout


def test_an_older_store_is_searched_at_once_and_indexed_afterwards(shell: Shell) -> None:
    make_older(shell.folder / "var/feedsync.db", 3)
    assert "old schema 3" in shell("search", "保险业", code=3).stderr
    assert shell("index").stdout == "3 articles indexed\n"
    assert "2 found" in shell("search", "保险业").stdout


# Over HTTP


class Searched:
    """A site that is served and searched."""

    def __init__(self, desk: Desk, web: Web) -> None:
        self.desk = desk
        self.web = web

    def ask(self, query: str, extension: str = "", **fields: str) -> Answer:
        return self.web.ask(f"/search{extension}?{urlencode({'q': query})}", Connection="close", **fields)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    desk = Desk(tmp_path_factory.mktemp("searched"))
    fill(desk.put)
    desk.run()
    presentation = Presentation(SITE).to_json()
    with (
        closing(desk),
        serving(desk.folder / "web", store_url=f"sqlite:///{desk.store.path}", presentation=presentation) as web,
    ):
        yield Searched(desk, web)


def test_the_page_lists_hits_and_escapes_everything(site: Searched) -> None:
    found = site.ask("保险业")
    assert (found.status, found.fields["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in found.fields["content-security-policy"]
    page = html.fromstring(found.body.decode())
    assert page.xpath("//ul[@class='lines']/li//a/@href") == [f"article/{code}.html" for code in (CODES[1], CODES[0])]
    assert page.xpath("//mark/text()") == ["保险业", "保险业", "保险 业", "保险业"]
    assert "<b>增长" in page.text_content()
    assert page.xpath("//input[@name='q']/@value") == ["保险业"]
    assert page.xpath("//link[@rel='alternate']/@href")[0] == f"http://127.0.0.1:8080/search.atom?q={quote('保险业')}"
    evil = '"><script>alert(1)</script>'
    assert b"<script" not in site.ask(evil).body
    assert b"<script" not in site.ask(evil + '"').body


def test_the_feeds_of_a_query_hold_the_same_entries_as_any_feed(site: Searched) -> None:
    for extension, media_type in ((".atom", "application/atom+xml"), (".rss", "application/rss+xml")):
        found = site.ask("保险业", extension)
        assert found.fields["content-type"] == f"{media_type}; charset=utf-8"
        parsed = feedparser.parse(found.body)
        assert not parsed.bozo
        assert [entry.id for entry in parsed.entries] == [
            f"tag:example.org,2026:article/{c}" for c in (CODES[1], CODES[0])
        ]
    told = json.loads(site.ask("保险业", ".json").body)
    assert told["feed_url"] == f"http://127.0.0.1:8080/search.json?q={quote('保险业')}"
    assert [entry["id"] for entry in told["items"]] == [
        f"tag:example.org,2026:article/{c}" for c in (CODES[1], CODES[0])
    ]
    entry = re.findall("<entry>.*?</entry>", site.desk.atom(), re.DOTALL)[1]
    assert entry in site.ask("保险业", ".atom").body.decode()


def test_an_answer_is_validated_like_any_other(site: Searched) -> None:
    found = site.ask("保险业", ".atom")
    assert found.fields["cache-control"] == "public, max-age=60"
    assert site.ask("保险业", ".atom", If_None_Match=found.fields["etag"]).status == 304
    assert site.ask("别的", ".atom", If_None_Match=found.fields["etag"]).status == 200
    head = site.web.ask(f"/search.atom?q={quote('保险业')}", "HEAD", Connection="close")
    assert (head.status, head.fields["content-length"], head.body) == (200, str(len(found.body)), b"")


@pytest.mark.parametrize(("target", "status"), [("/search", 200), ("/search?", 200), ("/search?x=1", 200), ("/search?q=%20", 200), ("/search?q=(", 400), ("/search.atom?q=(", 400), ("/search?q=%00", 400), ("/search?q=%ff%fe", 200), ("/search/x", 404), ("/search?" + "a&" * 50, 200), ("/search?q=" + "a" * 2000, 400)])  # fmt: skip
def test_strange_targets(site: Searched, target: str, status: int) -> None:
    assert site.web.ask(target, Connection="close").status == status


def test_the_connection_goes_on_after_a_search(site: Searched) -> None:
    target = f"GET /search.json?q={quote('保险业')} HTTP/1.1\r\nHost: x\r\n\r\n"
    last = "GET /all.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = site.web.raw((target + target + last).encode())
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(b'"feed_url":"http://127.0.0.1:8080/search.json') == 2
    assert answers.endswith(b"{}")


def test_many_searches_at_once_are_answered_or_told_to_come_again(site: Searched) -> None:
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(site.ask("-没有").status)

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 40
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 16
    assert site.ask("保险业").status == 200


def test_without_a_store_there_is_no_search(tmp_path: Path) -> None:
    with serving(tmp_path / "plain") as web:
        assert web.ask("/search?q=x", Connection="close").status == 404
    with serving(
        tmp_path / "lost", store_url=f"sqlite:///{tmp_path}/lost.db", presentation=Presentation(SITE).to_json()
    ) as web:
        lost = web.ask("/search?q=x", Connection="close")
        assert (lost.status, lost.fields["retry-after"]) == (503, "60")
        assert not (tmp_path / "lost.db").exists()


@given(
    st.one_of(
        st.text(),
        st.text(alphabet="\"'()*:^-+~NEAR ANDORNOT{}保险;\\%_\x00 “”（）"),
        st.binary().map(lambda raw: raw.decode("utf-8", "replace")),
    )
)
@settings(max_examples=200)
def test_any_query_is_answered(site: Searched, query: str) -> None:
    """By the very function the server calls; what is no query is told so."""
    for extension in ("html", "atom", "json"):
        found = answer(site.desk.store, Presentation(SITE), query, extension)
        assert found.status in (200, 400)
        assert found.body


@given(st.binary(max_size=60))
@settings(max_examples=50)
def test_any_bytes_are_answered(site: Searched, query: bytes) -> None:
    assert site.web.ask("/search?q=" + quote_from_bytes(query, ""), Connection="close").status in (200, 400)


def test_a_search_that_is_told_to_stop_gives_what_it_has(site: Searched) -> None:
    query = parse_query("-没", SHANGHAI)
    with site.desk.store.reading() as reader:
        whole = [hit.entry.known.article.key for hit in find(reader, query, 10).hits]
        for patience in range(100):  # SQLite asks too, so when it is told varies
            found = find(reader, query, 10, stop=partial(next, chain(repeat(False, patience), repeat(True))))
            assert [hit.entry.known.article.key for hit in found.hits] == whole[: len(found.hits)]
            if found.complete:
                break
        assert found.complete
        assert found.hits
        matching = Index(reader.connection).matching(query, partial(next, chain(repeat(False, 2), repeat(True))))
        assert next(matching)[0].known.article.key == whole[0] == CODES[1]
        with pytest.raises(Stopped):
            next(matching)


def test_sqlite_itself_is_stopped(site: Searched) -> None:
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with site.desk.store.reading() as reader:
        with pytest.raises(Stopped), stoppable(reader.connection, lambda: True):
            reader.connection.exec_driver_sql(endless)
        assert reader.totals()["articles"] == 3


def test_searches_cannot_write(site: Searched) -> None:
    with (
        pytest.raises(FeedsyncError, match="cannot be written"),
        site.desk.store.open_readonly(f"sqlite:///{site.desk.store.path}") as store,
        store.reading() as reader,
    ):
        Index(reader.connection).clear()
