"""The units, and what systemd and the daemon say to each other, as far as it shows without a running systemd.

`make systemd` (tests/systemd) tries the same in a real one.
"""

import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.test_cli import CONFIG, Shell

UNITS = sorted(path.name for path in (ROOT / "systemd").glob("feedsync*"))

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not here: install systemd to have the units checked",
)


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as `make install` places them, with a program that exists."""
    folder = tmp_path_factory.mktemp("units")
    (folder / "bin").mkdir()
    (folder / "bin/feedsync").symlink_to(sys.executable)
    for name in UNITS:
        text = (ROOT / "systemd" / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("/opt/feedsync", str(folder)), encoding="utf-8")
    return folder


@needs_analyze
def test_systemd_finds_no_fault_in_the_units(units: Path) -> None:
    names = [name.replace("@.", "@articles.") for name in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", *names],
        cwd=units, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (units / "wrong.service").write_text("[Service]\nExecStart=/bin/true\nNoSuchKey=yes\n")
    wrong = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", "./wrong.service"],
        cwd=units, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "NoSuchKey" in wrong.stderr


@needs_analyze
@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_the_sandbox_is_tight(units: Path, name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", f"./{name}"],
        cwd=units, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_both_services_live_in_the_same_sandbox() -> None:
    daemon, once = (
        (ROOT / "systemd" / name).read_text(encoding="utf-8").split("# --- The sandbox.")[1].split("\n[Install]")[0]
        for name in ("feedsync.service", "feedsync-resync@.service")
    )
    assert daemon.strip() == once.strip()
    shared = {"User", "Group", "StateDirectory", "StateDirectoryMode", "WorkingDirectory", "UMask", "MemoryMax"}
    settings = []
    for name in ("feedsync.service", "feedsync-resync@.service"):
        parser = configparser.RawConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(ROOT / "systemd" / name, encoding="utf-8")
        settings.append({key: parser["Service"][key] for key in shared})
    assert settings[0] == settings[1]


@pytest.mark.parametrize("name", ["feedsync.service", "feedsync-resync@.service"])
def test_every_directive_of_a_service_has_its_reason(name: str) -> None:
    """A comment stands above each paragraph of directives."""
    lines = (
        (ROOT / "systemd" / name).read_text(encoding="utf-8").split("[Service]\n")[1].split("[Install]")[0].splitlines()
    )
    unexplained = []
    explained = False
    for line in lines:
        if line.startswith("#"):
            explained = True
        elif not line:
            explained = False
        elif not explained and not line.startswith(("Type=oneshot", "ExecStart=")):
            unexplained.append(line)
    assert not unexplained


class Told:
    """A socket in systemd's place, for what is told it."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0feedsync-systemd-{os.getpid()}")
        self.socket.settimeout(20)
        self.address = f"@feedsync-systemd-{os.getpid()}"

    def until(self, word: str) -> str:
        while word not in (told := self.socket.recv(4096).decode()):
            pass
        return told


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    yield told
    told.socket.close()


@contextmanager
def activated(
    shell: Shell, listener: socket.socket, told: Told, *, pid: str = "$$"
) -> Iterator[subprocess.Popen[bytes]]:
    """`feedsync run` with a socket handed down as systemd does it."""
    script = (
        f'exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_FDNAMES=http LISTEN_PID={pid}; exec "$0" -m feedsync run'
    )
    process = subprocess.Popen(
        ["/bin/sh", "-c", script, sys.executable],
        cwd=shell.folder,
        stdin=listener.fileno(),
        stderr=subprocess.PIPE,
        env=os.environ | {"NOTIFY_SOCKET": told.address},
    )
    with process:
        yield process
        process.kill()


def stop(process: subprocess.Popen[bytes]) -> bytes:
    """The log of a daemon that was told to end, and did."""
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    return log


def test_it_serves_on_the_sockets_systemd_holds(tmp_path: Path, told: Told) -> None:
    shell = Shell(tmp_path)
    shell.configure(CONFIG + "[server]\nport = 1\n")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for _ in range(2):
            # The first request of each turn comes before the daemon: the socket keeps it.
            with socket.create_connection(listener.getsockname()) as early:
                early.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                with activated(shell, listener, told) as process:
                    assert address in told.until("READY=1")
                    assert early.recv(9) == b"HTTP/1.1 "
                    with httpx.Client(trust_env=False) as client:
                        assert client.get(address).status_code == 200
                    assert b"[server] is not used" in stop(process)


def test_sockets_meant_for_another_process_are_left_alone(tmp_path: Path, told: Told) -> None:
    shell = Shell(tmp_path)
    shell.configure(CONFIG + "[server]\nport = 0\n")
    with socket.create_server(("127.0.0.1", 0)) as listener, activated(shell, listener, told, pid="1") as process:
        assert f":{listener.getsockname()[1]}/" not in told.until("READY=1")
        stop(process)


def test_a_socket_of_the_wrong_kind_is_a_clear_error(tmp_path: Path, told: Told) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        with activated(Shell(tmp_path), datagrams, told) as process:
            _, log = process.communicate(timeout=20)
    assert process.returncode == 3
    assert b"does not listen for streams (let feedsync.socket have ListenStream= alone" in log
    assert b"Traceback" not in log


def test_an_installation_needs_only_what_runs() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "systemd/pinned.py", ROOT / "requirements.lock", "feedsync", "hatchling"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    pins = {line.partition("==")[0] for line in done.stdout.splitlines() if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[\[<>=,]", name)[0].lower() for name in project["dependencies"]}
    assert needed <= pins, "make lock"
    assert {"hatchling", "anyio"} <= pins  # what builds it; what something else needs
    assert not pins & {"pytest", "mypy", "ruff", "hypothesis", "coverage"}
    assert done.stdout.count("--hash=") > len(pins)
