"""Faults of the machine: each gives one clear error with a remedy, loses nothing, and is over when its cause is."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import post
from tests.crash.harness import Forge
from tests.test_care import QuickShell, forge, levels, shell, tree
from tests.test_cli import CODE, CONFIG, Shell
from tests.test_daemon import Daemon

__all__ = ["forge", "shell"]

SECOND = "202503142600000002"
root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 1024)
    return filler


def fails(shell: Shell, *arguments: str) -> str:
    """The one error a command ends with, which says what to do."""
    said = shell(*arguments, code=3).stderr.strip().splitlines()
    errors = [line for line in said if line.startswith("feedsync: ")]
    assert len(errors) == 1, said
    assert errors[0].endswith(")")
    return errors[0]


def recovers(shell: Shell, articles: int) -> None:
    shell("resync")
    shell("publish", "--check")
    assert shell.json("status", "--json")["counts"]["articles"] == articles
    assert not list((shell.folder / "var").rglob("*.tmp"))


@root
def test_a_full_disk_under_the_database(shell: Shell) -> None:
    with mounted(shell.folder / "var", "size=1m"):
        shell.put("a.md", post(CODE))
        shell("resync")
        before = tree(shell)
        filler = fill(shell.folder / "var")
        shell.put("b.md", post(SECOND, "第二篇", body="<p>正文。</p>" * 500))
        for _ in range(2):
            assert "free disk space" in fails(shell, "resync")
        assert tree(shell) == before
        assert "0 bytes free" in levels(shell, 3)["space"][0]
        filler.unlink()
        recovers(shell, 2)


@root
def test_a_full_disk_under_the_tree(shell: Shell) -> None:
    with mounted(shell.folder / "var/public", "size=200k"):
        shell.put("a.md", post(CODE))
        shell("resync")
        before = tree(shell)
        filler = fill(shell.folder / "var/public")
        shell.put("b.md", post(SECOND, "第二篇"))
        error = fails(shell, "resync")
        assert "public" in error
        assert "disk space" in error
        assert shell.json("status", "--json")["counts"]["articles"] == 2
        assert {name: content for name, content in tree(shell).items() if name != "filler"} == before
        filler.unlink()
        recovers(shell, 2)


@root
@pytest.mark.parametrize("place", ["var", "var/public"])
def test_no_inode_is_left(shell: Shell, place: str) -> None:
    with mounted(shell.folder / place, "size=4m,nr_inodes=120"):
        shell.put("a.md", post(CODE))
        shell("resync")
        before = tree(shell)
        fillers = []
        with contextlib.suppress(OSError):
            for number in range(120):
                fillers.append(shell.folder / place / f"filler-{number}")
                fillers[-1].touch()
        shell.put("b.md", post(SECOND, "第二篇"))
        assert "inodes" in fails(shell, "resync") or place == "var/public"
        assert {name: content for name, content in tree(shell).items() if "filler" not in name} == before
        for filler in fillers:
            filler.unlink(missing_ok=True)
        recovers(shell, 2)


@root
@pytest.mark.parametrize("place", ["var", "var/public"])
def test_a_disk_gone_read_only(shell: Shell, place: str) -> None:
    with mounted(shell.folder / place, "size=2m"):
        shell.put("a.md", post(CODE))
        shell("resync")
        before = tree(shell)
        shell.put("b.md", post(SECOND, "第二篇"))
        remount(shell.folder / place, "ro")
        fails(shell, "resync")
        assert "read-only" in " ".join(levels(shell, 1)["space"])
        assert shell.json("status", "--json")["counts"]["articles"] == (1 if place == "var" else 2)
        assert tree(shell) == before
        remount(shell.folder / place, "rw")
        recovers(shell, 2)


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is not here")
@pytest.mark.parametrize("limit", [4, 6, 8, 10, 12, 14, 20])
def test_too_few_files_may_be_open(shell: Shell, limit: int) -> None:
    for number in range(3):
        shell.put(f"{number}.md", post(f"20250314260000000{number}", f"标题{number}"))
    command = ["prlimit", f"--nofile={limit}", sys.executable, "-m", "feedsync", "resync"]
    done = subprocess.run(command, cwd=shell.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1, 2, 3) or "Too many open files" in done.stderr
    if done.returncode == 3:
        assert "Traceback" not in done.stderr
    recovers(shell, 3)


def test_the_tree_is_removed_or_replaced_under_a_daemon(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    shell = Shell(tmp_path / "site")
    with contextlib.closing(Daemon(shell, tmp_path, source="interval_s = 0.2\n")) as daemon:
        daemon.hear("READY=1")
        shell.put("a.md", post(CODE))
        public = shell.folder / "var/public"
        index = public / "index.html"
        daemon.until(lambda: index.exists() and CODE in index.read_text() and not [*public.rglob(".*.tmp")])
        public.rename(shell.folder / "var/removed")  # at once: a pass may be at work in it
        shutil.rmtree(shell.folder / "var/removed")
        daemon.until(lambda: daemon.has(CODE) and (public / "index.html").exists())
        public.rename(shell.folder / "var/old")
        public.write_text("in the way")
        shell.put("b.md", post(SECOND, "第二篇"))
        daemon.until(lambda: "pass failed" in daemon.log.read_text())
        public.unlink()
        daemon.until(lambda: daemon.has(SECOND))
        assert daemon.log.read_text().count("pass failed") <= 2
        daemon.stop()
    shell("publish", "--check")


def test_a_stopped_daemon_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    shell = Shell(tmp_path / "site")
    with contextlib.closing(Daemon(shell, tmp_path)) as daemon:
        daemon.hear("READY=1")
        daemon.process.send_signal(signal.SIGSTOP)
        for number in range(20):
            shell.put(f"{number}.md", post(f"2025031426000000{number:02d}", f"标题{number}"))
        time.sleep(1.5)  # longer than the watcher waits for anything
        daemon.process.send_signal(signal.SIGCONT)
        daemon.until(lambda: daemon.http.get("/all.atom").text.count("<entry>") == 20)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log.read_text()
    shell("publish", "--check")


def children(pid: int) -> set[int]:
    with contextlib.suppress(OSError):
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return set()


@pytest.mark.skipif(
    not Path("/proc/self/task").exists() or (os.cpu_count() or 1) < 2, reason="no worker processes here"
)
def test_the_workers_of_a_killed_pass_end(shell: Shell) -> None:
    for number in range(2000):
        shell.put(f"{number}.md", post(f"20250314{number:010d}", f"标题{number}"))
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsync", "resync"], cwd=shell.folder, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while size_of(shell.folder / "var/feedsync.db-wal") < 500_000:  # by then a worker has worked
        assert time.monotonic() < deadline
        assert process.poll() is None
    workers = children(process.pid)
    process.kill()
    process.wait()
    while any(Path(f"/proc/{worker}/exe").exists() for worker in workers):
        assert time.monotonic() < deadline, workers
        time.sleep(0.02)
    assert workers
    recovers(shell, 2000)


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def run_in(shell: Shell, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`feedsync` is the command, in a shell line, with nothing in the environment but this."""
    line = line.replace("feedsync ", f'"{sys.executable}" -m feedsync ')
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent.parent)} | env
    return subprocess.run(
        ["sh", "-c", line], cwd=shell.folder, env=environment, capture_output=True, text=True, timeout=60
    )


ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("env", [{}, {"LANG": "C"}, ASCII_ONLY, {"TZ": "Nowhere/Land"}, {"TZ": "America/St_Johns"}])
def test_an_odd_environment(shell: Shell, env: dict[str, str]) -> None:
    shell.put("文章.md", post(CODE, "中文标题"))
    for line, expected in (
        ("feedsync resync", "1 new"),
        ("feedsync show " + CODE, CODE),
        ("feedsync check-config", "category emnews"),
        ("feedsync doctor", "is what the store holds"),
        ("feedsync show --json " + CODE, '"documents"'),
    ):
        done = run_in(shell, line, **env)
        assert done.returncode == 0, done
        assert expected in done.stdout
        assert "Traceback" not in done.stderr
    assert "中文标题" in (shell.folder / "var/public/all.atom").read_text(encoding="utf-8")
    assert "2025-03-14T02:00:00Z" in (shell.folder / "var/public/all.atom").read_text(encoding="utf-8")


