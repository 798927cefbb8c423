"""The line from files to feeds, on real parts."""

import os
import random
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import feedparser
import pytest
from lxml import etree

from feedsync import load, publish, walk
from feedsync.errors import Interrupted, OutputError, SourceError
from feedsync.feeds import Window
from feedsync.outputs import Batch, Tree
from feedsync.publish import Publisher
from feedsync.sources import FileSource, Found, Stat, content
from feedsync.store import Store
from feedsync.values import replace
from tests.conftest import REAL, SITE, Desk, needs_real, post
from tests.counters import miscounted

CODE = "202503142600000001"
ATOM = "{http://www.w3.org/2005/Atom}"


def snapshot(desk: Desk) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(p): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes())
        for p in desk.tree.root.rglob("*")
        if p.is_file()
    }


def check(desk: Desk) -> None:
    """What must hold after every pass: the tree is what the store draws, and valid; what is counted is there."""
    with closing(sqlite3.connect(desk.store.path)) as connection:
        assert list(miscounted(connection)) == []
    publisher = Publisher(desk.tree, desk.presentation)
    assert list(publisher.audit.differences(desk.store)) == []
    ids: dict[str, tuple[str, ...]] = {}
    for path in desk.tree.root.rglob("*.atom"):
        feed = etree.parse(path)
        found = [entry.findtext(ATOM + "id") for entry in feed.iter(ATOM + "entry")]
        assert len(found) == len(set(found))
        for entry in feed.iter(ATOM + "entry"):
            told = tuple(etree.tostring(e).decode() for e in entry)
            assert ids.setdefault(entry.findtext(ATOM + "id"), told) == told  # the same in every feed
    assert not [p for p in desk.tree.root.rglob(".*") if p.is_file()]


def test_a_second_pass_changes_nothing_and_writes_nothing(desk: Desk) -> None:
    for number in range(20):
        code = f"2025031426000000{number:02d}"
        desk.put(f"d{number % 3}/{code}.md", post(code, f"标题{number}", category=f"c{number % 4}"))
    first = desk.run().sources["articles"]
    assert (first.seen, first.new) == (20, 20)
    check(desk)
    desk.run()  # files younger than a tick of the file system's clock are read once more, and noted
    before = snapshot(desk)
    database = (desk.folder / "feedsync.db").read_bytes(), (desk.folder / "feedsync.db-wal").read_bytes()
    second = desk.run()
    assert second.sources["articles"].unchanged == second.sources["articles"].seen == 20
    assert (second.feeds.written, second.feeds.unchanged) == (0, 5)
    assert snapshot(desk) == before
    assert ((desk.folder / "feedsync.db").read_bytes(), (desk.folder / "feedsync.db-wal").read_bytes()) == database
    full = desk.run(full=True)
    assert full.sources["articles"].unchanged == 20
    assert full.feeds.written == 0
    assert snapshot(desk) == before


def test_only_touched_feeds_are_rewritten(desk: Desk) -> None:
    for number in range(4):
        code = f"20250314260000000{number}"
        desk.put(f"{code}.md", post(code, f"标题{number}", category=f"c{number % 2}", tag=f"报{number % 2}新闻"))
    desk.run()
    before = snapshot(desk)
    desk.put("new.md", post("202503142600000009", "新的", category="c1", tag="报1新闻"))
    report = desk.run()
    assert (report.feeds.written, report.feeds.unchanged) == (3, 2)
    assert str(desk.tree.root / "category/c0.atom") in {p for p, s in snapshot(desk).items() if before.get(p) == s}
    check(desk)


def test_a_changed_meaning_moves_updated_and_nothing_else(desk: Desk) -> None:
    desk.put("a.md", post(CODE, body="<p>涨5%。</p>"))
    desk.run()
    desk.put("a.md", post(CODE, body="<p>涨6%。</p>"))
    os.utime(desk.inbox / "a.md", (1, 1))
    report = desk.run()
    assert report.sources["articles"].revised == 1
    entry = feedparser.parse(desk.atom()).entries[0]
    assert entry.published == "2025-03-14T02:00:00Z"
    assert entry.updated == desk.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    desk.put("a.md", post(CODE, body="<p><b>涨6%。</b></p>"))
    assert desk.run().sources["articles"].merged == 1
    assert feedparser.parse(desk.atom()).entries[0].updated == entry.updated
    check(desk)


