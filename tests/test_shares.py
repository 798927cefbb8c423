"""Much to publish is drawn by worker processes, too: the same bytes, whatever becomes of them."""

import os
import shutil
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from feedsync import publish, shares
from feedsync.errors import OutputError
from feedsync.publish import Publisher
from feedsync.shares import archives_in_shares, feeds_in_shares
from feedsync.store import Term
from feedsync.values import replace
from feedsync.withdraw import withdraw
from feedsync.workers import Workers

from .conftest import Desk, post
from .test_sync import check

ARTICLES = 60


def key(number: int) -> str:
    return f"20250314260000{number:04d}"


@pytest.fixture
def much(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A store that was never published, large by these measures."""
    monkeypatch.setattr(publish, "MANY_FEEDS", 10)
    monkeypatch.setattr(publish, "MANY_PAGES", ARTICLES)
    monkeypatch.setattr(publish, "PAGES_PER_SHARE", 7)
    monkeypatch.setattr(publish, "_FILES_PER_BATCH", 20)
    for number in range(ARTICLES):
        place = {"category": f"c{number % 9}", "tag": f"标签{number % 4}"}
        desk.put(f"{number}.md", post(key(number), f"标题{number}", "<p>正文。</p>" * 40, **place))
    desk.run()
    withdraw(desk.store, Publisher(desk.tree, desk.presentation), key(3), "误发", now=desk.now)
    forget(desk)
    return desk


def forget(desk: Desk) -> None:
    shutil.rmtree(desk.tree.root)
    desk.store.forget_publishing()


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers("feedsync.load", "feedsync.shares") as workers:
        yield workers


def test_workers_draw_the_same_bytes(much: Desk, workers: Workers) -> None:
    Publisher(much.tree, much.presentation).publish(much.store)
    alone = much.published()
    assert len(alone) > ARTICLES
    forget(much)
    report = Publisher(much.tree, much.presentation).publish(much.store, workers=workers)
    assert workers.folder  # they were started
    assert much.published() == alone
    assert report.written == 1 + 9 + 4
    assert report.unchanged == 0
    assert report.pages >= ARTICLES - 1
    check(much)


def test_workers_that_run_draw_fewer_feeds_too(much: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(Workers):
        submitted = 0

        def submit(self, *arguments: Any, **options: Any) -> Any:
            self.submitted += 1
            return super().submit(*arguments, **options)

    monkeypatch.setattr(publish, "MANY_FEEDS", 15)
    monkeypatch.setattr(publish, "MANY_PAGES", ARTICLES + 1)
    monkeypatch.setattr(publish, "FEW_FEEDS", 14)  # there are 1 + 9 + 4
    with Counting("feedsync.load") as workers:
        Publisher(much.tree, much.presentation).publish(much.store, workers=workers)
        assert not workers.running
        alone = much.published()
        forget(much)
        workers.start()
        Publisher(much.tree, much.presentation).publish(much.store, workers=workers)
        drawn = workers.submitted
        assert drawn > 1
        assert much.published() == alone
        forget(much)
        workers.kill()
        Publisher(much.tree, much.presentation).publish(much.store, workers=workers)
        assert workers.submitted == drawn
        assert much.published() == alone


def test_what_changed_is_drawn_in_shares_too(much: Desk, workers: Workers) -> None:
    publisher = Publisher(much.tree, much.presentation)
    publisher.publish(much.store, workers=workers)
    for number in range(20):
        much.put(f"new{number}.md", post(key(100 + number), f"新标题{number}", category=f"c{number % 9}", tag="标签0"))
    (much.inbox / "0.md").write_text(post(key(0), "标题0改", category="c0", tag="标签0"), encoding="utf-8")
    much.run(publisher=publisher)
    check(much)


def test_a_killed_worker_costs_nothing_but_time(much: Desk, workers: Workers) -> None:
    pid = workers.submit(os.getpid).result()
    killed = False

    def kill(_done: int) -> None:
        nonlocal killed
        if not killed:
            os.kill(pid, signal.SIGKILL)
            killed = True

    Publisher(much.tree, much.presentation).publish(much.store, workers=workers, progress=kill)
    assert killed
    much.tree.sweep()  # a worker that was killed while it wrote leaves its temporary files to the next pass
    check(much)


def test_a_worker_that_hangs_is_given_up(much: Desk, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_SHARE_TIMEOUT_S", 0.5)
    os.kill(workers.submit(os.getpid).result(), signal.SIGSTOP)
    Publisher(much.tree, much.presentation).publish(much.store, workers=workers)
    check(much)


def test_a_worker_that_cannot_write_says_so(much: Desk, workers: Workers) -> None:
    """Its share is drawn here, where the error is told as always."""
    much.tree.root.mkdir(parents=True)
    (much.tree.root / "article").write_text("not a folder", encoding="utf-8")
    with pytest.raises(OutputError, match="article"):
        Publisher(much.tree, much.presentation).publish(much.store, workers=workers)
    (much.tree.root / "article").unlink()
    Publisher(much.tree, much.presentation).publish(much.store, workers=workers)
    check(much)


@pytest.mark.parametrize("steps", [1, 4, 9, 14])
def test_a_publication_that_is_stopped_leaves_nothing_behind_and_goes_on(
    much: Desk, workers: Workers, steps: int
) -> None:
    workers.submit(os.getpid).result()  # a process that still starts would go on after us
    left = steps

    def stop(_done: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Publisher(much.tree, much.presentation).publish(much.store, workers=workers, progress=stop)
    assert not list(much.tree.root.rglob(".*.tmp"))
    Publisher(much.tree, much.presentation).publish(much.store, workers=workers)
    check(much)


def test_pages_in_place_are_remembered_when_it_is_stopped(much: Desk) -> None:
    def stop(_done: int) -> None:
        if any(not name.startswith(".") for name in much.tree.names("article")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Publisher(much.tree, much.presentation).publish(much.store, progress=stop)
    with much.store.reading() as reader:
        assert int(reader.state("pages_seq") or -1) > 0
    report = Publisher(much.tree, much.presentation).publish(much.store)
    assert report.pages < ARTICLES
    check(much)


def test_it_is_known_before_whether_publishing_takes_long(much: Desk) -> None:
    def takes_long(publisher: Publisher) -> bool:
        with much.store.reading() as reader:
            return publisher.takes_long(reader)

    publisher = Publisher(much.tree, much.presentation)
    assert takes_long(publisher)  # nothing is published
    publisher.publish(much.store)
    assert not takes_long(publisher)
    much.put("new.md", post(key(100), "新标题", category="c1"))
    much.run(publisher=publisher)
    assert not takes_long(publisher)
    assert takes_long(Publisher(much.tree, replace(much.presentation, explain=True)))  # all of it is drawn anew
    (much.tree.root / "category" / "c1.atom").unlink()
    assert takes_long(publisher)  # the tree was tampered with: the same


@pytest.mark.parametrize("count", [0, 1, 5, 12, 13, 120, 2000])
def test_shares_are_all_there_is_to_do(count: int) -> None:
    terms = [Term(number, "category", f"c{number}", "", 1, 1, -1) for number in range(count)]
    feeds = [term for share in feeds_in_shares(terms) for term in share.due]
    archives = [due for share in archives_in_shares([(term, ()) for term in terms]) for due in share.due]
    assert feeds == terms
    assert archives == [(term, ()) for term in terms]
    assert all(len(share.due) <= shares._FEEDS_PER_SHARE for share in feeds_in_shares(terms))


def test_of_much_too_the_feeds_of_categories_come_before_pages_that_show_them(
    much: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    Publisher(much.tree, much.presentation).publish(much.store)
    for number in range(9):
        much.put(f"new{number}.md", post(key(1000 + number), f"后来{number}", category=f"c{number}"))
    placed: list[str] = []
    replace_file = os.replace

    def watching(source: str, target: str) -> None:
        placed.append(os.path.relpath(target, much.tree.root))
        replace_file(source, target)

    monkeypatch.setattr(publish, "_FILES_PER_BATCH", 1000)
    monkeypatch.setattr(os, "replace", watching)
    much.run()
    feeds = [placed.index(f"category/c{number}.atom") for number in range(9)]
    pages = [placed.index(f"category/c{number}.html") for number in range(9)]
    articles = [placed.index(f"article/{key(1000 + number)}.html") for number in range(9)]
    assert max(articles) < min(feeds)
    assert max(feeds) < min(pages) < placed.index("index.html")
