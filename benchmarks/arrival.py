"""One new article beside the running daemon: its file is closed, how long until its feed is there?

    python benchmarks/arrival.py [--stored 1000,10000,100000] [--categories 2000] [--samples 50] [--hours 48]
                                 [--burst 1000]

For each number of stored articles: milliseconds from the closed file (renamed into the folder) to the feed of its
category on disk, and to its answer over HTTP; then to the feed of everything. Between two articles the daemon comes to
rest; what its process spends on one is told as well. Then a burst of files at once, until the last of them is in the
feed of everything, beside what `resync` of an empty store takes for as many. With `--hours 0`, feeds hold what they
hold when articles came over weeks, not all today.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from corpus import post, write_corpus
from ingest import configure, timed

FEEDSYNC = [sys.executable, "-m", "feedsync"]
_SETTLING = 100_000
"""Numbers of posts that no sample has."""


def prepare(folder: Path, stored: int, categories: int, hours: int, port: int) -> float:
    """A site with so many articles, indexed; the seconds its first pass took."""
    folder.mkdir()
    write_corpus(folder / "posts", stored, categories=categories)
    configure(folder, pages=True, hours=hours, most=500, port=port)
    seconds = timed([*FEEDSYNC, "resync"], folder).seconds
    timed([*FEEDSYNC, "index"], folder)  # the daemon would do it beside the articles that are measured
    return seconds


def settle(folder: Path, stored: int, categories: int) -> None:
    """One article more for each category, in a second pass: until then, what came in the first one came all at once."""
    for number in range(stored + _SETTLING, stored + _SETTLING + categories):
        name, text = post(number, categories=categories)
        (folder / "posts" / name).write_text(text, encoding="utf-8")
    timed([*FEEDSYNC, "resync"], folder)
    timed([*FEEDSYNC, "index"], folder)


class Daemon:
    """`feedsync run` in a folder, ready. How long it took until it answered and until it said that it is ready."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}/"
        self.answered_s = self.ready_s = 0.0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(f"\0feedsync-arrival-{os.getpid()}-{port}")
            told.setblocking(False)
            environment = os.environ | {"NOTIFY_SOCKET": "@" + told.getsockname()[1:].decode()}
            started = time.perf_counter()
            self.process = subprocess.Popen([*FEEDSYNC, "run"], cwd=folder, stderr=subprocess.DEVNULL, env=environment)
            while not (self.ready_s and self.answered_s):
                time.sleep(0.005)
                with contextlib.suppress(BlockingIOError):
                    if b"READY=1" in told.recv(4096):
                        self.ready_s = time.perf_counter() - started
                if not self.answered_s and self._answers():
                    self.answered_s = time.perf_counter() - started

    def _answers(self) -> bool:
        try:
            return b"<feed" in self.get("all.atom")
        except OSError:
            return False

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path) as answer:
            body: bytes = answer.read()
            return body

    def published(self, path: str) -> bytes:
        try:
            return (self.folder / "var/public" / path).read_bytes()
        except FileNotFoundError:
            return b""

    def until(self, path: str, code: str) -> None:
        deadline = time.perf_counter() + 120
        while code.encode() not in self.published(path):
            if time.perf_counter() > deadline:
                sys.exit(f"{path} never showed {code}")
            time.sleep(0.001)

    def rest(self) -> None:
        """Until nothing was written for a while."""
        last, since = -1, time.perf_counter()
        database = self.folder / "var/feedsync.db-wal"
        while time.perf_counter() - since < 0.3:
            time.sleep(0.02)
            if (now := database.stat().st_mtime_ns) != last:
                last, since = now, time.perf_counter()

    def spent(self) -> tuple[float, int]:
        """Processor time of the process that publishes, in milliseconds, and the bytes it wrote."""
        process = Path("/proc") / str(self.process.pid)
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        written = re.search(r"^write_bytes: (\d+)", (process / "io").read_text(), re.MULTILINE)
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK"), int(written.group(1))  # type: ignore[union-attr]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def arrive(daemon: Daemon, numbers: range, categories: int) -> list[str]:
    """So many articles at once; their infoCodes."""
    aside = daemon.folder / "aside"
    aside.mkdir(exist_ok=True)
    codes, names = [], []
    for number in numbers:
        name, text = post(number, categories=categories)
        (aside / name).write_text(text, encoding="utf-8")
        names.append(name)
        codes.append(re.search(r"NW(\d{18})", name).group(1))  # type: ignore[union-attr]
    for name in names:
        (aside / name).rename(daemon.folder / "posts" / name)
    return codes


