"""Worker processes: they share the work, and their loss costs nothing."""

import os
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

from feedsync import load
from feedsync.errors import OutputError, SourceError
from feedsync.load import Task, is_much, load_all
from feedsync.patience import Patience
from feedsync.sources import FileSource, scan
from feedsync.workers import Workers

from .conftest import SHANGHAI, post


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileSource:
    for number in range(30):
        code = f"2025031426000000{number:02d}"
        (tmp_path / f"{code}.md").write_text(post(code, f"标题{number}"), encoding="utf-8")
    monkeypatch.setattr(load, "_WORKERS_FROM", 20)
    monkeypatch.setattr(load, "_BATCH", 4)
    return FileSource("articles", tmp_path)


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


def test_no_place_for_temporary_files_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with Workers("feedsync.load") as workers, pytest.raises(OutputError, match="TMPDIR"):
        workers.start()


def test_workers_are_worth_it_from_a_number_of_files_on(source: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    for threshold, much in ((29, True), (30, True), (31, False)):
        monkeypatch.setattr(load, "_WORKERS_FROM", threshold)
        assert is_much(source) is much
    assert not is_much(FileSource("nowhere", source.path / "missing"))
