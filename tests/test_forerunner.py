"""One that works ahead while this process imports: what it has done is taken, its loss costs nothing."""

import os
import select
import sys
from pathlib import Path

import pytest

from feedsync.sources import FileSource

from .processes import alone

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
