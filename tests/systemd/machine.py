"""A Debian machine with a real systemd: systemd-nspawn over this machine's /usr, with everything else empty and gone
afterwards. No network but its own loopback."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUILD = ROOT / "build/systemd"
PYTHON = "/usr/bin/python3"
CGROUPS = [path for path in map(Path, ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"))
           if (path / "cgroup.procs").exists()]  # fmt: skip


def missing() -> str | None:
    """What keeps this suite from running here."""
    if os.geteuid() != 0:
        return "it needs root"
    for program, package in (("systemd-nspawn", "systemd-container"), ("nsenter", "util-linux"), ("make", "make")):
        if shutil.which(program) is None:
            return f"{program} is not here: apt-get install {package}"
    if subprocess.run([PYTHON, "-c", "import ensurepip"], capture_output=True, check=False).returncode:
        return f"{PYTHON} cannot make virtual environments: apt-get install python3-venv"
    return None


def packages() -> Path:
    """The packages an installation takes from an index, fetched beforehand: the machine has no network."""
    lock = (ROOT / "requirements.lock").read_bytes()
    folder = BUILD / f"packages-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not folder.exists():
        partial = folder.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        pins = partial / "pinned.txt"
        pin = [
            sys.executable,
            str(ROOT / "systemd/pinned.py"),
            str(ROOT / "requirements.lock"),
            "feedsync",
            "hatchling",
        ]
        pins.write_bytes(subprocess.run(pin, check=True, capture_output=True).stdout)
        subprocess.run([PYTHON, "-m", "venv", partial / "venv"], check=True)
        pip = [str(partial / "venv/bin/pip"), "download", "-qq", "--no-deps", "--require-hashes", "-r", str(pins)]
        subprocess.run([*pip, "-d", str(partial)], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(partial / "venv")
        partial.rename(folder)
    return folder


class Machine:
    """A machine that runs; use `booted`."""

    CHECKOUT = "/srv/checkout"
    PACKAGES = "/srv/packages"

    def __init__(self, leader: int) -> None:
        self.leader = leader

    def run(self, *command: str, code: int | None = 0, text: str | None = None) -> str:
        """The output of a command on the machine, standard error included."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", "--", *command],
            cwd="/", env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"},
            input=text, stdin=subprocess.DEVNULL if text is None else None,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{command}: exit code {done.returncode}\n{done.stdout}"
        return done.stdout

    def make(self, target: str) -> str:
        offline = ("PIP_NO_INDEX=1", f"PIP_FIND_LINKS={self.PACKAGES}", "PIP_DISABLE_PIP_VERSION_CHECK=1")
        return self.run("env", *offline, "make", "-C", self.CHECKOUT, target)

    def show(self, *properties: str, unit: str = "feedsync.service") -> dict[str, str]:
        """What systemd knows of a unit."""
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, unit: str = "feedsync.service") -> str:
        return self.run("journalctl", "--sync", code=None) + self.run(
            "journalctl", "-u", unit, "--no-pager", "-o", "cat"
        )

    def write(self, path: str, content: str, owner: str = "root:root", mode: str = "644") -> None:
        """A file, whole at once, as its writer leaves it."""
        partial = f"{path}.part"
        self.run("sh", "-c", f'mkdir -p "$(dirname "$1")" && cat > "$2" && chown {owner} "$2" && chmod {mode} "$2" '
                 '&& mv "$2" "$1"', "sh", path, partial, text=content)  # fmt: skip

    def fetch(self, path: str = "/all.atom") -> str:
        return self.run("curl", "-sS", "-m", "20", f"http://127.0.0.1:8080{path}")

    def until(self, true: Callable[[], object], within_s: float = 30) -> None:
        started = time.monotonic()
        while not true():
            assert time.monotonic() - started < within_s, self.journal()[-6000:]
            time.sleep(0.05)


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """A machine with this checkout in it. Everything it started has ended afterwards."""
    checkout = folder / "checkout"
    checkout.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    subprocess.run(["cp", "--parents", "-t", checkout, *filter(None, listed.split("\0"))], cwd=ROOT, check=True)
    log = (folder / "console").open("wb")
    groups = [path / f"feedsync-test-{os.getpid()}" for path in CGROUPS]
    for group in groups:
        group.mkdir()
    join = "".join(f"echo $$ > {group}/cgroup.procs; " for group in groups)
    command = [
        "systemd-nspawn", "--directory=/", "--volatile=yes", "--register=no", "--keep-unit", "--boot",
        f"--machine=feedsync-test-{os.getpid()}", "--private-network", "--console=pipe",
        f"--bind={checkout}:{Machine.CHECKOUT}", f"--bind-ro={packages()}:{Machine.PACKAGES}",
        "--tmpfs=/usr/local:mode=0755", "systemd.firstboot=off", "systemd.condition-first-boot=off",
    ]  # fmt: skip
    nspawn = subprocess.Popen(
        ["/bin/sh", "-c", join + 'exec "$@"', "sh", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    leader = 0
    try:
        leader = _wait_for_leader(nspawn, folder / "console")
        yield Machine(leader)
    finally:
        if leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGRTMIN + 4)  # power off
        else:
            nspawn.terminate()
        try:
            nspawn.wait(60)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()
        log.close()
        for group in groups:
            for path, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)


def _wait_for_leader(nspawn: subprocess.Popen[bytes], console: Path) -> int:
    """The machine's first process, once its systemd is up."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert nspawn.poll() is None, f"the machine did not boot:\n{console.read_text(errors='replace')}"
        found = subprocess.run(["pgrep", "-P", str(nspawn.pid)], capture_output=True, text=True, check=False).stdout
        for pid in map(int, found.split()):
            state = subprocess.run(
                ["nsenter", "-t", str(pid), "-a", "systemctl", "is-system-running"],
                cwd="/", capture_output=True, text=True, check=False,
            ).stdout.strip()  # fmt: skip
            if state in ("running", "degraded"):
                return pid
        time.sleep(0.1)
    raise AssertionError(f"the machine did not come up:\n{console.read_text(errors='replace')}")
