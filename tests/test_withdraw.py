"""Withdrawing articles: out of everything, and staying out until somebody brings them back."""

import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from gzip import decompress as gunzip
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from feedsync.cli import command
from feedsync.errors import OutputError, StoreError, UsageError
from feedsync.feeds import Window
from feedsync.model import Known
from feedsync.publish import Publisher
from feedsync.server import HttpServer, listen
from feedsync.store import Index
from feedsync.values import replace
from feedsync.web import Options
from feedsync.withdraw import restore, withdraw
from tests.conftest import START, Desk, post, read
from tests.test_cli import Shell
from tests.test_sync import check

CODE, OTHER = "202503142600000001", "202503142600000002"
PAGE = f"article/{CODE}.html"
DELETED = "{http://purl.org/atompub/tombstones/1.0}deleted-entry"
COMMENT = "{http://purl.org/atompub/tombstones/1.0}comment"


def flagged(text: str, line: str = "withdrawn: true") -> str:
    return text.replace("layout: post\n", f"layout: post\n{line}\n")


def take_out(desk: Desk, key: str = CODE, reason: str = "", later: timedelta = timedelta(minutes=1)) -> Known | None:
    desk.now += later
    return withdraw(desk.store, Publisher(desk.tree, desk.presentation), key, reason, now=desk.now)


def bring_back(desk: Desk, key: str = CODE) -> bool:
    desk.now += timedelta(minutes=1)
    return restore(desk.store, Publisher(desk.tree, desk.presentation), key, now=desk.now)


def tombstones(desk: Desk, name: str = "all.atom") -> list[tuple[str, str, str | None]]:
    feed = etree.fromstring(desk.atom(name).encode())
    return [(e.get("ref"), e.get("when"), e.findtext(COMMENT)) for e in feed.iter(DELETED)]


def shown(desk: Desk) -> bool:
    """Whether the article is published, everywhere or nowhere."""
    page, gone = (desk.tree.root / PAGE).exists(), (desk.tree.root / f"{PAGE}.gone").exists()
    assert page != gone or not (page or gone)
    places = {name for name, content in desk.published().items() if f"article/{CODE}<".encode() in content}
    assert bool(places) == page
    return page


def test_a_withdrawn_article_leaves_everything_and_feeds_tell_of_it(desk: Desk) -> None:
    desk.put("a.md", post(CODE, "要撤的标题"))
    desk.put("b.md", post(OTHER, "别的标题"))
    desk.run()
    before = desk.published()
    known = take_out(desk, reason="数据有误 <1>")
    when = f"{desk.now:%Y-%m-%dT%H:%M:%SZ}"
    assert known
    assert known.withdrawal
    assert not shown(desk)
    for name, content in desk.published().items():
        assert "要撤的标题" not in content.decode("utf-8", "ignore"), name
    for name in ("all.atom", "category/emnews.atom"):
        assert tombstones(desk, name) == [(f"tag:example.org,2026:article/{CODE}", when, "数据有误 <1>")]
    check(desk)
    assert take_out(desk, reason="另一个理由")
    assert tombstones(desk) == [(f"tag:example.org,2026:article/{CODE}", when, "另一个理由")]
    assert bring_back(desk)
    assert shown(desk)
    assert not bring_back(desk)
    assert desk.published() == before  # the same id, content and times
    check(desk)


def test_later_copies_do_not_bring_it_back_and_a_vanished_file_withdraws_nothing(desk: Desk) -> None:
    path = desk.put("a.md", post(CODE))
    desk.put("b.md", post(OTHER))
    desk.run()
    take_out(desk)
    for number, change in enumerate(
        (post(CODE, "新标题"), post(CODE, body="<p>长得多的正文，全新。</p>", category="meiti"))
    ):
        desk.put(f"copy{number}/{CODE}.md", change)
        desk.run()
        desk.run(full=True)
        assert not shown(desk)
        check(desk)
    path.unlink()
    desk.run()
    assert not shown(desk)
    assert bring_back(desk)
    assert shown(desk)
    assert not tombstones(desk)
    (desk.inbox / "copy0" / f"{CODE}.md").unlink()
    desk.run()
    assert shown(desk)


