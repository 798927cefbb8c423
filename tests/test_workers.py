"""Worker processes: they share the work, and their loss costs nothing."""

import os
import platform
import select
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

from feedsync import load
from feedsync.errors import OutputError, SourceError
from feedsync.load import Task, first_files, is_much, load_ahead, load_all
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


def alone(script: str, *arguments: str, folder: Path) -> subprocess.Popen[str]:
    """A script in a process of its own, for this one may have threads."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(script), encoding="utf-8")
    command = [sys.executable, str(path), *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


_COPIES = """
    import sys, threading
    from feedsync.workers import Workers

    known = False

    def knows():
        return known

    if __name__ == "__main__":
        known = True
        if "threads" in sys.argv:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        with Workers() as workers:
            getattr(workers, sys.argv[1])()
            print(workers.submit(knows).result())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are always started from nothing")
@pytest.mark.parametrize(("how", "copied"), [(("fork",), True), (("fork", "threads"), False), (("start",), False)])
def test_workers_are_copies_of_a_process_with_one_thread_only(how: tuple[str], copied: bool, tmp_path: Path) -> None:
    said, _ = alone(_COPIES, *how, folder=tmp_path).communicate(timeout=60)
    assert said == f"{copied}\n"


_FEW = """
    import errno, os, sys
    from feedsync.workers import Workers

    fork, left = os.fork, 2

    def failing():
        global left
        left -= 1
        if left < 0:
            raise OSError(errno.EAGAIN, "no more processes")
        return fork()

    if __name__ == "__main__":
        os.fork = failing
        with Workers() as workers:
            workers.count = 4
            workers.fork()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are always started from nothing")
def test_where_there_is_no_room_for_all_workers_it_says_so_and_ends(tmp_path: Path) -> None:
    process = alone(_FEW, folder=tmp_path)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no more processes" in said


_PASS = """
    import os, sys
    from feedsync import load
    from feedsync.cli import main

    fork, forked = os.fork, []

    def counting():
        forked.append(True)
        return fork()

    if __name__ == "__main__":
        os.fork = counting
        load._WORKERS_FROM = 20
        sys.argv = ["feedsync", "resync"]
        try:
            main()
        except SystemExit as ended:
            print(len(forked) == 1 + max(1, (os.cpu_count() or 1) - 1), ended.code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are always started from nothing")
def test_a_first_pass_over_much_forks_its_workers_and_one_that_works_ahead(source: FileSource, tmp_path: Path) -> None:
    site = '[site]\ntitle = "甲"\nbase_url = "http://127.0.0.1:8080"\nauthority = "example.org,2026"\n'
    articles = f'[[sources]]\nname = "articles"\nkind = "files"\npath = "{source.path}"\n'
    folder = tmp_path / "site"
    (folder / "config").mkdir(parents=True)
    (folder / "config/feedsync.toml").write_text(site + articles, encoding="utf-8")
    process = alone(_PASS, folder=folder)
    said, complaint = process.communicate(timeout=60)
    assert said.splitlines()[-1] == "True 0", complaint
    assert "30 new" in said


_AHEAD = """
    import os, signal, sys, time
    from multiprocessing import active_children
    from feedsync import forerunner
    from feedsync.workers import Workers

    def parts():
        for number in range(3):
            yield b"part %d" % number
        if sys.argv[1] == "hangs":
            time.sleep(60)
        if sys.argv[1] == "fails":
            raise ValueError
        while sys.argv[1] == "goes on":
            yield b"more"

    if __name__ == "__main__":
        forerunner._END_S = 0.5 if sys.argv[1] == "hangs" else 30
        with Workers() as workers:
            workers.begin("articles", parts())
            child, = active_children()
            if sys.argv[1] == "is killed":
                os.kill(child.pid, signal.SIGKILL)
            elif sys.argv[1] != "goes on":
                child.join(1)
            print(workers.begun("others"), workers.begun("articles")[:3])
            if sys.argv[1] == "ends with us":
                workers.begin("articles", parts())
        child.join(30)
        print(active_children())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing works ahead")
@pytest.mark.parametrize("what", ["ends", "goes on", "fails", "hangs", "is killed", "ends with us"])
def test_what_was_done_ahead_is_taken_unless_it_died(what: str, tmp_path: Path) -> None:
    said, complaint = alone(_AHEAD, what, folder=tmp_path).communicate(timeout=60)
    assert not complaint
    found, left = said.splitlines()
    done = [b"part 0", b"part 1", b"part 2"]
    if what in ("goes on", "is killed"):  # sooner or later
        assert found in [f"[] {done[:count]}" for count in (0, 1, 2, 3)]
    else:
        assert found == f"[] {done}"
    assert left == "[]"


_AHEAD_ALONE = """
    import os, time
    from feedsync.workers import Workers

    def parts():
        os.write(1, b"%d\\n" % os.getpid())
        time.sleep(60)
        yield b""

    if __name__ == "__main__":
        workers = Workers()
        workers.begin("articles", parts())
        time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing works ahead")
def test_what_works_ahead_ends_with_us(tmp_path: Path) -> None:
    parent = alone(_AHEAD_ALONE, folder=tmp_path)
    assert parent.stdout
    copy = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    assert select.select([copy], [], [], 30)[0]
    os.close(copy)
    parent.communicate()


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


_MEMORY = """
    import resource, sys
    from feedsync.allocator import keep_freed_memory

    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    if sys.argv[1] == "kept":
        keep_freed_memory()
    before = faults()
    for _ in range(20):
        batch = [bytes(4000) for _ in range(1200)]
        del batch
    print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of other allocators nothing is asked")
def test_memory_for_the_next_batch_is_kept(tmp_path: Path) -> None:
    kept = {how: int(alone(_MEMORY, how, folder=tmp_path).communicate(timeout=60)[0]) for how in ("kept", "default")}
    assert kept["kept"] < 5000 < kept["default"], kept


_ORPHANS = """
    import os, signal, sys
    from feedsync.workers import Workers

    if __name__ == "__main__":
        with Workers() as workers:
            workers.count = 3
            getattr(workers, sys.argv[1])()
            asked = [workers.submit(os.getpid) for _ in range(60)]
            print(*{one.result() for one in asked}, flush=True)
            signal.pause()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="nobody tells that another's child ended")
