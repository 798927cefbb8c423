"""The daemon when something in it does not get on: a source that hangs, a clock that jumps, a hundred reloads."""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import post
from tests.test_cli import CONFIG, Shell
from tests.test_daemon import CODE, Daemon

OTHER = "202503142600000002"

TWO_SOURCES = (
    CONFIG
    + """
[[sources]]
name = "网盘"
kind = "files"
path = "disk"
timeout_s = 0.5
interval_s = 0.3
"""
)

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

/* The wall clock, off by as many seconds as a file says. Every other clock is left alone. */
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static volatile const int *offset;
    if (!real) {
        real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
        int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
        offset = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    }
    int result = real(id, now);
    if (id == CLOCK_REALTIME)
        now->tv_sec += *offset;
    return result;
}
"""

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here: apt-get install strace")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is here: apt-get install gcc libc6-dev")


@contextlib.contextmanager
def running(folder: Path, config: str = CONFIG, **env: str) -> Iterator[Daemon]:
    (folder / "site").mkdir()
    (folder / "site/disk").mkdir()
    (folder / "site/disk/whole.md").write_text(post("202503142600000009", "早先的"), encoding="utf-8")
    daemon = Daemon(Shell(folder / "site"), folder, config, **env)
    with contextlib.closing(daemon):
        daemon.hear("READY=1")
        yield daemon


@contextlib.contextmanager
def hanging(daemon: Daemon, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """No call of the daemon's that opens this file returns, until this process ends."""
    command = ["strace", "-f", "-p", str(daemon.process.pid), "-P", path, "-e", "trace=openat",
               "-e", "inject=openat:delay_enter=600000000"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE) as strace:
        assert strace.stderr
        assert b"attached" in strace.stderr.readline()
        yield strace
        strace.terminate()


@needs_strace
def test_a_source_that_hangs_is_named_and_holds_up_no_other(tmp_path: Path) -> None:
    """A file that can be listed, but not opened: as long as strace is attached, the call does not return."""
    with running(tmp_path, TWO_SOURCES) as daemon, contextlib.ExitStack() as stack:
        daemon.until(lambda: daemon.has("早先的"))
        shell = daemon.shell
        disk = stack.enter_context(hanging(daemon, "disk/hangs.md"))
        (shell.folder / "disk/hangs.md").write_text(post(OTHER, "总算来了"), encoding="utf-8")
        daemon.until(lambda: "reading hangs.md hangs" in daemon.log.read_text(), 20)

        def told() -> bool:  # the pass that logged it may still be publishing
            problems = shell.json("status", "--json")["daemon"]["problems"]
            return any("source 网盘: reading hangs.md hangs" in problem for problem in problems)

        daemon.until(told, 20)
        live = shell.json("status", "--json")["daemon"]
        assert live["health"] == "degraded"
        assert live["sources"]["网盘"]["failures"] >= 1
        assert live["sources"]["articles"]["last_error"] is None
        assert "reading hangs.md hangs" in shell("status").stdout
        shell.put("a.md", post(CODE))
        daemon.until(lambda: daemon.has(CODE))
        assert not daemon.has("总算来了")
        assert daemon.has("早先的")
        disk.terminate()  # and it is taken up again by itself
        daemon.until(lambda: daemon.has("总算来了"), 20)
        daemon.until(lambda: shell.json("status", "--json")["daemon"]["health"] == "ok")
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log.read_text()


@needs_cc
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_silences_nothing(tmp_path: Path, hours: int) -> None:
    (tmp_path / "clock.c").write_text(CLOCK)
    library = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, tmp_path / "clock.c", "-ldl"], check=True)
    offset = tmp_path / "offset"
    offset.write_bytes((0).to_bytes(4, "little"))
    config = TWO_SOURCES.replace("interval_s = 0.3", "interval_s = 2")
    # As often as the watchdog wants to hear of it, the clock is looked at.
    env: dict[str, str] = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset), "WATCHDOG_USEC": "600000"}
    with running(tmp_path, config, **env) as daemon:
        daemon.until(lambda: daemon.has("早先的"))
        with offset.open("r+b") as file:
            file.write((hours * 3600).to_bytes(4, "little", signed=True))
        daemon.until(lambda: "clock jumped" in daemon.log.read_text())
        assert f"seconds={hours * 3600}" in daemon.log.read_text()

        def passes() -> int:
            return int(daemon.shell.json("status", "--json")["daemon"]["sources"]["网盘"]["passes"])

        before = passes()
        daemon.until(lambda: passes() >= before + 2, 20)
        daemon.shell.put("a.md", post(CODE))
        daemon.until(lambda: daemon.has(CODE))
        assert daemon.stop() == 0


def test_the_watchdog_is_fed_while_everything_gets_on(tmp_path: Path) -> None:
    with running(tmp_path, WATCHDOG_USEC="300000") as daemon:
        for _ in range(3):
            daemon.told.clear()
            daemon.hear("WATCHDOG=1")
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        while daemon.pending():
            pass
        time.sleep(0.5)
        assert not daemon.pending()  # nothing feeds it for a process that stands still
        daemon.process.send_signal(signal.SIGCONT)
        daemon.told.clear()
        daemon.hear("WATCHDOG=1")


def test_a_hundred_reloads_change_nothing(tmp_path: Path) -> None:
    with running(tmp_path, TWO_SOURCES) as daemon:
        daemon.until(lambda: daemon.has("早先的"))
        threads = Path(f"/proc/{daemon.process.pid}/task")
        for _ in range(100):
            daemon.told.clear()
            daemon.process.send_signal(signal.SIGHUP)
            daemon.hear("Reloaded")
        live = daemon.shell.json("status", "--json")["daemon"]
        assert live["health"] == "ok"
        assert set(live["sources"]) == {"articles", "网盘"}
        assert (
            live["sources"]["articles"]["passes"] <= 4
        )  # an interval of a minute: the start, and the watcher's first word
        assert len(list(threads.iterdir())) < 30
        daemon.shell.put("a.md", post(CODE))
        daemon.until(lambda: daemon.has(CODE))
        assert daemon.stop() == 0
        assert daemon.log.read_text().count(" pass ") == 2


def test_a_refused_reload_shows_in_status(tmp_path: Path) -> None:
    with running(tmp_path) as daemon:
        good = (daemon.shell.folder / "config/feedsync.toml").read_text(encoding="utf-8")
        daemon.shell.configure("[nonsense")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.hear("Reload refused")
        daemon.shell.configure(good)
        assert "the last reload was refused" in daemon.shell("status").stdout
        daemon.process.send_signal(signal.SIGHUP)
        daemon.hear("Reloaded")
        assert daemon.shell.json("status", "--json")["daemon"]["health"] == "ok"


def test_it_stops_while_it_waits_for_another_process(tmp_path: Path) -> None:
    """A long `resync` has the lock: the daemon waits, and yet ends at once when told to."""
    from feedsync.store import Store, exclusive

    with running(tmp_path) as daemon:
        daemon.until(
            lambda: not daemon.shell.json("status", "--json")["daemon"]["sources"]["articles"]["running_since"]
        )
        path = Store.lock_path(daemon.shell.folder / "var/feedsync.db")
        with exclusive(path, timeout_s=10):
            daemon.shell.put("a.md", post(CODE))
            daemon.until(lambda: "waiting for the pass of another process" in daemon.log.read_text())
            assert daemon.stop() == 0