def test_a_return_that_was_cut_short_is_no_forgotten_withdrawal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put("a.md", post())
    desk.run()
    take_out(desk)
    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "_publish_due", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bring_back(desk)
    desk.run()
    assert shown(desk)
    assert not tombstones(desk)


def test_a_tree_drawn_from_nothing_is_the_same(desk: Desk) -> None:
    """With withdrawals by both, a revision, and one that came back."""
    desk.presentation = replace(desk.presentation, window=Window(reannounce_revisions=True), explain=True)
    for number in range(1, 6):
        desk.put(f"{number}.md", post(f"20250314260000000{number}", f"第{number}篇"))
    desk.run()
    take_out(desk)
    take_out(desk, "202503142600000003")
    bring_back(desk, "202503142600000003")
    desk.put("4.md", flagged(post("202503142600000004", "第4篇")))
    desk.put("5.md", post("202503142600000005", "第5篇，更正"))
    desk.run()
    before = desk.published()
    assert len(tombstones(desk)) == 2
    assert b"<ins>" in before["article/202503142600000005.html"]
    check(desk)
    shutil.rmtree(desk.tree.root)
    desk.run(full=True)
    assert desk.published() == before


def test_it_may_be_withdrawn_before_it_comes(desk: Desk) -> None:
    desk.put("b.md", post(OTHER))
    desk.run()
    assert take_out(desk, reason="还没来") is None
    desk.put("a.md", post(CODE))
    report = desk.run()
    assert report.sources["articles"].new == 1
    assert not shown(desk)
    assert not tombstones(desk)  # nobody ever had it
    check(desk)
    assert bring_back(desk)
    assert shown(desk)
    with desk.store.reading() as reader:
        assert reader.known([CODE])[CODE].arrived == desk.now  # it is new to everybody


@pytest.mark.parametrize("line", ["withdrawn: true", "withdrawn: 'Yes'", "withdrawn: 版权", "published: false"])
def test_a_document_withdraws_its_article(desk: Desk, line: str) -> None:
    desk.put("a.md", post(CODE))
    desk.put("b.md", post(OTHER))
    desk.run()
    desk.put("a.md", flagged(post(CODE), line))
    report = desk.run().sources["articles"]
    assert (report.seen, report.revised, report.unchanged) == (2, 1, 1) or (report.seen, report.revised) == (1, 1)
    assert not shown(desk)
    assert [when for _, when, _ in tombstones(desk)] == [f"{desk.now:%Y-%m-%dT%H:%M:%SZ}"]
    desk.put("other.md", post(CODE, "抄来的"))
    desk.run()
    assert not shown(desk)
    (desk.inbox / "other.md").unlink()
    desk.put("a.md", post(CODE))
    assert desk.run().sources["articles"].revised == 1
    assert shown(desk)
    check(desk)


@pytest.mark.parametrize("line", ["withdrawn: false", "withdrawn:", "withdrawn: no", "published: true", "published: 1"])
def test_other_words_withdraw_nothing(line: str) -> None:
    plain = read("a.md", post(CODE))
    assert read("a.md", flagged(post(CODE), line)) == plain


def test_published_may_still_be_a_date() -> None:
    text = post(CODE).replace("date:", "published:")
    assert read("a.md", text) == read("a.md", post(CODE))
    draft = read(f"{CODE}.md", post(CODE, date="").replace("date: ", "published: false"))
    assert draft.article.withdrawn
    assert draft.article.published.at.isoformat() == "2025-03-13T16:00:00+00:00"


def test_who_withdraws_need_not_say_what_it_was(desk: Desk) -> None:
    desk.put("a.md", post(CODE, "原来的标题"))
    desk.run()
    desk.put("stop.md", f"---\ninfoCode: NW{CODE}\nwithdrawn: true\n---\n")
    assert desk.run().sources["articles"].quarantined == 0
    assert not shown(desk)
    desk.put("stop.md", f"---\ninfoCode: NW{CODE}\nwithdrawn: false\ntitle: 原来的标题\n---\n")
    desk.run()
    assert shown(desk)
    assert desk.atom().count("<title>原来的标题</title>") == 1