def test_a_vanished_file_is_no_withdrawal_and_a_vanished_folder_an_error(desk: Desk) -> None:
    for number in (1, 2):
        desk.put(f"{number}.md", post(f"20250314260000000{number}", f"标题{number}"))
    desk.run()
    before = desk.published()
    (desk.inbox / "1.md").unlink()
    report = desk.run()
    assert report.clean
    assert desk.published() == before
    (desk.inbox / "2.md").unlink()
    for _ in range(2):
        report = desk.run()
        assert "had articles and now has none" in str(report.sources["articles"].error)
        assert report.sources["articles"].failed == 1
    desk.inbox.rmdir()
    assert "cannot be read" in str(desk.run().sources["articles"].error)
    assert desk.published() == before
    desk.inbox.mkdir()
    desk.put("2.md", post("202503142600000002", "标题2"))
    assert desk.run().clean
    check(desk)


def test_an_edited_category_moves_the_article_and_removes_the_empty_feed(desk: Desk) -> None:
    desk.put("a.md", post(CODE, category="old"))
    desk.run()
    assert (desk.tree.root / "category/old.atom").exists()
    desk.put("a.md", post(CODE, category="new"))
    os.utime(desk.inbox / "a.md", (1, 1))
    assert desk.run().sources["articles"].merged == 1
    assert not (desk.tree.root / "category/old.atom").exists()
    assert (desk.tree.root / "category/new.atom").exists()
    check(desk)


def test_the_file_of_one_article_may_become_that_of_another(desk: Desk) -> None:
    desk.put("a.md", post(CODE))
    desk.run()
    desk.put("a.md", post("202503142600000002", "另一篇"))
    assert desk.run().sources["articles"].new == 1
    assert {e.title for e in feedparser.parse(desk.atom()).entries} == {"标题", "另一篇"}


def test_categories_get_a_slug_each(desk: Desk) -> None:
    values = ["../../x", "CON", "con", "长" * 300, "a" * 300, "股票", "a  b", "a b", "TechHub", "Techhub", "techhub", "",
              "a/b", "..", ".", "-rf", "%2e%2e", "a,b", "é", "e\u0301", "a_b", "aux.atom"]  # fmt: skip
    for number, value in enumerate(values):
        code = f"2025031426000000{number:02d}"
        desk.put(f"{code}.md", post(code, f"标题{number}", category=value, tag="x"))
    report = desk.run()
    assert report.sources["articles"].new == len(values)
    feeds = [p.name for p in (desk.tree.root / "category").glob("*.atom")]
    assert len(feeds) == len({name.lower() for name in feeds}) == len(values)
    assert all(name.isascii() and name == name.lower() and "/" not in name for name in feeds)
    assert {"con.atom", "techhub.atom", "weifenlei.atom"} <= set(feeds)
    assert {p.name for p in desk.folder.iterdir()} <= {
        "in",
        "public",
        *(f"feedsync.db{s}" for s in ("", ".lock", "-wal", "-shm")),
    }
    for entry in feedparser.parse(desk.atom()).entries:
        assert all("," not in tag.label for tag in entry.tags)
    check(desk)


def make_bad_files(desk: Desk) -> dict[str, str]:
    desk.put("empty.md", b"")
    desk.put("binary.md", os.urandom(50) + b"\0")
    desk.put("neither.md", b"\xff\xfe\xfd" * 30)
    desk.put("unclosed.md", "---\ncategories: x\nauthor: y\n\n正文，没有标题也没有时间。\n")
    desk.put("notime.md", "---\ntitle: 一\n---\n正文\n")
    desk.put("badtime.md", "---\ntitle: 一\ndate: 2025-02-30 10:00:00\n---\n正文\n")
    desk.put("bomb.md", "---\na: &a [x]\nb: &b [*a,*a]\n---\n正文\n")
    desk.put("huge.md", b"x" * 6_000_000)
    desk.put("deep.md", post(body="<div>" * 100_000))
    os.mkfifo(desk.inbox / "fifo.md")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(desk.inbox)  # the address of a socket is short
        server.bind("socket.md")
    (desk.inbox / "loop.md").symlink_to("loop.md")
    (desk.inbox / "outside.md").symlink_to("/etc/hostname")
    (desk.inbox / "around").symlink_to(".")
    return {
        "empty.md": "empty", "binary.md": "binary", "neither.md": "encoding", "unclosed.md": "front-matter",
        "notime.md": "no-time", "badtime.md": "bad-time", "bomb.md": "yaml-alias", "huge.md": "too-large",
        "deep.md": "too-deep", "fifo.md": "not-a-file", "socket.md": "not-a-file", "loop.md": "symlink",
        "outside.md": "symlink", "around": "symlink",
    }  # fmt: skip


