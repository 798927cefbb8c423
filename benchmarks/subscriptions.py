"""What outlets, tags, symbols, custom feeds and the index of searches add to the cost of one article.

    python benchmarks/subscriptions.py [--stored 10000] [--categories 60] [--samples 30]

Two sites with the same articles, one with all of it and one with categories alone. One article after the other comes to
each in turn; printed is the processor time of its pass, in one process as in the daemon.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from corpus import post, write_corpus
from ingest import configure

from feedsync.config import load
from feedsync.outputs import Tree
from feedsync.publish import Publisher
from feedsync.store import Store
from feedsync.sync import Request, run

_CUSTOM = """
[[feeds.custom]]
name = "some"
title = "一些"
query = "的一 OR 是在"
"""
_ALONE = "outlets = false\ntags = false\nsymbols = false\n"


class Site:
    """A folder with a store and a publisher that keeps what it drew, as the daemon's does."""

    def __init__(self, folder: Path, stored: int, categories: int, *, alone: bool) -> None:
        self.folder = folder
        folder.mkdir()
        write_corpus(folder / "posts", stored, categories=categories)
        configure(folder, pages=True, hours=0, most=500)
        path = folder / "config/feedsync.toml"
        text = path.read_text()
        path.write_text(text.replace("[feeds]\n", f"[feeds]\n{_ALONE}") if alone else text + _CUSTOM)
        subprocess.run([sys.executable, "-m", "feedsync", "resync"], cwd=folder, check=True, capture_output=True)
        os.chdir(folder)
        self.config = load(path)
        self.store = Store.open(self.config.store_url)
        self.publisher = Publisher(Tree(self.config.output.absolute()), self.config.presentation)

    def take(self, number: int, categories: int) -> float:
        """The processor time of the pass over one new article, in milliseconds."""
        os.chdir(self.folder)
        name, text = post(number, categories=categories)
        (self.folder / "posts" / name).write_text(text, encoding="utf-8")
        request = Request(paths={"articles": frozenset({os.fsencode(name)})})
        started = time.process_time()
        run(self.store, self.publisher, self.config.sources, request)
        return (time.process_time() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", type=int, default=10_000)
    parser.add_argument("--categories", type=int, default=60)
    parser.add_argument("--samples", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="feedsync-bench-") as name:
        sites = {
            "with all of it": Site(Path(name) / "all", options.stored, options.categories, alone=False),
            "categories alone": Site(Path(name) / "alone", options.stored, options.categories, alone=True),
        }
        costs: dict[str, list[float]] = {what: [] for what in sites}
        for sample in range(options.samples + 3):
            for what, site in sites.items():
                cost_ms = site.take(options.stored + 1000 + sample * 7, options.categories)
                if sample >= 3:  # the first ones find nothing drawn yet
                    costs[what].append(cost_ms)
        os.chdir("/")
        for what, taken in costs.items():
            low, high = min(taken), max(taken)
            print(f"{what:20} {statistics.median(taken):6.1f} ms  ({low:.1f} to {high:.1f}, {len(taken)} articles)")
        both = [statistics.median(taken) for taken in costs.values()]
        print(f"ratio {both[0] / both[1]:.2f}")
        for site in sites.values():
            site.store.close()


if __name__ == "__main__":
    main()