def test_the_operators_word_outlasts_the_flag_until_a_document_is_edited_again(desk: Desk) -> None:
    desk.put("a.md", flagged(post(CODE)))
    desk.run()
    assert not shown(desk)
    assert bring_back(desk)
    desk.run(full=True)
    desk.put("copy.md", flagged(post(CODE)))
    desk.run()
    assert shown(desk)
    desk.put("a.md", post(CODE))
    desk.run()
    assert shown(desk)
    desk.put("a.md", flagged(post(CODE)))
    desk.run()
    assert not shown(desk)
    check(desk)


def test_a_draft_comes_as_new_when_it_is_published(desk: Desk) -> None:
    desk.put("a.md", flagged(post(CODE, body="<p>草稿。</p>"), "published: false"))
    desk.put("b.md", post(OTHER))
    desk.run()
    assert not shown(desk)
    assert not tombstones(desk)
    desk.put("a.md", post(CODE, body="<p>定稿。</p>", date="2026-03-01 16:01:30 +0800"))
    desk.run()
    with desk.store.reading() as reader:
        known = reader.known([CODE])[CODE]
        assert len(reader.revisions(CODE)) == 1
    assert (known.arrived, known.revised) == (desk.now, None)
    assert shown(desk)


def test_tombstones_are_counted_back_from_the_newest_arrival(desk: Desk) -> None:
    desk.put("a.md", post(CODE))
    desk.put("b.md", post(OTHER))
    desk.put("c.md", post("202503142600000003", category="meiti"))
    desk.run()
    take_out(desk)
    desk.put("d.md", post("202503142600000004", category="meiti"))
    desk.run(later=timedelta(days=30))
    assert len(tombstones(desk)) == len(tombstones(desk, "category/emnews.atom")) == 1
    desk.put("e.md", post("202503142600000005", category="meiti"))
    desk.run(later=timedelta(seconds=1))
    assert not tombstones(desk)
    assert len(tombstones(desk, "category/emnews.atom")) == 1  # nothing newer came here
    desk.run(full=True, later=timedelta(days=300))
    assert len(tombstones(desk, "category/emnews.atom")) == 1
    assert not tombstones(desk, "category/meiti.atom")
    check(desk)


def test_a_category_that_lost_its_last_article_still_tells_of_it(desk: Desk) -> None:
    """Whoever reads it has that article, and would be told nothing by a 404."""
    desk.put("a.md", post(CODE, "唯一的", category="meiti"))
    desk.put("b.md", post(OTHER))
    desk.run()
    before = desk.published()
    take_out(desk)
    for name in ("all.atom", "category/meiti.atom"):
        assert [ref for ref, _, _ in tombstones(desk, name)] == [f"tag:example.org,2026:article/{CODE}"]
    after = desk.published()
    assert before.keys() - after.keys() == {PAGE, "category/meiti/2025-1.html"}
    assert after.keys() - before.keys() == {f"{PAGE}.gone"}
    assert "category/meiti.atom" in after["feeds.opml"].decode()
    check(desk)
    desk.run(full=True)
    assert desk.published() == after
    desk.put("a.md", post(CODE, "唯一的", category="elsewhere"))
    desk.run()
    bring_back(desk)
    assert "category/elsewhere.atom" in desk.published()
    assert not [name for name in desk.published() if "meiti" in name]  # it holds nothing and tells of nothing
    check(desk)


def test_the_archive_closes_the_gap(desk: Desk) -> None:
    """A page of a hundred, one of one, and a year of one: whichever leaves, all pages are as if drawn anew."""
    codes = [f"2025031426{number:08d}" for number in range(102)]
    for number, code in enumerate(codes[:101]):
        at = datetime(2025, 1, 1, 9, tzinfo=START.tzinfo) + timedelta(hours=number)
        desk.put(f"{code}.md", post(code, f"第{number}篇", date=f"{at:%Y-%m-%d %H:%M:%S} +0000"))
    desk.put(f"{codes[101]}.md", post(codes[101], "去年的", date="2024-05-05 10:00:00 +0800"))
    desk.run()
    before = desk.published()
    archive = {f"category/emnews/{name}.html" for name in ("2024-1", "2025-1", "2025-2")}
    assert archive <= before.keys()
    for key, left in ((codes[50], {"2024-1", "2025-1"}), (codes[101], {"2025-1"}), (codes[0], {"2025-1"})):
        take_out(desk, key)
        pages = {name for name in desk.published() if name.startswith("category/emnews/")}
        assert pages == {f"category/emnews/{name}.html" for name in left}
        assert not [n for n, content in desk.published().items() if f"{key}.html".encode() in content]
        check(desk)
    for key in (codes[0], codes[50], codes[101]):
        bring_back(desk, key)
        check(desk)
    assert desk.published() == before