def test_bad_documents_harm_nobody_and_heal_by_themselves(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.inbox)
    expected = make_bad_files(desk)
    desk.put("good.md", post())
    for _ in range(2):
        report = desk.run()
        assert report.sources["articles"].quarantined == len(expected)
        assert report.sources["articles"].seen == len(expected) + 1
        assert not report.clean
        with desk.store.reading() as reader:
            refused = {item.origin.location: item for item in reader.quarantined()}
        assert {location: item.code for location, item in refused.items()} == expected
        assert all(item.reason and item.remedy for item in refused.values())
    assert len(feedparser.parse(desk.atom()).entries) == 1
    for name in expected:
        (desk.inbox / name).unlink()
    for name in ("empty.md", "notime.md"):
        desk.put(name, post("202503142600000077", "已修好"))
    report = desk.run()
    assert report.clean
    with desk.store.reading() as reader:
        assert reader.quarantined() == []
    check(desk)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.usefixtures("imported")
def test_an_unreadable_file_is_refused() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        desk = Desk(Path(name))
        desk.put("good.md", post())
        desk.put("secret.md", post("202503142600000002"))
        for path in (desk.folder, *desk.folder.rglob("*")):
            os.chown(path, 65534, 65534)
        os.chown(desk.inbox / "secret.md", 0, 0)
        os.chmod(desk.inbox / "secret.md", 0)
        os.seteuid(65534)
        try:
            report = desk.run()
        finally:
            os.seteuid(0)
        assert (report.sources["articles"].new, report.sources["articles"].quarantined) == (1, 1)
        desk.close()


def test_a_file_being_written_is_left_for_later(desk: Desk) -> None:
    whole = post(body="<p>第一段。</p><p>第二段。</p>").encode()
    half = whole[: whole.index("第二".encode()) + 4]
    desk.put("a.md", half)
    report = desk.run().sources["articles"]
    assert (report.seen, report.pending) == (0, 1)
    assert not (desk.tree.root / "category").exists()
    desk.put("a.md", whole)
    assert desk.run().sources["articles"].new == 1
    # One that never gets any longer is all there is.
    desk.put("b.md", post("202503142600000002", body="x").replace("x", "<p>没有结束").split("\n\n<")[0])
    assert desk.run().sources["articles"].pending == 1
    assert desk.run().sources["articles"].new == 1
    check(desk)


def test_a_file_somebody_has_open_for_writing_is_left_alone(desk: Desk) -> None:
    desk.put("a.md", post(body="\n一段完整的话。"))
    with (desk.inbox / "a.md").open("ab"):
        report = desk.run()
        assert report.sources["articles"].pending == 1
        assert report.busy == {"articles": frozenset([b"a.md"])}
    assert desk.run().sources["articles"].new == 1


def test_naming_a_code_reads_just_that_article(desk: Desk) -> None:
    for number in (1, 2):
        desk.put(f"x{number}.md", post(f"20250314260000000{number}", f"标题{number}"))
    desk.run()
    report = desk.run(codes=(f"NW{CODE}",))
    assert (report.sources["articles"].seen, report.sources["articles"].unchanged) == (1, 1)
    assert report.clean
    report = desk.run(codes=("NW202503142600000099",))
    assert report.missing == ["NW202503142600000099"]
    assert not report.clean


