"""What a pass costs, counted and never timed: no cost of one article may grow with the store."""

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from sqlite3 import Connection as Raw
from typing import Any, cast

import pytest
from sqlalchemy import Connection, event

from feedsync import walk
from feedsync.feeds import Window
from feedsync.ingest import Ingest
from feedsync.outputs import Batch
from feedsync.publish import Publisher
from feedsync.sources import FileSource, scan

from .conftest import SITE, Desk, post

_FEW, _MANY = 1150, 2150
_CATEGORIES = 10
_STEPS = 10


@dataclass
class Costs:
    """Everything counted while one pass ran."""

    statements: int = 0
    transactions: int = 0
    rows: int = 0
    """Rows inserted, updated or deleted."""
    steps: int = 0
    """Instructions of SQLite's virtual machine, in tens: a scan of a table shows here."""
    fsyncs: int = 0
    drawn: list[str] = field(default_factory=list)
    """Paths of the tree that were drawn, changed or not."""
    written: dict[str, int] = field(default_factory=dict)
    """Bytes of the files that were put in place."""


@contextmanager
def counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Costs]:
    costs = Costs()
    engine = desk.store._engine
    seen: dict[Raw, int] = {}
    fsync, put = os.fsync, Batch.put

    def begun(connection: Connection) -> None:
        costs.transactions += 1
        raw = cast("Raw", connection.connection.dbapi_connection)
        if raw not in seen:
            seen[raw] = raw.total_changes
            raw.set_progress_handler(step, _STEPS)

    def step() -> None:
        costs.steps += 1

    def executed(*_args: Any) -> None:
        costs.statements += 1

    def counting_fsync(descriptor: int) -> None:
        costs.fsyncs += 1
        fsync(descriptor)

    def counting_put(batch: Batch, path: str, content: bytes, *rest: Any, **options: Any) -> bool:
        changed = put(batch, path, content, *rest, **options)
        costs.drawn.append(path)
        if changed:
            costs.written[path] = len(content)
        return changed

    event.listen(engine, "begin", begun)
    event.listen(engine, "after_cursor_execute", executed)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", counting_fsync)
        patch.setattr(Batch, "put", counting_put)
        yield costs
    event.remove(engine, "begin", begun)
    event.remove(engine, "after_cursor_execute", executed)
    for raw, before in seen.items():
        costs.rows += raw.total_changes - before
        raw.set_progress_handler(None, 0)


def code(number: int) -> str:
    return f"20250314{2600000000 + number}"


def put(desk: Desk, number: int) -> None:
    date = f"{datetime(2025, 3, 14) + timedelta(minutes=number):%Y-%m-%d %H:%M:%S}"
    text = post(code(number), f"标题{number:04d}", date=date, category=f"c{number % _CATEGORIES}")
    desk.put(f"{code(number)}.md", text)


def filled(folder: Path, articles: int) -> Desk:
    folder.mkdir()
    desk = Desk(folder, SITE, Window(10, 0, 10))
    for number in range(articles):
        put(desk, number)
    desk.run()
    return desk


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Desk]]:
    """A store of few articles and one of many."""
    folder = tmp_path_factory.mktemp("costs")
    few, many = filled(folder / "few", _FEW), filled(folder / "many", _MANY)
    yield few, many
    few.close()
    many.close()


def cost_of_one(desk: Desk, number: int, monkeypatch: pytest.MonkeyPatch) -> Costs:
    """What one new article costs beside a publisher that has been at work for a while, as in the daemon."""
    publisher = Publisher(desk.tree, desk.presentation)
    put(desk, number)
    desk.run(publisher=publisher)
    put(desk, number + _CATEGORIES)
    hint = frozenset({f"{code(number + _CATEGORIES)}.md".encode()})
    with counted(desk, monkeypatch) as costs:
        report = desk.run(publisher=publisher, paths={"articles": hint})
    assert report.sources["articles"].new == 1
    return costs


