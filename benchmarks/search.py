"""What the search index costs and what a search costs: processor time and bytes, in one process, on a scratch folder.

    python benchmarks/search.py [--articles 20000]

Posts are random characters, so nearly every pair of neighbours is rare: the worst case for an index of pairs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from corpus import post

from feedsync.model import Arrival, Document, Origin
from feedsync.parse import parse
from feedsync.plan import decide
from feedsync.query import parse_query
from feedsync.search import find
from feedsync.store import Index, Store

_BATCH = 500
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fill(store: Store, first: int, last: int, characters: int) -> None:
    """Store these posts; every thousandth says 罕见的词."""
    zone = ZoneInfo("Asia/Shanghai")
    for start in range(first, last, _BATCH):
        changes = []
        for number in range(start, min(start + _BATCH, last)):
            name, text = post(number, characters)
            if number % 1000 == 0:
                text = text.replace("\n---\n", "\n---\n罕见的词。", 1)
            parsed = parse(Document("bench", name, name, text.encode()), zone)
            changes.append(decide(None, [Arrival(Origin("bench", name), parsed)], {}, _NOW))
        with store.writing() as writer:
            writer.apply(changes, _NOW)


def catch_up(store: Store, limit: int) -> int:
    with store.writing() as writer:
        return Index(writer.connection).catch_up(limit)


def pages(store: Store) -> int:
    """Bytes in use."""
    with store.reading() as reader:
        counted = [
            reader.connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0 for name in ("page_count", "page_size")
        ]
    return int(counted[0]) * int(counted[1])


def searched(store: Store, query: str, limit: int) -> tuple[float, int]:
    """Milliseconds of processor time, the best of five, and the number of hits."""
    expression = parse_query(query, ZoneInfo("Asia/Shanghai"))
    best, hits = float("inf"), 0
    for _ in range(5):
        started = time.process_time()
        with store.reading() as reader:
            hits = len(find(reader, expression, limit).hits)
        best = min(best, time.process_time() - started)
    return best * 1000, hits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=20_000)
    parser.add_argument("--characters", type=int, default=1000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="feedsync-bench-") as folder,
        Store.open(f"sqlite:///{Path(folder)}/db") as store,
    ):
        stored = 0
        for articles in (options.articles // 10, options.articles):
            fill(store, stored, articles, options.characters)
            before, started = pages(store), time.process_time()
            while catch_up(store, 256):
                pass
            spent, grown = time.process_time() - started, pages(store) - before
            fresh = articles - stored
            stored = articles
            print(f"{articles} articles of {options.characters} characters", flush=True)
            print(f"  index: {spent * 1000 / fresh:.2f} ms and {grown / fresh:.0f} bytes an article")
            for query, limit in (("罕见", 10_000), ("罕见的词", 10_000), ("见", 50), ("罕见 -的一", 50), ("的一", 50)):
                spent_ms, hits = searched(store, query, limit)
                print(f"  {query}: {hits} hits (of {limit} at most), {spent_ms:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