def test_a_dry_run_says_what_would_happen_and_does_nothing(desk: Desk) -> None:
    desk.put("a.md", post())
    report = desk.run(dry_run=True)
    assert (report.sources["articles"].new, report.feeds.written) == (1, 2)
    assert not desk.tree.root.exists()
    with desk.store.reading() as reader:
        assert reader.totals()["articles"] == 0
        assert reader.source_rows() == []
    assert desk.run().sources["articles"].new == 1
    assert desk.run(dry_run=True).feeds.written == 0


def test_a_late_article_with_an_old_date_stands_in_the_feed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, window=Window(min_entries=5, window_hours=48, max_entries=20))
    for number in range(60):
        code = f"2025031426000000{number:02d}"
        desk.put(f"{code}.md", post(code, f"标题{number}", date=f"2025-03-14 10:{number:02d}:00"))
    desk.run()
    assert len(feedparser.parse(desk.atom()).entries) == 20
    desk.put("late.md", post("201901012600000001", "迟到", date="2019-01-01 00:00:00"))
    desk.run()
    entries = feedparser.parse(desk.atom()).entries
    assert len(entries) == 20
    assert entries[-1].title == "迟到"
    assert [e.published for e in entries] == sorted((e.published for e in entries), reverse=True)
    desk.close()


def test_a_file_that_could_not_be_read_for_a_while_heals_unchanged(desk: Desk) -> None:
    path = desk.put("a.md", post())
    desk.put("b.md", post("202503142600000002", "另一篇"))
    for _ in range(2):
        desk.run()
    aside = desk.folder / "aside.md"
    path.rename(aside)
    path.symlink_to("nowhere")
    assert desk.run().sources["articles"].quarantined == 1
    path.unlink()
    aside.rename(path)
    for _ in range(2):
        report = desk.run()
        assert report.clean
        assert report.sources["articles"].unchanged == 2
    check(desk)


def test_window_hours_are_counted_from_the_newest_arrival(tmp_path: Path) -> None:
    desk = Desk(tmp_path, window=Window(min_entries=1, window_hours=2, max_entries=20))
    for number in range(4):
        code = f"20250314260000000{number}"
        desk.put(f"{code}.md", post(code, f"标题{number}", date=f"2025-03-14 10:0{number}:00"))
        desk.run(later=timedelta(hours=1))
    assert len(feedparser.parse(desk.atom()).entries) == 3
    desk.close()


def test_a_lost_tree_is_drawn_again_and_an_empty_store_empties_nothing(desk: Desk) -> None:
    desk.put("a.md", post())
    desk.run()
    before = desk.published()
    shutil.rmtree(desk.tree.root)
    desk.run()
    assert desk.published() == before
    (desk.tree.root / "category/emnews.atom").unlink()
    desk.run()
    assert desk.published() == before
    (desk.tree.root / "category/stranger.atom").write_text("x")
    (desk.tree.root / "article/stranger.html").write_text("x")
    desk.run(full=True)
    assert desk.published() == before
    desk.close()
    for path in desk.folder.glob("feedsync.db*"):
        path.unlink()
    (desk.inbox / "a.md").unlink()
    fresh = Desk(desk.folder)
    with pytest.raises(OutputError, match="holds no article"):
        fresh.run()
    assert desk.published() == before
    fresh.close()