@pytest.mark.parametrize("start", ["start", "fork"])
@pytest.mark.parametrize("stuck", [False, True])
def test_workers_end_when_their_process_is_killed(start: str, stuck: bool, tmp_path: Path) -> None:
    parent = alone(_ORPHANS, start, folder=tmp_path)
    assert parent.stdout
    pids = sorted(map(int, parent.stdout.readline().split()))
    workers = {pid: os.pidfd_open(pid) for pid in pids}
    assert workers
    if stuck:  # as on a disk that does not answer
        os.kill(pids[-1], signal.SIGSTOP)
    parent.kill()
    parent.wait()
    for pid, worker in workers.items():
        if stuck and pid == pids[-1]:
            signal.pidfd_send_signal(worker, signal.SIGKILL)
        assert select.select([worker], [], [], 30)[0]
        os.close(worker)
    parent.communicate()  # not before: a worker that is stopped holds the other ends of its pipes


def test_no_place_for_temporary_files_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with Workers("feedsync.load") as workers, pytest.raises(OutputError, match="TMPDIR"):
        workers.start()


def test_workers_are_worth_it_from_a_number_of_files_on(source: FileSource, monkeypatch: pytest.MonkeyPatch) -> None:
    for threshold, much in ((29, True), (30, True), (31, False)):
        monkeypatch.setattr(load, "_WORKERS_FROM", threshold)
        assert is_much(first_files(source)) is much
    assert not first_files(FileSource("nowhere", source.path / "missing"))


def test_workers_prepare_what_comes_next_when_all_is_given(source: FileSource) -> None:
    with Workers("feedsync.load", "tests.test_workers") as workers:
        workers.count = 1
        assert len(keys(source, workers)) == 30
        assert workers.submit(os.getenv, "FEEDSYNC_TEST_READY").result() == "yes"
    with Workers("feedsync.load", "tests.test_workers") as workers:
        workers.make_ready()  # none of them run
        assert workers.submit(os.getenv, "FEEDSYNC_TEST_READY").result() is None


def make_ready() -> None:
    """What the workers of the test above prepare."""
    os.environ["FEEDSYNC_TEST_READY"] = "yes"
