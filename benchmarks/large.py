"""A million articles in two thousand categories: does anything grow with the store that should not?

    python benchmarks/large.py [--posts 1000000] [--characters 2500] [--categories 2000] [--folder FOLDER [--again]]

Up to an hour and a half, and 50 GB. Ingests all of it in one pass, tells at which rate the first and the last tenth
were stored, then what the database and the tree take, what a pass over nothing new, `status`, the index of searches,
the start of the daemon and one new article cost, a search, a backup beside the daemon, and `publish --check`. With
`--again`, a folder that was kept is asked once more.

The first articles come as soon as the daemon is ready; the others a few a second for minutes, beside its scans.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path

from arrival import FEEDSYNC, Daemon, arrive, told
from corpus import write_corpus
from ingest import configure

_PORT = 18800
_FIRST = 3
_SAMPLES = 300
_PAUSE_S = 0.25


def generate(folder: Path, posts: int, characters: int, categories: int) -> None:
    """The corpus, written by all processors."""
    count = os.cpu_count() or 1
    bounds = [posts * number // count for number in range(count + 1)]
    writers = [
        multiprocessing.Process(
            target=write_corpus, args=(folder, end - start, characters, categories), kwargs={"start": start}
        )
        for start, end in pairwise(bounds)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


class Rate:
    """Watches a database fill: when each article was stored, by sampling."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._samples: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Rate:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            with (
                suppress(sqlite3.Error),
                closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as connection,
            ):
                (seq,) = connection.execute("SELECT value FROM state WHERE name = 'seq'").fetchone() or (0,)
                self._samples.append((time.perf_counter(), int(seq)))

    def seconds(self, start: int, end: int) -> float:
        """How long it took from so many articles to so many."""
        return self._reached(end) - self._reached(start)

    def _reached(self, count: int) -> float:
        before = self._samples[0]
        for at, seq in self._samples:
            if seq >= count:
                return (
                    at if seq == before[1] else before[0] + (at - before[0]) * (count - before[1]) / (seq - before[1])
                )
            before = at, seq
        return before[0]


def measured(command: list[str], folder: Path) -> str:
    """Run a command; its seconds, processor time and memory, as text."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    pid = os.posix_spawnp(
        "sh", ["sh", "-c", f'cd "$0" && exec "$@" > {folder}/said 2>&1', str(folder), *command], os.environ
    )
    _, code, used = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    code = os.waitstatus_to_exitcode(code)
    if code not in (0, 1):
        sys.exit(f"{command} ended with {code}: {(folder / 'said').read_text(encoding='utf-8')}")
    return f"{seconds:.2f} s, {cpu_s:.2f} s of processor time, {used.ru_maxrss / 1024:.0f} MiB (exit {code})"


def size_of(folder: Path) -> int:
    """What a folder takes on disk, in bytes."""
    told = subprocess.run(["du", "-sB1", str(folder)], check=True, capture_output=True, text=True).stdout
    return int(told.split()[0])


def bench(folder: Path, posts: int, characters: int, categories: int) -> None:
    started = time.perf_counter()
    generate(folder / "posts", posts, characters, categories)
    # All of it arrives at once, and would stand in every feed but for `most`.
    configure(folder, pages=True, hours=0, most=50, port=_PORT)
    written_s = time.perf_counter() - started
    say(f"{posts} posts of {characters} characters in {categories} categories: {written_s:.0f} s to write")
    with Rate(folder / "var/feedsync.db") as rate:
        say(f"first pass: {measured([*FEEDSYNC, 'resync'], folder)}")
    tenth = posts // 10
    first, last = rate.seconds(0, tenth), rate.seconds(posts - tenth, posts)
    say(f"storing: first tenth {first:.1f} s, last tenth {last:.1f} s, ratio {last / first:.2f}")


def after(folder: Path, posts: int, categories: int) -> None:
    """What things cost once all of it is there."""
    say(f"database: {size_of(folder / 'var/feedsync.db') / posts:.0f} bytes an article")
    say(f"tree: {size_of(folder / 'var/public') / posts:.0f} bytes an article")
    say(f"status: {measured([*FEEDSYNC, 'status'], folder)}")
    say(f"second pass, nothing new: {measured([*FEEDSYNC, 'resync'], folder)}")
    say(f"third pass, nothing new: {measured([*FEEDSYNC, 'resync'], folder)}")
    find = ["find", "posts", "-printf", "%T@ %s\n"]
    say(f"find over the same files: {measured(find, folder)}")
    say(f"index: {measured([*FEEDSYNC, 'index'], folder)}")
    daemon = Daemon(folder, _PORT)
    try:
        say(f"the daemon answers after {daemon.answered_s * 1000:.0f} ms, is ready after {daemon.ready_s * 1000:.0f}")
        disk, everything = [], []
        start = posts + len(os.listdir(folder / "posts"))  # none came before
        for sample in range(_FIRST + _SAMPLES):
            number = start + sample * 7
            at = time.perf_counter()
            (code,) = arrive(daemon, range(number, number + 1), categories)
            daemon.until(f"category/meiti{number % categories:02d}.atom", code)
            on_disk = time.perf_counter() - at
            daemon.until("all.atom", code)
            if sample < _FIRST:
                say(f"feed of the category of an article that comes as soon as it is ready: {on_disk * 1000:.0f} ms")
            else:
                disk.append(on_disk * 1000)
                everything.append((time.perf_counter() - at) * 1000)
            time.sleep(_PAUSE_S)
        told("feed of its category on disk", disk)
        told("feed of everything on disk", everything)
        say(f"backup beside the daemon: {measured([*FEEDSYNC, 'backup', 'copy.db'], folder)}")
    finally:
        daemon.stop()
    (folder / "copy.db").unlink(missing_ok=True)
    for query in ("罕见", "经济"):
        say(f"search {query}: {measured([*FEEDSYNC, 'search', query], folder)}")
    say(f"publish --check: {measured([*FEEDSYNC, 'publish', '--check'], folder)}")


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=1_000_000)
    parser.add_argument("--characters", type=int, default=2500)
    parser.add_argument("--categories", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where to work; kept afterwards (a temporary folder otherwise)")
    parser.add_argument("--again", action="store_true", help="the folder was filled before")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="feedsync-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not options.again:
            bench(folder, options.posts, options.characters, options.categories)
        after(folder, options.posts, options.categories)
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