def test_one_new_article_costs_the_same_whatever_is_stored(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = (cost_of_one(desk, 5003, monkeypatch) for desk in desks)
    assert many.statements == few.statements < 95
    assert many.transactions == few.transactions < 9
    assert many.rows == few.rows < 40
    assert many.fsyncs == few.fsyncs < 30
    assert many.steps < 1.3 * few.steps
    assert len(many.drawn) == len(few.drawn) < 20
    assert sum(many.written.values()) < 1.1 * sum(few.written.values())


def test_one_new_article_costs_the_same_whatever_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for refused in (1, 300):
        desk = filled(tmp_path / str(refused), _CATEGORIES)
        for number in range(refused):
            desk.put(f"refused{number}.md", "")
        assert desk.run().sources["articles"].quarantined == refused
        results.append(cost_of_one(desk, 5003, monkeypatch))
        desk.close()
    few, many = results
    assert many.statements == few.statements
    assert many.steps < 1.05 * few.steps


def test_one_new_article_draws_the_feeds_it_stands_in_and_no_other(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = cost_of_one(desks[1], 6007, monkeypatch)
    assert {path.partition(".")[0] for path in costs.drawn if path.startswith("category/")} == {
        "category/c7",
        "category/c7/2025-3",
    }
    articles = [path for path in costs.drawn if path.startswith("article/")]
    assert articles == [f"article/{code(number)}.html" for number in (6017, 6007)]  # and the one before it
    assert len(costs.drawn) == len(set(costs.drawn))


def test_a_pass_with_nothing_new_asks_little_and_writes_nothing(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for desk in desks:
        desk.run()
        with counted(desk, monkeypatch) as costs:
            assert desk.run().sources["articles"].new == 0
        results.append(costs)
    few, many = results
    assert many.statements == few.statements < 30
    assert (many.rows, many.fsyncs, many.drawn) == (few.rows, few.fsyncs, few.drawn) == (0, 0, [])
    # What remains is to read the rows of the files, one after the other.
    assert many.steps - few.steps < 5 * (_MANY - _FEW)


def test_a_burst_costs_less_than_so_many_articles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = filled(tmp_path / "burst", _FEW)
    for number in range(7000, 7100):
        put(desk, number)
    with counted(desk, monkeypatch) as costs:
        assert desk.run().sources["articles"].new == 100
    pages = [path for path in costs.written if path.startswith("article/")]
    assert len(pages) == 100 + _CATEGORIES  # and those they now follow
    assert costs.fsyncs < 60  # the files of a batch are made durable together
    assert costs.rows < 20 * 100
    assert costs.statements < 35 * _CATEGORIES  # a category asks, not an article
    assert costs.transactions < 30
    desk.close()


def test_of_a_large_folder_the_names_alone_are_kept(tmp_path: Path) -> None:
    names = [f"2025-03-14-NW20250314260000{number:04d}.md" for number in range(3000)]
    for name in names:
        (tmp_path / name).touch()
    source = FileSource("articles", tmp_path)
    assert sum(1 for _ in scan(source)) == len(names)  # what is made once is made
    tracemalloc.start()
    for _ in scan(source):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 * len(names)


def test_a_pass_keeps_nothing_of_the_files_it_read(desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred bytes of each are a hundred megabytes of a million."""
    kept: list[Any] = []

    def keeping(made: type) -> Any:
        def make(*arguments: Any, **options: Any) -> Any:
            kept.append(made(*arguments, **options))
            return kept[-1]

        return make

    monkeypatch.setattr("feedsync.sync.Ingest", keeping(Ingest))
    monkeypatch.setattr(walk, "_Walk", keeping(walk._Walk))
    assert desks[0].run(full=True).sources["articles"].unchanged >= _FEW
    assert len(kept) == 2
    for one in kept:
        names = one.__slots__ if hasattr(one, "__slots__") else vars(one)
        held = [value for name in names if isinstance(value := getattr(one, name), set | dict | list)]
        assert held
        assert not any(held)


def test_how_the_store_stands_is_told_without_counting_what_grows(desks: tuple[Desk, Desk]) -> None:
    """To count a million rows is to read an index from disk: SQLite does that in one step, so the plan has to tell."""
    said: list[str] = []
    with desks[0].store.reading() as reader:
        raw = cast("Raw", reader.connection.connection.dbapi_connection)
        raw.set_trace_callback(said.append)
        counts = reader.totals()
        (source,) = reader.source_rows()
        raw.set_trace_callback(None)
        plans = [row[3] for statement in said for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert counts["articles"] == counts["revisions"] == source.files == source.documents >= _FEW
    assert len(said) >= 6
    partial = ("ix_articles_held", "ix_articles_withdrawn")
    read = {plan.split()[1] for plan in plans if plan.startswith(("SCAN", "SEARCH")) and not plan.endswith(partial)}
    assert read == {"sources", "quarantine", "terms", "state"}