def test_a_cut_publication_is_made_up_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put("a.md", post())
    desk.run()
    desk.put("b.md", post("202503142600000002", "第二篇"))

    class Full(Publisher):
        def publish(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
            raise OutputError("disk full")

    with pytest.raises(OutputError):
        desk.run(publisher=Full(desk.tree, desk.presentation))
    (desk.tree.root / ".all.atom.999999999.tmp").write_text("half")
    assert "第二篇" not in desk.atom()
    report = desk.run()
    assert report.sources["articles"].unchanged == 2
    assert report.feeds.written == 2
    assert "第二篇" in desk.atom()
    check(desk)


def test_a_new_base_url_redraws_links_and_keeps_ids(desk: Desk) -> None:
    desk.put("a.md", post())
    desk.run()
    old = feedparser.parse(desk.atom()).entries[0]
    moved = Desk.__new__(Desk)
    moved.__dict__ |= desk.__dict__

    moved.presentation = replace(desk.presentation, site=replace(SITE, base_url="https://neu.example.org/x/"))
    moved.run()
    new = feedparser.parse(moved.atom()).entries[0]
    assert new.link == f"https://neu.example.org/x/article/{CODE}.html"
    assert (new.id, new.published, new.updated) == (old.id, old.published, old.updated)


def test_a_run_that_is_to_stop_stops_between_batches(desk: Desk) -> None:
    desk.put("a.md", post())
    with pytest.raises(Interrupted):
        desk.run(stopping=lambda: True)
    assert desk.run().feeds.written == 2
    check(desk)


def test_worker_processes_give_the_same_feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = []
    for name, threshold in (("alone", 10**9), ("workers", 5)):
        folder = tmp_path / name
        folder.mkdir()
        desk = Desk(folder)
        for number in range(30):
            code = f"2025031426000000{number:02d}"
            desk.put(f"{code}.md", post(code, f"标题{number}", category=f"c{number % 3}"))
        desk.put("bad.md", b"")
        monkeypatch.setattr(load, "_WORKERS_FROM", threshold)
        monkeypatch.setattr(load, "_BATCH", 4)
        report = desk.run()
        assert (report.sources["articles"].new, report.sources["articles"].quarantined) == (30, 1)
        trees.append(desk.published())
        desk.close()
    assert trees[0] == trees[1]


@needs_real
def test_the_real_articles_in_any_order_and_any_number_of_passes(tmp_path: Path) -> None:
    files = [p for p in sorted(REAL.rglob("*")) if p.suffix in (".md", ".txt")]
    trees = []
    for seed in range(4):
        chance = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        desk = Desk(folder)
        order = chance.sample(files, len(files))
        passes = 1 if seed == 0 else chance.randint(2, 9)
        for number in range(passes):
            if seed > 1:  # sources rotate
                shutil.rmtree(desk.inbox)
                desk.inbox.mkdir()
            for path in order[number::passes]:
                desk.put(str(path.relative_to(REAL)), path.read_bytes())
            report = desk.run()
            assert report.clean
        check(desk)
        trees.append(desk.published())
        with desk.store.reading() as reader:
            assert reader.totals()["articles"] == 50
        desk.close()
    for tree in trees[1:]:
        assert tree == trees[0]
    both = {
        p for p, content in trees[0].items() if b"article/202201072239307540" in content and p.startswith("category")
    }
    assert {"category/emnews.atom", "category/quanshangzhongguo.atom"} <= both


def test_an_unreadable_tree_is_an_output_error(desk: Desk) -> None:
    desk.tree.root.write_text("not a folder")
    desk.put("a.md", post())
    with pytest.raises(OutputError, match="public"):
        desk.run()
    desk.tree.root.unlink()
    desk.run()
    assert Tree(desk.tree.root).read("all.atom")


def test_folders_nested_beyond_measure_harm_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put("good.md", post())
    monkeypatch.chdir(desk.inbox)
    for _ in range(1200):
        os.mkdir("deepfolder")
        os.chdir("deepfolder")
    Path("lost.md").write_text(post("202503142600000002"))
    monkeypatch.chdir(desk.inbox)
    try:
        report = desk.run().sources["articles"]
        assert report.error is None
        assert (report.new, report.quarantined) == (1, 1)
    finally:
        subprocess.run(["rm", "-r", "deepfolder"], check=True)  # shutil recurses


def test_a_raised_limit_heals_by_itself(desk: Desk) -> None:
    desk.put("a.md", post())
    desk.source = replace(desk.source, max_body_bytes=100)
    for _ in range(2):
        assert desk.run().sources["articles"].quarantined == 1
    desk.source = replace(desk.source, max_body_bytes=10_000)
    assert desk.run().sources["articles"].new == 1


def test_a_folder_of_nothing_but_rubbish_is_deserted(desk: Desk) -> None:
    desk.put("a.md", post())
    desk.run()
    (desk.inbox / "a.md").unlink()
    desk.put("empty.md", b"")
    report = desk.run().sources["articles"]
    assert "had articles and now has none" in str(report.error)
    assert report.quarantined == 1


class Fleeting(Tree):
    """A tree that somebody moves away just when a pass is about to write into it."""

    flees = False

    def batch(self, **options: bool) -> Batch:
        if self.flees:
            self.root.rename(self.root.with_name("elsewhere"))
        self.flees = False
        return super().batch(**options)


def test_a_tree_that_goes_during_a_pass_is_drawn_again_by_the_next(desk: Desk) -> None:
    tree = Fleeting(desk.tree.root)
    publisher = Publisher(tree, desk.presentation)
    desk.put("a.md", post())
    desk.run(publisher=publisher)
    before = desk.published()
    desk.run(publisher=publisher)
    tree.flees = True
    desk.run(publisher=publisher)
    desk.run(publisher=publisher)
    assert desk.published() == before


def test_a_folder_that_went_and_came_back_is_refused_as_before(desk: Desk) -> None:
    desk.put("a.md", post())
    desk.put("empty.md", b"")
    away = desk.folder / "away"
    for empty in (False, True):
        assert desk.run().sources["articles"].quarantined == 1
        desk.inbox.rename(away)
        if empty:
            desk.inbox.mkdir()
        assert desk.run().sources["articles"].error
        shutil.rmtree(desk.inbox, ignore_errors=True)
        away.rename(desk.inbox)
    report = desk.run().sources["articles"]
    assert (report.unchanged, report.quarantined) == (1, 1)
    with desk.store.reading() as reader:
        assert [refused.code for refused in reader.quarantined()] == ["empty"]


def test_what_healed_before_a_pass_was_cut_short_has_healed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_BATCH", 1)
    monkeypatch.setattr(walk, "_STORE_BATCH", 1)
    desk.put("a.md", b"")
    desk.put("b.md", post("202503142600000002"))
    assert desk.run().sources["articles"].quarantined == 1
    desk.put("a.md", post())
    desk.put("c.md", post("202503142600000003"))

    def stored() -> bool:
        with desk.store.reading() as reader:
            return reader.totals()["articles"] == 2

    with pytest.raises(Interrupted):
        desk.run(stopping=stored)
    report = desk.run().sources["articles"]
    assert (report.new, report.unchanged, report.quarantined) == (1, 2, 0)


def test_copies_in_one_run_are_merged_not_revised(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_BATCH", 2)
    monkeypatch.setattr(walk, "_STORE_BATCH", 1)
    for number in range(10):
        desk.put(f"{number}.md", post(body="<p>正文" + "。更多" * number + "。</p>"))
    report = desk.run().sources["articles"]
    assert (report.new, report.revised) == (1, 0)
    check(desk)


@needs_real
def test_a_real_post_cut_anywhere_is_never_quarantined_and_comes_out_whole(tmp_path: Path) -> None:
    path = REAL / "_posts/2022-01-24-NW202201242259229980.md"
    whole = path.read_bytes()
    expected = None
    for cut in range(len(whole), 20, -97):
        folder = tmp_path / str(cut)
        folder.mkdir()
        desk = Desk(folder)
        desk.put(path.name, whole[:cut])
        assert desk.run().sources["articles"].quarantined == 0
        desk.put(path.name, whole)
        desk.run()
        entry = feedparser.parse(desk.atom()).entries[0]
        expected = expected or entry.content[0].value
        assert entry.content[0].value == expected
        desk.close()


def test_a_moved_file_may_be_shortened_at_its_new_place(desk: Desk) -> None:
    desk.put("x.md", post(body="<p>很长的旧文字。</p>"))
    desk.put("other.md", post("202503142600000002", "别的"))
    desk.run()
    os.rename(desk.inbox / "x.md", desk.inbox / "y.md")
    before = desk.published()
    assert desk.run().clean
    assert desk.published() == before
    desk.put("y.md", post(body="<p>短。</p>"))
    assert desk.run().sources["articles"].revised == 1
    assert "旧文字" not in desk.atom()
    check(desk)


def test_another_label_redraws_every_page_however_many_there_are(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "PAGES_PER_SHARE", 3)
    for number in range(10):
        code = f"2025031426000000{number:02d}"
        desk.put(f"{code}.md", post(code, f"标题{number}", category="x", tag="乙报新闻"))
    desk.run()
    for number in range(11):
        code = f"2025031426000001{number:02d}"
        desk.put(f"{code}.md", post(code, f"新{number}", category="x", tag="甲报新闻"))
    desk.run()
    check(desk)
    pages = {p: c for p, c in desk.published().items() if p.startswith("article") and p.endswith(".html")}
    assert len(pages) == 21
    assert all(b">\xe7\x94\xb2\xe6\x8a\xa5</a>" in c for c in pages.values())


def put_in_place(desk: Desk, database: Path) -> None:
    """Put another database where that of a running process is."""
    path = desk.store.path
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.replace(database, path)


def test_a_loss_is_refused_until_it_is_none_or_meant(desk: Desk) -> None:
    publisher = Publisher(desk.tree, desk.presentation)
    for number in range(3):
        desk.put(f"{number}.md", post(f"20250314260000000{number}", f"标题{number}"))
    desk.run(publisher=publisher)
    desk.run(publisher=publisher)
    before = desk.published()
    for number in range(3):
        (desk.inbox / f"{number}.md").unlink()
    desk.put("other.md", post("202503142600000009"))
    with Store.open(f"sqlite:///{desk.folder}/other.db"):
        pass
    put_in_place(desk, desk.folder / "other.db")
    for _ in range(3):
        with pytest.raises(OutputError, match="unknown to it"):
            desk.run(publisher=publisher)
        assert desk.published() == before
    publisher.publish(desk.store, everything=True, force=True)
    assert "202503142600000009" in desk.atom()
    assert CODE not in desk.atom()
    check(desk)


def test_entries_of_a_database_that_was_replaced_are_drawn_anew(desk: Desk) -> None:
    publisher = Publisher(desk.tree, desk.presentation)
    desk.put("a.md", post(CODE, "原来的标题"))
    desk.run(publisher=publisher)
    with closing(sqlite3.connect(desk.store.path)) as source, closing(sqlite3.connect(desk.folder / "copy.db")) as copy:
        source.backup(copy)
    desk.put("a.md", post(CODE, "第二个标题"))
    desk.run(publisher=publisher)
    put_in_place(desk, desk.folder / "copy.db")
    desk.put("a.md", post(CODE, "第三个标题"))
    desk.run(publisher=publisher)
    assert "第三个标题" in desk.atom()
    assert "第二个标题" not in desk.atom("category/emnews.atom")
    check(desk)


def test_a_file_that_may_change_again_in_the_tick_it_was_read_in_is_read_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late what was read is stored: a stat tells of a change only when that is a tick after it."""
    changed_ns = desk.put("a.md", post("202503142600000001", "标题")).stat().st_ctime_ns
    for read_ns, settled in ((changed_ns + 1, False), (changed_ns + 1, False), (changed_ns + 10**9, True)):
        monkeypatch.setattr("feedsync.load.time.time_ns", lambda at=read_ns: at)
        desk.run()
        with desk.store.reading() as reader:
            assert reader.rows_of(1, [b"a.md"])[b"a.md"].settled is settled


@pytest.mark.parametrize("looked", [False, True])
def test_a_run_that_fails_midway_is_no_success(desk: Desk, monkeypatch: pytest.MonkeyPatch, looked: bool) -> None:
    """However much it brought, and whether all is read or what a watcher saw."""

    def read(source: FileSource, found: Found) -> tuple[bytes, Stat]:
        if found.path == b"z.md":
            raise SourceError("the disk hangs", remedy="look at it")
        return content.read(source, found)

    def recorded() -> tuple[int, datetime | None, str | None]:
        with desk.store.reading() as reader:
            (row,) = reader.source_rows()
        return row.failures, row.succeeded, row.error

    desk.put("a.md", post())
    desk.run()
    failures, succeeded, error = recorded()
    assert (failures, succeeded is None, error) == (0, False, None)
    monkeypatch.setattr(load, "read", read)
    for number in (1, 2):
        names = [f"m{number}-{one:03}.md" for one in range(520)] + ["z.md"]
        for one, name in enumerate(names):
            desk.put(name, post(f"20250314{2700000000 + 1000 * number + one}"))
        paths = {"articles": frozenset(name.encode() for name in names)} if looked else None
        report = desk.run(paths=paths).sources["articles"]
        assert report.new > 0
        assert report.error
        assert recorded() == (number, succeeded, report.error)
    monkeypatch.undo()
    desk.run()
    assert recorded()[::2] == (0, None)
