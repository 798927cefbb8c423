"""Worker processes: they share the work, and their loss costs nothing."""

import os
import select
import signal
import subprocess
import sys
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


@pytest.mark.parametrize("start", [Workers.start, Workers.fork])
def test_a_killed_worker_costs_nothing_but_time(source: FileSource, start: Callable[[Workers], None]) -> None:
    expected = [f"2025031426000000{number:02d}" for number in range(30)]
    with Workers("feedsync.load") as workers:
        start(workers)
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


def knows(name: str) -> bool:
    """Whether a process has what another put into its memory."""
    return hasattr(sys, name)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are always started from nothing")
def test_workers_are_copies_of_a_process_with_one_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_put_by_a_test", True, raising=False)
    for threads, copied in ((1, True), (2, False), (0, False)):
        monkeypatch.setattr("feedsync.workers._threads", lambda many=threads: many)
        with Workers() as workers:
            workers.fork()
            assert workers.submit(knows, "_put_by_a_test").result() is copied
    with Workers() as workers:
        monkeypatch.setattr("feedsync.workers._threads", lambda: 1)
        workers.start()  # says nothing of what is open
        assert not workers.submit(knows, "_put_by_a_test").result()


_ORPHANS = """
import os, signal
from feedsync.workers import Workers

if __name__ == "__main__":
    with Workers() as workers:
        workers.count = 3
        workers.{start}()
        asked = [workers.submit(os.getpid) for _ in range(60)]
        print(*{{one.result() for one in asked}}, flush=True)
        signal.pause()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="nobody tells that another's child ended")
@pytest.mark.parametrize("start", ["start", "fork"])
def test_workers_end_when_their_process_is_killed(start: str, tmp_path: Path) -> None:
    (tmp_path / "orphans.py").write_text(_ORPHANS.format(start=start), encoding="utf-8")
    parent = subprocess.Popen([sys.executable, tmp_path / "orphans.py"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    workers = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
    assert workers
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for worker in workers:
        assert select.select([worker], [], [], 20)[0]
        os.close(worker)


def test_no_place_for_temporary_files_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with Workers("feedsync.load") as workers, pytest.raises(OutputError, match="TMPDIR"):
        workers.start()


def test_workers_are_worth_it_from_a_number_of_files_on(source: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    for threshold, much in ((29, True), (30, True), (31, False)):
        monkeypatch.setattr(load, "_WORKERS_FROM", threshold)
        assert is_much(source) is much
    assert not is_much(FileSource("nowhere", source.path / "missing"))
