"""Reading and parsing in worker processes: the same as here, whatever becomes of them."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

from feedsync import load
from feedsync.errors import SourceError
from feedsync.load import Task, first_files, is_much, load_ahead, load_all
from feedsync.patience import Patience
from feedsync.sources import FileSource, scan
from feedsync.workers import Workers

from .conftest import SHANGHAI, post


def keys(source: FileSource, workers: Workers) -> list[str]:
    tasks = (Task(found) for found in scan(source))
    patience = Patience(source.name, source.timeout_s, bool)
    batches = load_all(source, SHANGHAI, tasks, patience, workers, force=False, patient=False)
    return sorted(loaded.parsed.article.key for batch in batches for loaded in batch if loaded.parsed)


def test_a_killed_worker_costs_nothing_but_time(source: FileSource) -> None:
    expected = [f"2025031426000000{number:02d}" for number in range(30)]
    with Workers("feedsync.load") as workers:
        workers.start()
        pid = workers.submit(os.getpid).result()
        assert pid != os.getpid()
        assert keys(source, workers) == expected
        os.kill(pid, signal.SIGKILL)
        assert keys(source, workers) == expected
        with pytest.raises(BrokenExecutor):
            workers.submit(os.getpid).result()


def test_a_full_disk_costs_nothing_but_time(source: FileSource) -> None:
    with Workers("feedsync.load") as workers:
        workers.start()
        Path(workers.folder).rmdir()
        assert len(keys(source, workers)) == 30
        Path(workers.folder).mkdir()


def test_where_we_hang_workers_are_not_waited_for(source: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Patience):
        def call(self, _work: Callable[[], object]) -> object:  # type: ignore[override]
            raise SourceError("it hangs")

    monkeypatch.setattr(load, "_AHEAD", 1)
    with Workers("feedsync.load") as workers:
        pid = workers.submit(os.getpid).result()
        for _ in range(workers.count):
            workers.submit(signal.pause)  # as a worker does that hangs on the same disk
        tasks = (Task(found) for found in scan(source))
        patience = Stuck(source.name, 5, bool)
        with pytest.raises(SourceError, match="it hangs"):
            list(load_all(source, SHANGHAI, tasks, patience, workers, force=False, patient=False))
        assert not workers.running
        with pytest.raises(BrokenExecutor):
            workers.submit(os.getpid).result()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_workers_and_their_folder_are_gone_afterwards(source: FileSource) -> None:
    with Workers("feedsync.load") as workers:
        pid = workers.submit(os.getpid).result()
        folder = Path(workers.folder)
        assert folder.is_dir()
        keys(source, workers)
        assert not list(folder.iterdir())
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_only_so_much_is_read_ahead(source: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(scan(source))
    sizes = [one.stat.size for one in found if one.stat]
    monkeypatch.setattr(load, "_PART", 10)
    monkeypatch.setattr(load, "_AHEAD_BYTES", sum(sizes[:20]))
    assert len(list(load_ahead(source, SHANGHAI, found))) == 2


def test_what_is_refused_ahead_is_not_read_again(source: FileSource) -> None:
    (source.path / "0.md").write_bytes(b"\0")
    found = list(scan(source))
    parts = list(load_ahead(source, SHANGHAI, found))
    (source.path / "0.md").unlink()

    class Ahead(Workers):
        def begun(self, name: str) -> list[bytes]:
            return parts

    with Ahead("feedsync.load") as workers:
        patience = Patience(source.name, source.timeout_s, bool)
        batches = load_all(source, SHANGHAI, map(Task, found), patience, workers, force=False, patient=False)
        refused = [one.refused.code for batch in batches for one in batch if one.refused]
    assert refused == ["binary"]


def test_files_read_ahead_are_not_read_again_unless_they_changed(source: FileSource) -> None:
    found = list(scan(source))
    parts = list(load_ahead(source, SHANGHAI, found[:25]))
    (source.path / os.fsdecode(found[0].path)).write_text(post("202503142600000000", "后来的标题"), encoding="utf-8")
    (source.path / os.fsdecode(found[1].path)).unlink()  # taken as it was read: the next pass sees that it is gone
    found = [next(iter(scan(source))), *found[1:]]

    class Ahead(Workers):
        def begun(self, name: str) -> list[bytes]:
            return parts if name == source.name else []

    def titles(*, force: bool = False, known: int = 0) -> dict[bytes, str]:
        tasks = iter([Task(one, one.stat, b"" if n < known else None) for n, one in enumerate(found)])
        patience = Patience(source.name, source.timeout_s, bool)
        with Ahead("feedsync.load") as workers:
            batches = load_all(source, SHANGHAI, tasks, patience, workers, force=force, patient=False)
            return {one.path: one.parsed.article.title.text for batch in batches for one in batch if one.parsed}

    expected = {one.path: f"标题{number}" for number, one in enumerate(found)}
    expected[found[0].path] = "后来的标题"
    assert titles() == expected
    del expected[found[1].path]
    assert titles(force=True) == expected
    assert titles(known=2) == expected


def test_workers_are_worth_it_from_a_number_of_files_on(source: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    for threshold, much in ((29, True), (30, True), (31, False)):
        monkeypatch.setattr(load, "_WORKERS_FROM", threshold)
        assert is_much(first_files(source)) is much
    assert not first_files(FileSource("nowhere", source.path / "missing"))


def test_workers_prepare_what_comes_next_when_all_is_given(source: FileSource) -> None:
    with Workers("feedsync.load", "tests.test_load") as workers:
        workers.count = 1
        assert len(keys(source, workers)) == 30
        assert workers.submit(os.getenv, "FEEDSYNC_TEST_READY").result() == "yes"
    with Workers("feedsync.load", "tests.test_load") as workers:
        workers.make_ready()  # none of them run
        assert workers.submit(os.getenv, "FEEDSYNC_TEST_READY").result() is None


def make_ready() -> None:
    """What the workers of the test above prepare."""
    os.environ["FEEDSYNC_TEST_READY"] = "yes"