_DOCUMENTS = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from(["甲", "乙"]), st.sampled_from(["emnews", "meiti"]), st.booleans()
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda document: document[0],
)


def settle(steps: list[Any]) -> tuple[bool, dict[str, bytes]]:
    """Work off steps, each in a pass of its own: documents by name, or the operator's word."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        desk.put("z.md", post(OTHER))
        desk.run()
        for step in steps:
            if step == "withdraw":
                take_out(desk)
            else:
                name, title, category, flag = step
                text = post(CODE, title, category=category)
                desk.put(f"{name}/{CODE}.md", flagged(text) if flag else text)
                desk.run()
        check(desk)
        result = shown(desk), {name: b for name, b in desk.published().items() if "/" in name and OTHER in name}
        desk.close()
    return result


@settings(max_examples=4)
@given(_DOCUMENTS, st.booleans(), st.randoms(use_true_random=False))
def test_whether_it_is_shown_does_not_depend_on_the_order(documents: list[Any], spoken: bool, random: Any) -> None:
    steps = [*documents, *(["withdraw"] if spoken else [])]
    shuffled = list(steps)
    random.shuffle(shuffled)
    whole = settle(steps)
    assert whole[0] == (not spoken and not any(flag for *_, flag in documents))
    assert settle(shuffled) == whole


def test_in_one_run_the_order_leaves_no_trace_in_feeds(tmp_path: Path) -> None:
    trees = []
    for number, names in enumerate(itertools.permutations(("a.md", "b.md", "c.md"))):
        (tmp_path / str(number)).mkdir()
        desk = Desk(tmp_path / str(number))
        for name, text in zip(names, (post(CODE), flagged(post(CODE, "撤")), post(OTHER)), strict=True):
            desk.put(name, text)
        desk.run()
        assert not shown(desk)
        trees.append(desk.published())
        desk.close()
    assert all(tree == trees[0] for tree in trees)


def test_a_clock_that_is_set_back_does_not_hide_the_withdrawal(desk: Desk) -> None:
    desk.put("a.md", post(CODE))
    desk.put("b.md", post(OTHER))
    desk.run()
    take_out(desk, later=-timedelta(days=3))
    (stone,) = tombstones(desk)
    assert datetime.fromisoformat(stone[1]) == START + timedelta(minutes=1, seconds=1)


class Served:
    """What people get of a desk's tree from the daemon's server."""

    def __init__(self, desk: Desk, port: int) -> None:
        self.desk = desk
        self.port = port

    def ask(self, target: str) -> tuple[int, str, str]:
        """The status, how long it may be kept, and what it says."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", target, headers={"Accept-Encoding": "gzip"})
            found = connection.getresponse()
            content = found.read()
            packed = found.getheader("Content-Encoding") == "gzip"
            return found.status, found.getheader("Cache-Control", ""), (gunzip(content) if packed else content).decode()
        finally:
            connection.close()

    def status(self, target: str) -> int:
        return self.ask(target)[0]


@pytest.fixture
def served(desk: Desk) -> Iterator[Served]:
    desk.put("a.md", post(CODE, "要撤的标题"))
    desk.put("b.md", post(OTHER, "别的标题"))
    desk.run()
    with listen("127.0.0.1", 0) as socket:
        url, presentation = f"sqlite:///{desk.store.path}", desk.presentation.to_json()
        with HttpServer(Options(str(desk.tree.root), store_url=url, presentation=presentation), [socket]):
            yield Served(desk, socket.getsockname()[1])


def test_the_page_of_a_withdrawn_article_is_gone_for_good(served: Served) -> None:
    assert served.status(f"/{PAGE}") == 200
    take_out(served.desk)
    for path in (f"/{PAGE}", f"/large/{PAGE}"):
        status, kept, page = served.ask(path)
        assert (status, kept) == (410, "no-store")
        assert "已经撤下" in page
    assert served.status(f"/{PAGE}.gone") == 404
    assert served.status("/article/202503142600000009.html") == 404
    served.desk.run(full=True)
    assert served.status(f"/{PAGE}") == 410
    bring_back(served.desk)
    assert served.status(f"/{PAGE}") == 200