def test_a_folder_no_locale_can_name(shell: Shell) -> None:
    (shell.folder / "文章").mkdir()
    (shell.folder / "文章/a.md").write_text(post(CODE), encoding="utf-8")
    shell.configure(CONFIG.replace('path = "in"', 'path = "文章"'))
    assert run_in(shell, "feedsync resync", LANG="C").returncode == 0
    done = run_in(shell, "feedsync resync", **ASCII_ONLY)
    assert done.returncode == 0 or "PYTHONUTF8" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", "| true"])
def test_closed_full_and_broken_streams(shell: Shell, streams: str) -> None:
    shell.put("a.md", post(CODE))
    (shell.folder / "in/bad.md").touch()
    done = run_in(shell, f"feedsync resync --json {streams}")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == (3 if streams == ">/dev/full" else 0 if "|" in streams else 1), done
    if streams == ">/dev/full":
        assert "cannot be written" in done.stderr
    shell("publish", "--check")
    assert run_in(shell, f"feedsync status --json {streams}").returncode in (0, 3)


def test_the_current_folder_is_gone(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    done = run_in(
        shell, f"mkdir gone; cd gone; rmdir ../gone; feedsync --config {shell.folder}/config/feedsync.toml resync"
    )
    assert done.returncode in (1, 2, 3)
    assert done.stderr.strip().splitlines()[-1].startswith("feedsync: ")
    assert "Traceback" not in done.stderr


def test_a_private_umask_keeps_no_reader_out(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    assert run_in(shell, "umask 077; feedsync resync").returncode == 0
    public = shell.folder / "var/public"
    for path in [public, *public.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_may_not_be_written_is_named(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    shell("resync")
    shell.put("b.md", post(SECOND, "第二篇"))
    become = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    if run_in(shell, f"{become} feedsync check-config").returncode:
        pytest.skip("the interpreter or the scratch folder is not open to others")
    done = run_in(shell, "setpriv --reuid=65534 --regid=65534 --clear-groups feedsync resync")
    assert done.returncode == 3
    assert "feedsync.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_quick_shell_is_a_shell(tmp_path: Path) -> None:
    """The scaffolding itself: a command through a fork server is the command."""
    with Forge() as own:
        for name in "xy":
            (tmp_path / name).mkdir()
        quick, slow = QuickShell(tmp_path / "x", own), Shell(tmp_path / "y")
        for shell in (quick, slow):
            shell.put("a.md", post(CODE))
        reports = [shell.json("resync", "--json") | {"seconds": 0} for shell in (quick, slow)]
        assert reports[0] == reports[1]
        assert tree(quick) == tree(slow)


def test_a_part_that_cannot_be_loaded_is_one_clear_error_and_no_loss(tmp_path: Path) -> None:
    """What draws is imported when something is drawn, and then too many files may be open, or the disk be broken."""
    shell = Shell(tmp_path)
    broken = tmp_path / "broken" / "jinja2"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('too many open files')", encoding="utf-8")
    shell.put("a.md", post(CODE))
    said = shell("resync", code=3, PYTHONPATH=str(broken.parent)).stderr
    assert "too many open files (let more files be open" in said
    shell("resync")
    shell("publish", "--check")
