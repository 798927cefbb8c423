"""The next version of a feed takes from the last one what did not change, and nothing else."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsync.feeds import FORMATS, draw_entry, feed_of_all
from feedsync.model import Entry
from feedsync.publish import Publisher
from feedsync.values import replace
from feedsync.withdraw import withdraw

from .conftest import SITE, Desk, post
from .test_feeds import entry_of

_TEXT = st.text(st.sampled_from("甲乙<>\"'&,{}[]:\n\\ae") | st.characters(categories=["L", "S"]), max_size=30)
_MARKS = (
    "\n<entry>",
    "</entry>\n<entry><id>tag:a:article/202503142600000007</id>",
    "\n</feed>\n",
    "\n<item>",
    '<guid isPermaLink="false">tag:a:article/202503142600000007</guid>',
    "</channel>\n</rss>",
    '\n{"id":"tag:a:article/202503142600000007"',
    ",\n",
    "\n]}\n",
)
_SAID = _TEXT | st.sampled_from(_MARKS)


def code(number: int) -> str:
    return f"2025031426{number:08d}"


@given(st.lists(st.tuples(_SAID, _SAID), max_size=4))
@settings(max_examples=60)
def test_in_every_format_entries_are_found_as_they_were_drawn(said: list[tuple[str, str]]) -> None:
    known = [entry_of(post(code(number))).known for number in range(len(said))]
    entries = [
        Entry(
            replace(one, article=replace(one.article, title=replace(one.article.title, text=f"题{title}"))),
            f"<p>{html}</p>",
        )
        for one, (title, html) in zip(known, said, strict=True)
    ]
    drawn = [draw_entry(entry, SITE, {}) for entry in entries]
    for number, format in enumerate(FORMATS):
        document = format.draw_feed(feed_of_all(SITE), SITE, [one[number] for one in drawn])
        found = format.layout.part(document)
        assert {key: bytes(piece) for key, piece in found.items()} == {
            code(n): one[number] for n, one in enumerate(drawn)
        }
        assert format.draw_feed(feed_of_all(SITE), SITE, list(found.values())) == document


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the entries that are drawn."""
    keys: list[str] = []

    def noting(entry: Entry, *rest: object) -> tuple[bytes, ...]:
        keys.append(entry.known.article.key)
        return draw_entry(entry, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("feedsync.drawing.draw_entry", noting)
    return keys


@pytest.fixture
def ten(desk: Desk, drawn: list[str]) -> Desk:
    """Ten articles, published."""
    for number in range(10):
        desk.put(f"{code(number)}.md", post(code(number), f"标题{number}"))
    desk.run()
    assert sorted(drawn) == [code(number) for number in range(10)]
    drawn.clear()
    return desk


def differences(desk: Desk) -> list[str]:
    return list(Publisher(desk.tree, desk.presentation).audit.differences(desk.store))


def arrive(desk: Desk, number: int) -> None:
    """An article, in a process that has drawn nothing yet."""
    desk.put(f"{code(number)}.md", post(code(number), f"标题{number}"))
    desk.run()
    assert not differences(desk)


def test_only_what_is_new_is_drawn(ten: Desk, drawn: list[str]) -> None:
    ten.put(f"{code(10)}.md", post(code(10), "标题十"))
    ten.run()
    assert drawn == [code(10)]
    drawn.clear()
    ten.put(f"{code(4)}.md", post(code(4), "另一个标题"))
    ten.run()
    assert drawn == [code(4)]
    drawn.clear()
    assert not differences(ten)
    assert len(set(drawn)) == 11, "who looks at the tree draws from the store alone"


@pytest.mark.parametrize("path", ["all.atom", "category/emnews.rss", "category/emnews.json"])
@pytest.mark.parametrize("how", ["edited", "cut", "gone"])
def test_nothing_is_taken_from_a_file_that_somebody_changed(ten: Desk, path: str, how: str) -> None:
    file = ten.tree.root / path
    before = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(before.replace("标题3".encode(), "标题八".encode()) if how == "edited" else before[:-900])
        assert file.read_bytes() != before
    arrive(ten, 10)


def test_nothing_is_taken_from_a_tree_of_before(ten: Desk) -> None:
    shutil.copytree(ten.tree.root, ten.folder / "before")
    ten.put(f"{code(4)}.md", post(code(4), "另一个标题"))
    ten.run()
    for path in (
        "all.atom",
        "all.rss",
        "all.json",
        "category/emnews.atom",
        "category/emnews.rss",
        "category/emnews.json",
    ):
        shutil.copy2(ten.folder / "before" / path, ten.tree.root / path)
    arrive(ten, 10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.usefixtures("imported")
def test_a_feed_we_may_not_read_is_drawn_anew() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        desk = Desk(Path(name))
        desk.put("a.md", post(code(1)))
        desk.run()
        desk.put("b.md", post(code(2)))
        for path in (desk.folder, *desk.folder.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
        feed = desk.tree.root / "category/emnews.atom"
        os.chown(feed, 0, 0)
        feed.chmod(0)
        os.seteuid(65534)
        try:
            desk.run()
        finally:
            os.seteuid(0)
        assert desk.atom("category/emnews.atom").count("<entry>") == 2
        desk.close()


def test_where_the_database_is_of_before_nothing_is_taken(ten: Desk, drawn: list[str]) -> None:
    copy = ten.folder / "before.db"
    with closing(sqlite3.connect(ten.folder / "feedsync.db")) as then, closing(sqlite3.connect(copy)) as kept:
        then.backup(kept)
    ten.put(f"{code(4)}.md", post(code(4), "另一个标题"))
    ten.run()
    (ten.inbox / f"{code(4)}.md").unlink()
    ten.close()
    for name in ("feedsync.db", "feedsync.db-wal", "feedsync.db-shm"):
        (ten.folder / name).unlink(missing_ok=True)
    copy.rename(ten.folder / "feedsync.db")
    again = Desk(ten.folder)
    again.now = ten.now
    drawn.clear()
    again.put(f"{code(10)}.md", post(code(10), "标题十"))
    again.run()
    assert len(set(drawn)) == 11
    assert "标题4" in again.atom()
    again.close()


def test_all_is_drawn_anew_when_that_is_asked_for_or_how_it_is_drawn_changed(ten: Desk, drawn: list[str]) -> None:
    everything = [code(number) for number in range(10)]
    Publisher(ten.tree, ten.presentation).publish(ten.store, everything=True)
    assert sorted(drawn) == everything
    drawn.clear()
    ten.presentation = replace(ten.presentation, site=replace(ten.presentation.site, language="zh"))
    ten.run()
    assert sorted(drawn) == everything
    assert not differences(ten)


def test_what_came_back_into_a_window_is_drawn(desk: Desk, drawn: list[str]) -> None:
    window = replace(desk.presentation.window, min_entries=3, window_hours=0, max_entries=3)
    desk.presentation = replace(desk.presentation, window=window)
    days = count(1)
    for number in range(5):
        desk.put(f"{code(number)}.md", post(code(number), f"标题{number}", date=f"2025-03-{next(days):02d} 08:00:00"))
        desk.run()
    drawn.clear()
    withdraw(desk.store, Publisher(desk.tree, desk.presentation), code(4), "", now=desk.now)
    assert drawn == [code(1)]
    assert not differences(desk)


def test_of_a_publication_that_was_cut_short_nothing_is_taken(
    ten: Desk, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its feeds are in place, but nobody remembers from which state of the store they are."""
    ten.put(f"{code(10)}.md", post(code(10), "标题十"))
    with monkeypatch.context() as patch:
        patch.setattr("feedsync.store.Writer.mark_published", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ten.run()
    assert "标题十" in ten.atom()
    drawn.clear()
    ten.run()
    assert len(drawn) == 11
    assert not differences(ten)


def test_a_label_learnt_while_everything_was_due_anew_reaches_every_entry(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's `publish` marked everything and was stopped; what the daemon has in memory has the old label."""
    daemon = Publisher(desk.tree, desk.presentation)
    desk.put("1.md", post(code(1), tag="甲新闻"))
    desk.run(publisher=daemon)
    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "_publish_due", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Publisher(desk.tree, desk.presentation).publish(desk.store, everything=True)
    for number in (2, 3):
        desk.put(f"{number}.md", post(code(number), tag="乙新闻"))
    desk.run(publisher=daemon)
    assert not differences(desk)


def test_a_daemon_draws_nothing_before_there_is_something_to_publish(ten: Desk, drawn: list[str]) -> None:
    (ten.tree.root / "all.rss").unlink()
    Publisher(ten.tree, ten.presentation).warm_up(ten.store)
    assert drawn == []


def test_a_file_of_another_size_is_not_even_read(ten: Desk) -> None:
    os.truncate(ten.tree.root / "category/emnews.rss", 1 << 37)
    arrive(ten, 10)


def test_entries_of_other_libraries_are_drawn_anew(
    ten: Desk, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedsync.former.drawn_by", lambda: b"lxml 99")
    ten.put(f"{code(10)}.md", post(code(10), "标题十"))
    ten.run()
    assert len(drawn) == 11


def test_a_feed_of_old_articles_is_as_old_as_they_are(desk: Desk) -> None:
    desk.put("a.md", post(code(1), date="1965-03-14 10:00:00"))
    desk.run()
    assert "<updated>1965-03-14T02:00:00Z</updated><author>" in desk.atom("category/emnews.atom")