def told(name: str, values: list[float]) -> None:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    print(
        f"  {name:34} median {statistics.median(values):7.1f} ms   p99 {p99:7.1f}   "
        f"({ordered[0]:.1f} to {ordered[-1]:.1f}, {len(values)} articles)",
        flush=True,
    )


def bench(folder: Path, stored: int, options: argparse.Namespace, port: int) -> None:
    categories = min(options.categories, stored)
    first_s = prepare(folder, stored, categories, options.hours, port)
    if not options.hours:
        settle(folder, stored, categories)
    print(
        f"{stored} articles, {categories} categories, window {options.hours} h; stored and published in {first_s:.1f} s"
    )
    daemon = Daemon(folder, port)
    try:
        print(
            f"  the daemon answers after {daemon.answered_s * 1000:.0f} ms, is ready after {daemon.ready_s * 1000:.0f}"
        )
        disk, http, everything = [], [], []
        cpu_ms, wrote = 0.0, 0
        for sample in range(options.samples + 3):
            daemon.rest()
            if sample == 3:  # the first ones find nothing drawn yet
                cpu_ms, wrote = daemon.spent()
            number = stored + 1000 + sample * 7
            started = time.perf_counter()
            (code,) = arrive(daemon, range(number, number + 1), categories)
            path = f"category/meiti{number % categories:02d}.atom"
            daemon.until(path, code)
            on_disk = time.perf_counter() - started
            assert code.encode() in daemon.get(path)
            answered = time.perf_counter() - started
            daemon.until("all.atom", code)
            in_all = time.perf_counter() - started
            if sample >= 3:
                disk.append(on_disk * 1000)
                http.append(answered * 1000)
                everything.append(in_all * 1000)
        told("feed of its category on disk", disk)
        told("and over HTTP", http)
        told("feed of everything on disk", everything)
        daemon.rest()
        spent_ms, bytes_ = daemon.spent()
        each_ms, each_bytes = (spent_ms - cpu_ms) / options.samples, (bytes_ - wrote) / options.samples
        print(f"  processor time {each_ms:.1f} ms, {each_bytes / 1e6:.2f} MB written, an article", flush=True)
        if options.burst:
            daemon.rest()
            started = time.perf_counter()
            last = arrive(daemon, range(stored + 5000, stored + 5000 + options.burst), categories)[-1]
            written = time.perf_counter() - started
            daemon.until(f"article/{last}.html", last)
            daemon.until("all.atom", last)
            seconds = time.perf_counter() - started - written
            print(f"  burst of {options.burst} files: {seconds:.2f} s after the last rename")
    finally:
        daemon.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", default="1000,10000,100000")
    parser.add_argument("--categories", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--hours", type=int, default=48)
    parser.add_argument("--burst", type=int, default=1000)
    options = parser.parse_args()
    for place, stored in enumerate(map(int, options.stored.split(","))):
        with tempfile.TemporaryDirectory(prefix="feedsync-bench-") as name:
            bench(Path(name) / "site", stored, options, 18600 + place)
            if options.burst:
                seconds = prepare(Path(name) / "bulk", options.burst, options.categories, options.hours, 18700)
                print(f"  as many into an empty store by resync: {seconds:.2f} s", flush=True)
            shutil.rmtree(name, ignore_errors=True)


if __name__ == "__main__":
    main()
