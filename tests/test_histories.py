"""Random histories of a site, with publications cut short: whatever happened, what is published is what the store says.

`python -m tests.test_histories SECONDS [SEED]` goes on for longer and names the seed of what it finds.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from feedsync.errors import OutputError
from feedsync.feeds import Window
from feedsync.model import CustomFeed
from feedsync.publish import Publisher
from feedsync.values import replace
from feedsync.withdraw import restore, withdraw
from tests.conftest import Desk, post

_CATEGORIES = ("emnews", "c2", "c3")
_TAGS = ("东财滚动新闻", "甲新闻", "乙新闻", "丙新闻")
_NAMES = ("国寿", "人寿", "寿险")
_CUSTOM = CustomFeed("mine", "我的", any_of=("c2",))


class Cut(OutputError):
    """A disk that failed."""

    def __init__(self) -> None:
        super().__init__("the disk failed", remedy="none")


class History:
    """A site, two publishers that live on as in a daemon, and what happens to them, by a seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        choice = self.random.choice
        window = Window(choice([2, 5, 50]), choice([0, 1, 48]), choice([3, 8, 500]), choice([False, False, True]))
        self.desk = Desk(folder, window=window)
        self.publishers = [self.new() for _ in range(2)]
        self.keys: list[str] = []
        self.log: list[str] = []
        self.moves: list[Callable[[Publisher], object]] = [
            *[self.arrive] * 6,
            *[self.revise] * 4,
            self.remove,
            *[self.withdraw] * 2,
            self.restore,
            *[self.everything] * 2,
            self.spoil,
            self.decide_otherwise,
        ]

    def new(self) -> Publisher:
        return Publisher(self.desk.tree, self.desk.presentation)

    def go(self, steps: int) -> None:
        """So many steps, after each of which that was not cut short the tree has to be right."""
        for _ in range(steps):
            move = self.random.choice(self.moves)
            publisher = self.random.choice([*self.publishers, self.new()])
            cut = self.random.randrange(25) if self.random.random() < 0.25 else None
            self.log.append(f"{move.__name__} {cut}")
            self.desk.now += timedelta(minutes=1)
            try:
                self.happen(move, publisher, cut)
            except Cut:
                continue
            different = list(self.new().audit.differences(self.desk.store))
            assert not different, f"{self.log}: {different}"

    def happen(self, move: Callable[[Publisher], object], publisher: Publisher, cut: int | None) -> None:
        """With `cut`, the disk fails at the so-many-th file that is put in place, or before that is remembered."""
        left = -1 if cut is None else cut

        def failing(*paths: str) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                raise Cut
            rename(*paths)

        rename = os.replace
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", failing)
            if cut == 0:
                patch.setattr("feedsync.store.Writer.mark_published", _raise_cut)
            move(publisher)

    def arrive(self, publisher: Publisher) -> None:
        for _ in range(self.random.randrange(1, 4)):
            self.keys.append(f"20250314260000{len(self.keys):04d}")
            self.write(self.keys[-1])
        self.desk.run(publisher=publisher)

    def revise(self, publisher: Publisher) -> None:
        if self.keys:
            self.write(self.random.choice(self.keys))
        self.desk.run(publisher=publisher)

    def write(self, key: str) -> None:
        choice = self.random.choice
        quote = f'<p><a href="http://quote.eastmoney.com/unify/r/1.60162{choice("0123")}">{choice(_NAMES)}</a></p>'
        body = f"<p>正文{self.random.randrange(1000)}。</p>{choice(['', quote])}"
        date = f"2025-03-{self.random.randrange(10, 20)} {self.random.randrange(24):02d}:00:00 +0800"
        title = f"标题{self.random.randrange(1000)}"
        self.desk.put(f"{key}.md", post(key, title, body, date, choice(_CATEGORIES), choice(_TAGS)))

    def remove(self, publisher: Publisher) -> None:
        if self.keys:
            (self.desk.inbox / f"{self.random.choice(self.keys)}.md").unlink(missing_ok=True)
        self.desk.run(publisher=publisher)

    def withdraw(self, publisher: Publisher) -> None:
        if self.keys:
            withdraw(self.desk.store, publisher, self.random.choice(self.keys), "", now=self.desk.now)
        else:
            self.desk.run(publisher=publisher)

    def restore(self, publisher: Publisher) -> None:
        if self.keys:
            restore(self.desk.store, publisher, self.random.choice(self.keys), now=self.desk.now)
        self.desk.run(publisher=publisher)

    def everything(self, publisher: Publisher) -> None:
        publisher.publish(self.desk.store, everything=True)

    def spoil(self, publisher: Publisher) -> None:
        """Somebody edits a published feed, which is of the next article."""
        feeds = sorted(self.desk.tree.root.rglob("*.atom"))
        if feeds:
            self.random.choice(feeds).write_text("<feed>", encoding="utf-8")
        publisher.publish(self.desk.store, everything=True)

    def decide_otherwise(self, publisher: Publisher) -> None:
        """Another configuration, as with SIGHUP."""
        now = self.desk.presentation
        changed = [
            replace(now, custom=() if now.custom else (_CUSTOM,)),
            replace(now, symbols=not now.symbols),
            replace(
                now, site=replace(now.site, formats=("atom",) if len(now.site.formats) > 1 else ("atom", "rss", "json"))
            ),
        ]
        self.desk.presentation = self.random.choice(changed)
        self.publishers = [self.new() for _ in range(2)]
        self.desk.run(publisher=self.publishers[0])


def _raise_cut(*_: object) -> None:
    raise Cut


def run(seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        history = History(Path(name), seed)
        try:
            history.go(15)
        finally:
            history.desk.close()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happened_the_tree_is_what_the_store_says(seed: int) -> None:
    run(seed)


if __name__ == "__main__":
    until, seed, found = time.monotonic() + float(sys.argv[1]), int((*sys.argv, "1000")[2]), 0
    while time.monotonic() < until:
        try:
            run(seed)
        except AssertionError as error:
            print(f"seed {seed}: {error}")
            found += 1
        seed += 1
    print(f"histories up to seed {seed - 1}: {found} problems")
    sys.exit(found > 0)
