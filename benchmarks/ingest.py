"""Files to feeds, beside Hugo on the same posts in the same run; then a pass over nothing new.

    python benchmarks/ingest.py [--posts 10000] [--runs 5]

Four times from nothing: the feeds Hugo builds, one format and 50 entries each; those in three formats and the feeds of
outlets; everything, as Hugo builds its site; everything with the default windows, in which all that arrives at once
stands. Prints whole-process figures: the median of the runs, with minimum and maximum, and the ratio of medians. On a
machine that does other things, look at processor time and at the ratio of the fastest runs. Needs `hugo` on the PATH
for the comparison (Debian: apt install hugo).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
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
outlets = {more}
rss = {more}
json = {more}
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
SITE = """
[outputs]
home = ["HTML", "RSS"]
term = ["HTML", "RSS"]
page = ["HTML"]
[services.rss]
limit = 50
[markup.goldmark.renderer]
unsafe = true
"""
"""What makes it build pages, too; instead of the end of `HUGO`."""

PAGE = """<!doctype html><html lang="zh"><head><meta charset="utf-8"><title>{{ .Title }}</title></head>
<body><h1>{{ .Title }}</h1><p>{{ .Date.Format "2006-01-02 15:04" }} {{ range .GetTerms "categories" }}
<a href="{{ .Permalink }}">{{ .Title }}</a>{{ end }}</p>{{ .Content }}
<p>{{ with .NextInSection }}<a href="{{ .Permalink }}">{{ .Title }}</a>{{ end }}
{{ with .PrevInSection }}<a href="{{ .Permalink }}">{{ .Title }}</a>{{ end }}</p></body></html>
"""
LIST = """<!doctype html><html lang="zh"><head><meta charset="utf-8"><title>{{ .Title }}</title></head><body>
{{ range first 50 .RegularPages }}<p><a href="{{ .Permalink }}">{{ .Title }}</a> {{ .Date.Format "2006-01-02" }}</p>
{{ end }}</body></html>
"""
TEMPLATE = """{{ printf "<?xml version=\\"1.0\\" encoding=\\"utf-8\\"?>" | safeHTML }}
<feed xmlns="http://www.w3.org/2005/Atom"><title>{{ .Title }}</title><id>{{ .Permalink }}</id>
{{ $pages := .RegularPages }}{{ if .IsHome }}{{ $pages = .Site.RegularPages }}{{ end }}
{{ range first 50 $pages }}<entry><title>{{ .Title }}</title><id>{{ .Permalink }}</id>
<updated>{{ .Date.Format "2006-01-02T15:04:05Z07:00" }}</updated>
<content type="html">{{ .Content | html }}</content></entry>
{{ end }}</feed>
"""
TEMPLATES = {"rss.xml": TEMPLATE, "single.html": PAGE, "list.html": LIST}


@dataclass(frozen=True)
class Run:
    """A process and its children: seconds by the clock, seconds of processor time, peak memory of the process."""

    seconds: float
    cpu_s: float
    peak_mib: float


def timed(command: list[str], folder: Path) -> Run:
    os.sync()  # a run that makes its files durable is not to wait for those of the run before
    started = time.perf_counter()
    installed = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, env=installed)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            said.seek(0)
            sys.exit(f"{command} failed: {said.read()}")
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def put_aside(folder: Path) -> None:
    """Make room for another run. Nothing is removed: ext4 looks past every inode that was deleted in the last minutes
    when it makes a new file, which cost up to ten times as much."""
    if folder.exists():
        number = sum(1 for _ in folder.parent.glob(f"{folder.name}-*"))
        folder.rename(folder.with_name(f"{folder.name}-{number}"))


def told_of(name: str, runs: list[Run]) -> float:
    told(f"{name}, processor time", [run.cpu_s for run in runs])
    return told(name, [run.seconds for run in runs])


def told(name: str, values: list[float], unit: str = "s") -> float:
    median = statistics.median(values)
    print(f"{name:58} {median:8.3f} {unit}  ({min(values):.3f} to {max(values):.3f}, {len(values)} runs)", flush=True)
    return median


def configure(folder: Path, *, pages: bool, hours: int, most: int, more: bool = True, port: int = 0) -> None:
    """`more`: feeds of outlets, RSS and JSON Feed, none of which Hugo builds here."""
    (folder / "config").mkdir(exist_ok=True)
    text = CONFIG.format(pages=str(pages).lower(), hours=hours, most=most, more=str(more).lower(), port=port or 8080)
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
    for layouts, templates in (("layouts", ("rss.xml",)), ("site", ("rss.xml", "single.html", "list.html"))):
        (folder / layouts / "_default").mkdir(parents=True)
        for name in templates:
            (folder / layouts / "_default" / name).write_text(TEMPLATES[name])
    (folder / "site.toml").write_text(
        HUGO.replace("[taxonomies]", 'layoutDir = "site"\n[taxonomies]').partition("[outputs]")[0] + SITE
    )


@dataclass(frozen=True)
class Case:
    """What is made from nothing, and of which of Hugo's builds it is the like."""

    name: str
    pages: bool
    hours: int
    most: int
    more: bool = True
    rival: str = ""


CASES = (
    Case("the feeds Hugo builds, 50 entries each", pages=False, hours=0, most=50, more=False, rival="config.toml"),
    Case("those in three formats, and feeds of outlets", pages=False, hours=0, most=50, rival="config.toml"),
    Case("everything, 50 entries each", pages=True, hours=0, most=50, rival="site.toml"),
    Case("everything, default windows", pages=True, hours=48, most=500),
)


def bench_passes(folder: Path, posts: int, runs: int) -> None:
    feedsync = [sys.executable, "-m", "feedsync", "resync"]
    ours, theirs = folder / "feedsync", folder / "hugo"
    ours.mkdir()
    write_corpus(ours / "posts", posts)
    if hugo := shutil.which("hugo"):
        make_hugo(theirs, posts)
    for case in CASES:
        configure(ours, pages=case.pages, hours=case.hours, most=case.most, more=case.more)
        mine: list[Run] = []
        rival: list[Run] = []
        for _ in range(runs):
            put_aside(ours / "var")
            mine.append(timed(feedsync, ours))
            if hugo and case.rival:
                put_aside(theirs / "public")
                rival.append(timed([hugo, "--quiet", "--config", case.rival], theirs))
        median = told_of(f"feedsync, {case.name}", mine)
        if rival:
            other = told_of(f"hugo, {case.name}", rival)
            best = min(run.seconds for run in mine) / min(run.seconds for run in rival)
            print(f"{'  ratio':58} {median / other:8.2f}    (of the fastest runs {best:.2f})")
            told(f"  peak memory of hugo, {case.name}", [run.peak_mib for run in rival], "MiB")
        told(f"  peak memory of feedsync's largest process, {case.name}", [run.peak_mib for run in mine], "MiB")
    told_of("feedsync, second pass, nothing new", [timed(feedsync, ours) for _ in range(runs)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="feedsync-bench-") as name:
        folder = Path(name)
        bench_passes(folder, options.posts, options.runs)


if __name__ == "__main__":
    main()
