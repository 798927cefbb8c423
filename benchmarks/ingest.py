"""Files to feeds, beside Hugo on the same posts in the same run; then a second pass, and one file beside the daemon.

    python benchmarks/ingest.py [--posts 10000] [--runs 5]

Prints whole-process figures: the median of the runs, with minimum and maximum, and the ratio of medians. On a
machine that does other things, look at processor time and at the ratio of the fastest runs.
Needs `hugo` on the PATH for the comparison (Debian: apt install hugo).
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from corpus import post, write_corpus

CONFIG = """
[site]
title = "bench"
base_url = "http://127.0.0.1:{port}"
authority = "example.org,2026"
[output]
path = "var/public"
pages = {pages}
[feeds]
min_entries = 50
window_hours = {hours}
max_entries = {most}
[server]
port = {port}
[[sources]]
name = "articles"
kind = "files"
path = "posts"
"""
HUGO = """
baseURL = "http://127.0.0.1/"
title = "bench"
disableKinds = ["section", "sitemap", "robotsTXT", "404"]
[taxonomies]
category = "categories"
[outputs]
home = ["RSS"]
term = ["RSS"]
[services.rss]
limit = 50
[markup.goldmark.renderer]
unsafe = true
"""
TEMPLATE = """{{ printf "<?xml version=\\"1.0\\" encoding=\\"utf-8\\"?>" | safeHTML }}
<feed xmlns="http://www.w3.org/2005/Atom"><title>{{ .Title }}</title><id>{{ .Permalink }}</id>
{{ $pages := .RegularPages }}{{ if .IsHome }}{{ $pages = .Site.RegularPages }}{{ end }}
{{ range first 50 $pages }}<entry><title>{{ .Title }}</title><id>{{ .Permalink }}</id>
<updated>{{ .Date.Format "2006-01-02T15:04:05Z07:00" }}</updated>
<content type="html">{{ .Content | html }}</content></entry>
{{ end }}</feed>
"""


@dataclass(frozen=True)
class Run:
    """A process and its children: seconds by the clock, seconds of processor time, peak memory of any so far."""

    seconds: float
    cpu_s: float
    peak_mib: float


def timed(command: list[str], folder: Path) -> Run:
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode not in (0, 1):
        sys.exit(f"{command} failed: {done.stderr or done.stdout}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(seconds, cpu_s, after.ru_maxrss / 1024)


def told_of(name: str, runs: list[Run]) -> float:
    told(f"{name}, processor time", [run.cpu_s for run in runs])
    return told(name, [run.seconds for run in runs])


def told(name: str, values: list[float], unit: str = "s") -> float:
    median = statistics.median(values)
    print(f"{name:52} {median:8.3f} {unit}  ({min(values):.3f} to {max(values):.3f}, {len(values)} runs)", flush=True)
    return median


def configure(folder: Path, *, pages: bool, hours: int, most: int, port: int = 0) -> None:
    (folder / "config").mkdir(exist_ok=True)
    text = CONFIG.format(pages=str(pages).lower(), hours=hours, most=most, port=port or 8080)
    (folder / "config/feedsync.toml").write_text(text)


def make_hugo(folder: Path, posts: int) -> None:
    """The same posts as Hugo wants them: its front matter, no navigation."""
    content = folder / "content/posts"
    content.mkdir(parents=True)
    for number in range(posts):
        name, text = post(number)
        front, body = text.split("---\n", 2)[1:]
        found = {key: re.search(rf"^{key}: (.*)$", front, re.MULTILINE) for key in ("title", "date", "categories")}
        title, date, category = (found[key].group(1) for key in ("title", "date", "categories"))  # type: ignore[union-attr]
        date = date.replace(" +0800", "+08:00").replace(" ", "T")
        body = body.split("\n<http")[0]
        front = f'---\ntitle: {title}\ndate: {date}\ncategories: ["{category}"]\n---\n'
        (content / name).write_text(front + body, encoding="utf-8")
    (folder / "config.toml").write_text(HUGO)
    (folder / "layouts/_default").mkdir(parents=True)
    (folder / "layouts/_default/rss.xml").write_text(TEMPLATE)


def bench_passes(folder: Path, posts: int, runs: int) -> None:
    feedsync = [sys.executable, "-m", "feedsync", "resync"]
    ours, theirs = folder / "feedsync", folder / "hugo"
    ours.mkdir()
    write_corpus(ours / "posts", posts)
    hugo = shutil.which("hugo")
    if hugo:
        make_hugo(theirs, posts)
    for name, pages, hours, most in (
        ("feeds only, 50 entries each (as Hugo)", False, 0, 50),
        ("with article pages, default windows", True, 48, 500),
    ):
        configure(ours, pages=pages, hours=hours, most=most)
        mine: list[Run] = []
        rival: list[Run] = []
        peak = 0.0
        for _ in range(runs):
            shutil.rmtree(ours / "var", ignore_errors=True)
            mine.append(timed(feedsync, ours))
            if not rival and not hugo:
                peak = mine[-1].peak_mib
            if hugo and not pages:
                shutil.rmtree(theirs / "public", ignore_errors=True)
                if not rival:
                    peak = mine[-1].peak_mib  # Hugo is the larger of the two from here on
                rival.append(timed([hugo, "--quiet"], theirs))
        median = told_of(f"feedsync, {name}", mine)
        if peak:
            print(f"{'  peak memory of the largest process':52} {peak:8.1f} MiB")
        if rival:
            other = told_of("hugo, feeds only", rival)
            best = min(run.seconds for run in mine) / min(run.seconds for run in rival)
            print(f"{'  ratio':52} {median / other:8.2f}    (of the fastest runs {best:.2f})")
    told_of("feedsync, second pass, nothing new", [timed(feedsync, ours) for _ in range(runs)])


def bench_latency(folder: Path, stored: int, samples: int = 50) -> None:
    """One file dropped beside the running daemon: closed file to fetched feed."""
    folder.mkdir()
    port = 18000 + stored % 1000
    write_corpus(folder / "posts", stored)
    configure(folder, pages=True, hours=48, most=500, port=port)
    timed([sys.executable, "-m", "feedsync", "resync"], folder)
    daemon = subprocess.Popen(
        [sys.executable, "-m", "feedsync", "run"], cwd=folder, stderr=subprocess.DEVNULL, env=os.environ
    )
    try:
        url = f"http://127.0.0.1:{port}/category/neu.atom"
        wait_for(f"http://127.0.0.1:{port}/all.atom", "<feed")
        time.sleep(2)
        taken = []
        for number in range(samples):
            name, text = post(5_000_000 + number)
            text = re.sub(r"categories: \S+", "categories: neu", text)
            aside = folder / name
            aside.write_text(text, encoding="utf-8")
            code = re.search(r"NW(\d{18})", name).group(1)  # type: ignore[union-attr]
            started = time.perf_counter()
            aside.rename(folder / "posts" / name)
            wait_for(url, code)
            taken.append((time.perf_counter() - started) * 1000)
            time.sleep(0.05)
        told(f"one new file beside the daemon, {stored} stored", taken, "ms")
    finally:
        daemon.terminate()
        daemon.wait()


def wait_for(url: str, text: str, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url) as answer:
                if text in answer.read().decode():
                    return
        except OSError:
            pass
        time.sleep(0.002)
    sys.exit(f"{url} never showed {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="feedsync-bench-") as name:
        folder = Path(name)
        bench_passes(folder, options.posts, options.runs)
        for stored in (100, options.posts):
            bench_latency(folder / f"latency-{stored}", stored)


if __name__ == "__main__":
    main()