@pytest.mark.parametrize("indexed", [False, True])
def test_no_search_finds_it(served: Served, indexed: bool) -> None:
    targets = [f"/search{extension}?{urlencode({'q': '标题'})}" for extension in ("", ".atom", ".rss", ".json")]

    def found() -> set[bool]:
        if indexed:
            with served.desk.store.writing() as writer:
                Index(writer.connection).catch_up(100)
        pages = [served.ask(target) for target in targets]
        assert [page[0] for page in pages] == [200] * 4
        assert all(OTHER in page[2] for page in pages)
        return {CODE in page[2] for page in pages}

    assert found() == {True}
    take_out(served.desk)
    assert found() == {False}
    served.desk.put("copy.md", post(CODE, "新的标题"))
    served.desk.run()
    assert found() == {False}
    bring_back(served.desk)
    assert found() == {True}


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command prints, run in this process: starting one takes a second."""
    Shell(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, error: type[Exception] | None = None) -> str:
        done = CliRunner().invoke(command, arguments, standalone_mode=False)
        if error:
            assert isinstance(done.exception, error), done
            return str(done.exception)
        assert done.exception is None, done
        return done.output

    return run


def test_the_commands(typed: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "in/a.md").write_text(post(CODE, "标题甲"), encoding="utf-8")
    (tmp_path / "in/b.md").write_text(post(OTHER), encoding="utf-8")
    typed("resync")
    assert "标题甲" in typed("withdraw", f"NW{CODE}", "--reason", "数据有误")
    assert "<at:deleted-entry" in (tmp_path / "var/public/all.atom").read_text(encoding="utf-8")
    counts = json.loads(typed("status", "--json"))["counts"]
    assert (counts["articles"], counts["withdrawn"]) == (1, 1)
    assert typed("publish", "--check") == ""
    report = json.loads(typed("resync", "--dry-run", "--full", "--json"))
    assert report["feeds"] == {"written": 0, "unchanged": 2, "pages": 0, "removed": 0}
    url = f"http://finance.example.com/news/1350,{CODE}.html"
    assert typed("restore", url) == f"restored: {CODE}\n"
    assert "is not withdrawn" in typed("restore", CODE)
    assert "not known yet" in typed("withdraw", "NW202503142600000077")
    assert typed("restore", "202503142600000077") == "restored: 202503142600000077\n"
    assert "no article" in typed("restore", "202503142600000077", error=UsageError)
    assert "neither" in typed("withdraw", "没有代码", error=UsageError)


def test_restore_tells_files_from_codes(typed: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "in/a.md").write_text(post(CODE), encoding="utf-8")
    typed("resync")
    for name in ("copy.db", "copy", CODE):
        typed("backup", name)
    typed("withdraw", CODE)
    assert "were withdrawn" in typed("restore", "copy.db", error=OutputError)  # it is in place, and nothing published
    typed("publish", "--force")
    assert (tmp_path / "var/public" / PAGE).exists()
    typed("withdraw", CODE)
    assert f"./{CODE}" in typed("restore", CODE, error=UsageError)
    assert f"restored: {CODE}" in typed("restore", f"NW{CODE}")
    for name in (f"./{CODE}", "copy", str(tmp_path / CODE)):
        assert "restored from" in typed("restore", name)
    for missing in ("missing.db", "backups/missing", f"./{OTHER}", "/nowhere/copy.bak"):
        typed("restore", missing, error=StoreError)


def test_of_a_publication_cut_short_no_archive_keeps_what_was_withdrawn_since(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put("a.md", post("202503142600000001", category="c1"))
    desk.run()
    desk.put("b.md", post(OTHER, "秘密", category="c2"))
    with monkeypatch.context() as patch:
        patch.setattr("feedsync.store.Writer.mark_published", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            desk.run()
    take_out(desk, OTHER)
    assert not [path for path in desk.tree.root.rglob("*.html") if "秘密" in path.read_text(encoding="utf-8")]
    assert not list(Publisher(desk.tree, desk.presentation).audit.differences(desk.store))
