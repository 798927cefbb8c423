"""Three ways to kill: before every call by which Python changes a file, before every system call, at random times."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from tests.conftest import ROOT
from tests.crash import mutations
from tests.crash.site import Site, Subscriber

CALLS = ("pwrite64", "write", "fsync", "fdatasync", "syncfs", "rename", "unlink", "ftruncate", "mkdir", "utimensat")
RESYNC = ["resync", "--json"]
PASSES_PER_SITE = 20
STATES = ((4, 3), (0, 3), (0, 0))
"""How many articles were published and how many are new when a pass is killed: a later one, a first one, an empty one."""


def environment(mutation: str = "") -> dict[str, str]:
    return os.environ | {
        mutations.VARIABLE: mutation,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }


class Forge:
    """Starts feedsync processes without the cost of importing it each time."""

    def __init__(self, mutation: str = "") -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.child"],
            cwd=ROOT,
            env=environment(mutation),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._to, self._from = cast("IO[str]", self._server.stdin), cast("IO[str]", self._server.stdout)

    def __enter__(self) -> Forge:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._to.close()
        self._from.close()
        self._server.wait()

    def start(self, folder: Path, argv: list[str], *, at: int = 0, traced: bool = False, name: str = "out") -> int:
        """The pid of a new process; with `at`, it is killed before its at-th change. It waits for its tracer."""
        out, err = str(folder / name), str(folder / f"{name}.err")
        return self._ask(
            {"argv": argv, "cwd": str(folder), "out": out, "err": err, "at": at, "traced": traced},
        )

    def wait(self, pid: int) -> int:
        return self._ask({"wait": pid})

    def run(self, site: Site, *, at: int = 0) -> int:
        """A whole pass, unless it is killed before its at-th change; its exit code."""
        present = set(site.present)
        code = self.wait(self.start(site.folder, RESYNC, at=at))
        site.acknowledge(present)
        _expect(site, code)
        return code

    def speak(self, site: Site, word: str, code: str, *, at: int = 0) -> int:
        """Withdraw or restore an article; the exit code."""
        site.words[code] = None
        ended = self.wait(self.start(site.folder, [word, code], at=at))
        _expect(site, ended)
        if ended == 0:
            site.words[code] = word == "withdraw"
        return ended

    def recover(self, site: Site) -> None:
        """One pass without anything new, and all that must hold after it."""
        site.check_store()
        if self.run(site) == 0:
            site.check_recovered()

    def _ask(self, order: dict[str, object]) -> int:
        self._to.write(json.dumps(order) + "\n")
        self._to.flush()
        return int(self._from.readline())


def _expect(site: Site, code: int, name: str = "out") -> None:
    """A process ends well or because it was killed, and shows nobody a locked database."""
    said = (site.folder / f"{name}.err").read_text(encoding="utf-8")
    if code not in (0, -signal.SIGKILL):
        site.problems.append(f"it ended by itself with {code}: {_end(said)}")
    if "locked" in said or "Traceback" in said:
        site.problems.append(f"it said: {_end(said)}")


def _end(said: str) -> str:
    return said.strip().rpartition("\n")[2][-300:]


@contextmanager
def _told(site: Site, found: list[str], where: str) -> Iterator[None]:
    """Collect the problems of a site with the place by which they can be had again."""
    yield
    found += [f"{where}: {problem}" for problem in dict.fromkeys(site.problems)]
    site.problems.clear()


def at_every_change(
    folder: Path,
    seed: int,
    mutation: str = "",
    *,
    step: int = 1,
    enough: int = 0,
    states: Iterable[tuple[int, int]] = STATES,
) -> list[str]:
    """Kill a pass before every step-th call by which Python changes a file, in each of the states.

    Stops early when `enough` problems are found (0: never).
    """
    problems: list[str] = []
    with Forge(mutation) as forge:
        for start, new in states:
            at = 1
            while True:
                site = Site(folder / f"change-{start}-{new}-{at}", seed)
                if start:
                    site.arrive(start)
                    forge.run(site)
                site.arrive(new)
                with _told(site, problems, f"before change {at} of a pass, {new} new beside {start} (seed {seed})"):
                    site.look()
                    code = forge.run(site, at=at)
                    site.look()
                    forge.recover(site)
                shutil.rmtree(site.folder)
                if code == 0 or 0 < enough <= len(problems):
                    break
                at += step
            if 0 < enough <= len(problems):
                break
    return problems


def at_every_change_of_a_word(folder: Path, seed: int, *, step: int = 1) -> list[str]:
    """Kill the withdrawal of an article, and its return, before every step-th call by which Python changes a file."""
    problems: list[str] = []
    with Forge() as forge:
        template = Site(folder / "template", seed)
        template.arrive(4)
        forge.run(template)
        code = min(template.present)
        for word in ("withdraw", "restore"):
            at, ended = 1, -1
            while ended:
                site = _copied(template, folder / f"{word}-{at}")
                with _told(site, problems, f"before change {at} of {word} (seed {seed})"):
                    site.look()
                    ended = forge.speak(site, word, code, at=at)
                    site.look()
                    forge.recover(site)
                    forge.speak(site, word, code)
                    site.check_recovered()
                shutil.rmtree(site.folder)
                at += step
            forge.speak(template, word, code)
            problems += template.problems
    return problems


def at_every_call(
    folder: Path, seed: int, mutation: str = "", *, step: int = 1, states: Iterable[tuple[int, int]] = STATES
) -> tuple[int, list[str]]:
    """Kill a pass before every step-th system call that writes; how many points there were, and the problems."""
    problems: list[str] = []
    points = 0
    with Forge(mutation) as forge:
        for start, new in states:
            template = Site(folder / f"template-{start}-{new}", seed)
            if start:
                template.arrive(start)
                forge.run(template)
            template.arrive(new)
            for name, count in _counted(forge, template, folder / "counted").items():
                for when in range(1, count + 1, step):
                    points += 1
                    site = _copied(template, folder / f"call-{start}-{new}-{name}-{when}")
                    with _told(
                        site, problems, f"before {name} {when} of a pass, {new} new beside {start} (seed {seed})"
                    ):
                        present = set(site.present)
                        site.look()
                        inject = ["-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={when}"]
                        _expect(site, _strace(forge, site, [*inject, "-o", os.devnull]))
                        site.acknowledge(present)
                        site.look()
                        forge.recover(site)
                    shutil.rmtree(site.folder)
    return points, problems


FAILURES = (
    ("fdatasync", "EIO"),
    ("fsync", "EIO"),
    ("syncfs", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("pwrite64", "EIO"),
    ("write", "ENOSPC"),
    ("rename", "EIO"),
    ("mkdir", "ENOSPC"),
    ("ftruncate", "EIO"),
    ("openat", "EMFILE"),
    ("openat", "EIO"),
)
"""Calls, and how the machine may refuse them."""


def at_every_failure(
    folder: Path,
    seed: int,
    failures: tuple[tuple[str, str], ...] = FAILURES,
    *,
    step: int = 1,
) -> tuple[int, list[str]]:
    """Let every step-th call fail once: how many did, and the problems. A pass may end in an error, never in a loss."""
    problems: list[str] = []
    points = 0
    with Forge() as forge:
        template = Site(folder / "template", seed)
        template.arrive(4)
        forge.run(template)
        template.arrive()
        counts = _counted(forge, template, folder / "counted", tuple({name for name, _ in failures}))
        for name, errno in failures:
            for when in range(2 if name == "openat" else 1, counts[name] + 1, step):  # its first looks for the tracer
                points += 1
                site = _copied(template, folder / f"failure-{name}-{errno}-{when}")
                with _told(site, problems, f"{name} {when} fails with {errno} (seed {seed})"):
                    present = set(site.present)
                    inject = ["-e", f"trace={name}", "-e", f"inject={name}:error={errno}:when={when}"]
                    code = _strace(forge, site, [*inject, "-o", os.devnull])
                    said = (site.folder / "out.err").read_text(encoding="utf-8")
                    if code not in (0, 1, 2, 3) or "Traceback" in said:
                        site.problems.append(f"it ended with {code}: {_end(said)}")
                    if code > 1 and not re.search(r"^feedsync: .+ \(.+\)$", said, re.MULTILINE):
                        site.problems.append(f"it failed without a remedy: {_end(said)}")
                    site.acknowledge(present if code in (0, 3) else set())
                    site.look()
                    forge.recover(site)
                shutil.rmtree(site.folder)
    return points, problems


def _strace(forge: Forge, site: Site, options: list[str]) -> int:
    """A pass under strace with these options; its exit code."""
    pid = forge.start(site.folder, RESYNC, traced=True)
    subprocess.run(["strace", "-f", "-qq", "-p", str(pid), *options], check=True, stderr=subprocess.DEVNULL)
    return forge.wait(pid)


def _counted(forge: Forge, template: Site, folder: Path, calls: tuple[str, ...] = CALLS) -> dict[str, int]:
    """How often a pass makes each call."""
    site = _copied(template, folder)
    log = site.folder / "trace"
    code = _strace(forge, site, ["-e", "trace=" + ",".join(calls), "-o", str(log)])
    if code:
        raise RuntimeError((site.folder / "out.err").read_text(encoding="utf-8"))
    lines = log.read_text(encoding="utf-8", errors="replace")
    shutil.rmtree(folder)
    return {name: len(re.findall(rf"^\d+ +{name}\(", lines, re.MULTILINE)) for name in calls}


def _copied(template: Site, folder: Path) -> Site:
    shutil.rmtree(folder, ignore_errors=True)
    copy = Site(folder, 0)
    shutil.rmtree(folder)
    shutil.copytree(template.folder, folder, symlinks=True)
    copy.present, copy.acknowledged = dict(template.present), set(template.acknowledged)
    copy.words = dict(template.words)
    return copy


def at_random(folder: Path, seed: int, runs: int, mutation: str = "", *, enough: int = 0) -> tuple[int, list[str]]:
    """Kill a pass at a random time, so many times, while a subscriber reads; how often it read, and the problems.

    A site lives for some passes, each with articles that came; run `n` is the same with the same seed.
    """
    problems: list[str] = []
    looks = 0
    with Forge(mutation) as forge:
        duration = _duration(forge, folder / "timed", seed)
        for first in range(0, runs, PASSES_PER_SITE):
            site = Site(folder / f"random-{first}", seed + first)
            with Subscriber(site) as subscriber:
                for number in range(first, min(first + PASSES_PER_SITE, runs)):
                    with _told(site, problems, f"run {number} (seed {seed})"):
                        _kill_once(forge, site, duration)
            looks += subscriber.looks
            shutil.rmtree(site.folder)
            if 0 < enough <= len(problems):
                break
    return looks, problems


def _kill_once(forge: Forge, site: Site, duration_s: float) -> None:
    site.arrive(site.random.randint(0, 4), site.random.randint(0, 2))
    present = set(site.present)
    pid = forge.start(site.folder, RESYNC)
    time.sleep(site.random.random() * duration_s)
    if site.random.random() < 0.3:
        site.arrive(1, 1)
    os.kill(pid, signal.SIGKILL)
    _expect(site, forge.wait(pid))
    site.acknowledge(present)
    if site.random.random() < 0.7:
        forge.recover(site)
    else:
        site.check_store()


def _duration(forge: Forge, folder: Path, seed: int) -> float:
    """How long a pass takes here, in seconds."""
    site = Site(folder, seed)
    started = time.monotonic()
    for _ in range(4):
        site.arrive()
        forge.run(site)
    shutil.rmtree(folder)
    return (time.monotonic() - started) / 4


def beside_a_busy_daemon(folder: Path, seed: int, passes: int) -> list[str]:
    """A daemon takes ten articles for each of so many passes by hand, two of which run at once."""
    problems: list[str] = []
    with Forge() as forge:
        site = Site(folder / "busy", seed)
        with _told(site, problems, f"beside a busy daemon (seed {seed})"), Subscriber(site):
            daemon = forge.start(site.folder, ["run"], name="daemon")
            for number in range(passes):
                site.arrive(10, 2)
                two = [forge.start(site.folder, RESYNC, name=name) for name in ("out", f"other-{number}")]
                for pid, name in zip(two, ("out", f"other-{number}"), strict=True):
                    _expect(site, forge.wait(pid), name)
                site.acknowledge(set(site.present))
            os.kill(daemon, signal.SIGTERM)
            _expect(site, forge.wait(daemon), "daemon")
            forge.recover(site)
        shutil.rmtree(site.folder)
    return problems


def beside_a_daemon(folder: Path, seed: int, rounds: int, mutation: str = "") -> tuple[int, list[str]]:
    """A daemon and passes by hand while articles arrive; one of them, or both, killed at a random time."""
    problems: list[str] = []
    looks = 0
    chance = random.Random(seed)
    with Forge(mutation) as forge:
        for number in range(rounds):
            site = Site(folder / f"daemon-{number}", seed + number)
            with _told(site, problems, f"round {number} beside a daemon (seed {seed})"), Subscriber(site) as subscriber:
                daemon = forge.start(site.folder, ["run"], name="daemon")
                for _ in range(3):
                    site.arrive()
                    time.sleep(chance.random() * 0.05)
                    site.arrive()
                    present = set(site.present)
                    resync = forge.start(site.folder, RESYNC)
                    if killed := chance.random() < 0.5:
                        time.sleep(chance.random() * 0.15)
                        os.kill(resync, signal.SIGKILL)
                    code = forge.wait(resync)
                    _expect(site, code)
                    site.acknowledge(present)
                    if not killed and code == 0 and not present <= site.acknowledged:
                        site.problems.append("a pass ended well and reported nothing")
                time.sleep(chance.random() * 0.05)
                os.kill(daemon, signal.SIGKILL)
                _expect(site, forge.wait(daemon), "daemon")
                forge.recover(site)
            looks += subscriber.looks
            shutil.rmtree(site.folder)
    return looks, problems
