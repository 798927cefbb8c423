"""Worker processes: they share the work, and their loss costs nothing."""

import os
import select
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from feedsync.errors import OutputError
from feedsync.workers import Workers

from .processes import alone

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
