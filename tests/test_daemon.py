"""The daemon as a process: it watches, serves, reloads and stops."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from feedsync.shares import MANY_FEEDS
from feedsync.store import Store
from tests.conftest import post
from tests.test_cli import CONFIG, Shell

CODE = "202503142600000001"


class Daemon:
    """A running `feedsync run`, with what it told systemd and its log."""

    def __init__(self, shell: Shell, folder: Path, config: str = CONFIG, source: str = "", **env: str) -> None:
        self.shell = shell
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = config.replace('path = "in"\n', f'path = "in"\n{source}')
        shell.configure(config + f"[server]\nport = {self.port}\n")
        self.told: list[str] = []
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(f"\0feedsync-test-{os.getpid()}-{self.port}")
        self._notify.settimeout(20)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "feedsync", "run"],
                cwd=shell.folder,
                stderr=log,
                env=os.environ | env | {"NOTIFY_SOCKET": f"@feedsync-test-{os.getpid()}-{self.port}"},
            )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)

    def hear(self, word: str) -> None:
        """Wait until systemd was told this."""
        while not any(word in told for told in self.told):
            self.told.append(self._notify.recv(4096).decode())

    def pending(self) -> bool:
        """Whether systemd was told something since."""
        try:
            self._notify.settimeout(0)
            self.told.append(self._notify.recv(4096).decode())
        except BlockingIOError:
            return False
        finally:
            self._notify.settimeout(20)
        return True

    def until(self, true: Callable[[], bool], within_s: float = 10) -> float:
        """Seconds until something holds."""
        started = time.monotonic()
        while not true():
            assert time.monotonic() - started < within_s, self.log.read_text()
            while self.pending():  # whoever is not listened to waits, and systemd listens
                pass
            time.sleep(0.005)
        return time.monotonic() - started

    def has(self, text: str, path: str = "/all.atom") -> bool:
        answer = self.http.get(path)
        return answer.status_code == 200 and text in answer.text

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.http.close()
        self._notify.close()


def succeeds(listen: Callable[[], socket.socket]) -> bool:
    try:
        listen().close()
    except OSError:
        return False
    return True


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "site").mkdir()
    daemon = Daemon(Shell(tmp_path / "site"), tmp_path)
    with contextlib.closing(daemon):
        daemon.hear("READY=1")
        yield daemon


def test_a_dropped_file_is_in_its_feeds_within_a_second(daemon: Daemon) -> None:
    for number in range(3):
        code = f"20250314260000000{number}"
        daemon.shell.put(f"{code}.md", post(code, f"标题{number}"))
        assert daemon.until(partial(daemon.has, code)) < 1
        # The files of one pass go into place one after the other.
        daemon.until(partial(daemon.has, code, "/category/emnews.atom"))
        assert daemon.has(f"标题{number}", f"/article/{code}.html")
    # Moved in whole, in a new folder, and edited in place.
    aside = daemon.shell.folder / "aside"
    aside.mkdir()
    (aside / "b.md").write_text(post("202503142600000008", "成批"), encoding="utf-8")
    os.rename(aside, daemon.shell.folder / "in/batch")
    daemon.until(lambda: daemon.has("202503142600000008"))
    daemon.shell.put(f"{CODE}.md", post(CODE, "改过的标题"))
    daemon.until(lambda: daemon.has("改过的标题"))
    assert daemon.stop() == 0
    daemon.hear("STOPPING=1")
    daemon.shell("publish", "--check")


def test_whoever_is_told_ready_finds_feeds(daemon: Daemon) -> None:
    assert daemon.http.get("/all.atom").status_code == 200
    assert daemon.http.get("/").status_code == 200


def test_what_takes_long_to_publish_is_published_after_ready(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    shell = Shell(tmp_path / "site")
    for number in range(MANY_FEEDS):
        shell.put(f"{number}.md", post(f"20250314260000{number:04d}", f"标题{number}", category=f"c{number}"))
    shell.configure(CONFIG)
    shell("resync")
    daemon = Daemon(shell, tmp_path, CONFIG.replace("测试站", "改名站"))
    with contextlib.closing(daemon):
        daemon.hear("READY=1")
        assert daemon.has("站", "/category/c0.atom")  # one or the other, whole
        for number in (0, MANY_FEEDS - 1):
            daemon.until(partial(daemon.has, "改名站", f"/category/c{number}.atom"))
        daemon.until(partial(daemon.has, "改名站", "/index.html"))
        assert daemon.stop() == 0
        shell("publish", "--check")


def test_a_slow_writer_is_waited_for(daemon: Daemon) -> None:
    whole = post(CODE, body="\n第一句。第二句。")
    cut = whole.index("第二句")
    seen: list[str] = []
    with (daemon.shell.folder / "in/slow.md").open("w", encoding="utf-8") as file:
        file.write(whole[:cut])
        file.flush()
        daemon.shell.put("other.md", post("202503142600000002", "别的"))
        daemon.until(lambda: daemon.has("202503142600000002"))
        seen.append(daemon.http.get("/all.atom").text)
        file.write(whole[cut:])
    daemon.until(lambda: daemon.has("第二句"))
    assert CODE not in seen[0]


def test_it_serves_the_tree(daemon: Daemon) -> None:
    daemon.shell.put("a.md", post(CODE))
    daemon.until(lambda: daemon.has(CODE))
    answer = daemon.http.get("/all.atom", headers={"Host": "evil.example"})
    assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"
    assert "evil" not in answer.text
    again = daemon.http.get("/all.atom", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert daemon.http.get("/../feedsync.db").status_code == 404


def test_status_speaks_of_the_running_daemon(daemon: Daemon) -> None:
    daemon.shell.put("a.md", post(CODE))
    daemon.until(lambda: daemon.has(CODE))
    live = daemon.shell.json("status", "--json")["daemon"]
    assert live["pid"] == daemon.process.pid
    assert live["sources"]["articles"]["next_run"]
    second = subprocess.run(
        [sys.executable, "-m", "feedsync", "run"], cwd=daemon.shell.folder, capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 3
    assert f"pid {daemon.process.pid}" in second.stderr


def test_resync_beside_it_is_safe(daemon: Daemon) -> None:
    for number in range(10):
        daemon.shell.put(f"{number}.md", post(f"20250314260000000{number}", f"标题{number}"))
        if number % 3 == 0:
            daemon.shell("resync", "--full")
    daemon.until(lambda: daemon.has("202503142600000009"))
    assert daemon.http.get("/all.atom").text.count("<entry>") == 10
    assert "locked" not in daemon.log.read_text()


def test_it_reloads_good_configurations_and_keeps_running_on_bad_ones(daemon: Daemon) -> None:
    daemon.shell.put("a.md", post(CODE))
    daemon.until(lambda: daemon.has(CODE))
    good = (daemon.shell.folder / "config/feedsync.toml").read_text(encoding="utf-8")
    daemon.shell.configure(good + "[nonsense]\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.hear("Reload refused")
    assert "nonsense: there is no such key" in daemon.log.read_text()
    assert daemon.has(CODE)
    daemon.shell.configure(good.replace("测试站", "新站名"))
    daemon.told.clear()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.hear("READY=1")
    daemon.until(lambda: daemon.has("新站名"))


def test_places_that_change_in_a_reload_wait_for_a_restart(daemon: Daemon) -> None:
    daemon.shell.put("a.md", post(CODE))
    daemon.until(lambda: daemon.has(CODE))
    good = (daemon.shell.folder / "config/feedsync.toml").read_text(encoding="utf-8")
    moved = good.replace("测试站", "新站名").replace(f"port = {daemon.port}", "port = 1")
    daemon.shell.configure(moved + '[store]\nurl = "sqlite:///var/else.db"\n[output]\npath = "var/elsewhere"\n')
    daemon.told.clear()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.hear("READY=1")
    daemon.until(lambda: daemon.has("新站名"))
    assert daemon.http.get("/search.atom", params={"q": "正文"}).status_code == 200
    told = daemon.log.read_text()
    assert [
        told.count(f'needs a restart table="{table}"') for table in ("server.host, server.port", "store", "output")
    ] == [1, 1, 1]
    daemon.shell.configure(good)
    daemon.told.clear()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.hear("READY=1")
    daemon.until(lambda: daemon.has("测试站"))
    assert daemon.log.read_text().count("needs a restart") == 3, "going back needs none"


def test_a_folder_that_goes_and_comes_is_seen(daemon: Daemon) -> None:
    daemon.shell.put("a.md", post(CODE))
    daemon.until(lambda: daemon.has(CODE))
    shutil.rmtree(daemon.shell.folder / "in")
    time.sleep(0.1)  # nothing to wait for: the loss is told at the next scan, not before
    (daemon.shell.folder / "in").mkdir()
    deadline = time.monotonic() + 10
    while not daemon.has("202503142600000002") and time.monotonic() < deadline:
        daemon.shell.put("b.md", post("202503142600000002", "回来了"))
        time.sleep(0.2)
    assert daemon.has("202503142600000002")
    assert daemon.has(CODE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_in_the_middle_of_a_pass(daemon: Daemon, number: int) -> None:
    def pour() -> None:
        for n in range(300):
            daemon.shell.put(f"{n}.md", post(f"2025031426000{n:05d}", f"标题{n}"))

    pouring = threading.Thread(target=pour)
    pouring.start()
    daemon.until(lambda: daemon.has("<entry>"))
    assert daemon.stop(number) == 0
    pouring.join()
    assert "Traceback" not in daemon.log.read_text()
    daemon.shell("resync")
    daemon.shell("publish", "--check")
    assert daemon.shell.json("status", "--json")["counts"]["articles"] == 300


def test_whoever_connected_before_the_end_is_answered(daemon: Daemon) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port))) for _ in range(20)]
        assert daemon.http.get("/all.atom").status_code == 200  # they were let in before this
        daemon.process.send_signal(signal.SIGTERM)
        daemon.hear("STOPPING=1")
        time.sleep(0.5)  # nothing to wait for: nobody is told that the server is about to end
        for connection in connections:
            connection.sendall(b"GET /all.atom HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [connection.recv(15) for connection in connections] == [b"HTTP/1.1 200 OK"] * 20
    assert daemon.process.wait(20) == 0


def test_a_killed_daemon_leaves_everything_to_go_on_with(daemon: Daemon) -> None:
    daemon.shell.put("a.md", post(CODE))
    daemon.until(lambda: daemon.has(CODE))
    daemon.stop(signal.SIGKILL)
    listen_again = partial(socket.create_server, ("127.0.0.1", daemon.port))
    daemon.until(lambda: succeeds(listen_again))  # the serving process does not outlive it
    daemon.shell.put("b.md", post("202503142600000002", "后来的"))
    daemon.shell("resync")
    daemon.shell("publish", "--check")
    assert not list((daemon.shell.folder / "var/public").rglob("*.tmp"))


def test_a_taken_port_is_a_clear_error(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    other = Shell(tmp_path / "second")
    other.configure(CONFIG + f"[server]\nport = {daemon.port}\n")
    assert f"cannot listen on 127.0.0.1 port {daemon.port}" in other("run", code=3).stderr


def test_what_a_killed_process_was_writing_is_swept_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    shell = Shell(tmp_path / "site")
    shell.configure(CONFIG)
    shell.put("a.md", post(CODE))
    shell("resync")
    with subprocess.Popen(["true"]) as gone:
        pass
    left, written = (tmp_path / f"site/var/public/.all.atom.{pid}.tmp" for pid in (gone.pid, os.getpid()))
    for path in (left, written):
        path.touch()
    with (
        contextlib.closing(Store.open(f"sqlite:///{tmp_path}/site/var/feedsync.db")) as store,
        store.writing() as writer,
    ):
        writer.mark_all()  # as it is while they are written
    with contextlib.closing(Daemon(shell, tmp_path)) as daemon:
        daemon.hear("READY=1")
        assert (left.exists(), written.exists()) == (False, True)


def test_a_full_pass_sweeps(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.configure(CONFIG)
    shell.put("a.md", post(CODE))
    shell("resync")
    with subprocess.Popen(["true"]) as gone:
        pass
    left = tmp_path / f"var/public/category/.emnews.atom.{gone.pid}.tmp"
    left.touch()
    shell("resync", "--full")
    assert not left.exists()
