"""A scratch site articles arrive at, and what must hold of it whatever was killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from lxml import etree

from feedsync import config
from feedsync.outputs import Tree
from feedsync.publish import Publisher
from feedsync.store import Store
from tests.conftest import post
from tests.counters import miscounted

ATOM = "{http://www.w3.org/2005/Atom}"
AUTHORITY = "example.org,2026"
CONFIG = f"""
[site]
title = "测试站"
base_url = "http://127.0.0.1:8080"
authority = "{AUTHORITY}"

[feeds]
min_entries = 500

[[feeds.custom]]
name = "some"
title = "一些"
query = "-没有的词"

[server]
port = 0

[[sources]]
name = "articles"
kind = "files"
path = "in"
"""
_TEMPORARY = re.compile(r".*\.tmp|\..*")


class Site:
    """A folder with a configuration; knows every article that was put in, and every one that was acknowledged."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.problems: list[str] = []
        self.present: dict[str, str] = {}
        """The title of each article whose file is in place, whole."""
        self.acknowledged: set[str] = set()
        self.words: dict[str, bool | None] = {}
        """Articles that were withdrawn (True) or brought back (False); None while nobody has said which it is."""
        self._ids: dict[Path, set[str]] = {}
        self._lock = threading.Lock()
        (folder / "in").mkdir(parents=True)
        (folder / "config").mkdir()
        (folder / "config/feedsync.toml").write_text(CONFIG, encoding="utf-8")
        (folder / "out").touch()

    @property
    def database(self) -> Path:
        return self.folder / "var/feedsync.db"

    @property
    def tree(self) -> Path:
        return self.folder / "var/public"

    def arrive(self, new: int = 3, edited: int = 1) -> None:
        """Some articles come in and some are edited, each file at once."""
        for _ in range(min(edited, len(self.present))):
            code = self.random.choice(sorted(self.present))
            self._put(code, f"改{self.random.randrange(10**6)} {code}")
        for _ in range(new):
            code = f"20250314{self.random.randrange(10**10):010d}"
            self._put(code, f"标题 {code}")

    def _put(self, code: str, title: str) -> None:
        category = "abc"[int(code) % 3]
        body = f"<p>{title}。</p>" + "<p>正文。</p>" * (int(code) % 40)
        partial = self.folder / "in" / f".{code}"
        partial.write_text(post(code, title, body, category=category, tag=f"{category}新闻"), encoding="utf-8")
        os.replace(partial, self.folder / "in" / f"{code}.md")
        with self._lock:
            self.present[code] = title

    def acknowledge(self, codes: set[str]) -> None:
        """What a pass has reported on its output covers everything that was in place when it began."""
        report = (self.folder / "out").read_text(encoding="utf-8")
        with contextlib.suppress(ValueError):
            json.JSONDecoder().raw_decode(report)
            self.acknowledged |= codes

    def look(self) -> None:
        """Read every feed as a subscriber may at any moment."""
        for path in [self.tree / "all.atom", *(self.tree / f"category/{c}.atom" for c in "abc")]:
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                if self._ids.get(path):
                    self.problems.append(f"{path.name} is gone")
                continue
            try:
                found = [entry.findtext(ATOM + "id") or "" for entry in etree.fromstring(content).iter(ATOM + "entry")]
            except etree.XMLSyntaxError as error:
                self.problems.append(f"{path.name} does not parse: {error}")
                continue
            ids = set(found)
            if len(ids) != len(found):
                self.problems.append(f"{path.name} repeats an id")
            with self._lock:
                known = {_id(code) for code in self.present}
                spoken = {_id(code) for code in self.words}
                before = self._ids.setdefault(path, set())
            if wrong := ids - known:
                self.problems.append(f"{path.name} has an id no article has: {min(wrong)}")
            if lost := before - ids - spoken:
                self.problems.append(f"{path.name} no longer has {min(lost)}")
            before |= ids

    def check_store(self) -> None:
        """What must hold the moment after a kill."""
        if not self.database.exists():
            if self.acknowledged:
                self.problems.append("there is no database")
            return
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check").fetchone()
            if answer != "ok":
                self.problems.append(f"quick_check: {answer}")
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'articles'").fetchone():
                stored: dict[str, int] = {}
            else:
                stored = dict(connection.execute("SELECT key, count(*) FROM articles GROUP BY key"))
                self.problems += miscounted(connection)
            if broken := connection.execute("PRAGMA foreign_key_check").fetchone():
                self.problems.append(f"foreign_key_check: {broken}")
        if lost := self.acknowledged - stored.keys():
            self.problems.append(f"acknowledged and not stored: {min(lost)}")
        if twice := [key for key, count in stored.items() if count != 1]:
            self.problems.append(f"stored more than once: {min(twice)}")

    def check_recovered(self) -> None:
        """What must hold after one pass without anything new."""
        self.check_store()
        self.look()
        loaded = config.load(self.folder / "config/feedsync.toml")
        publisher = Publisher(Tree(self.tree), loaded.presentation)
        with Store.open_readonly(f"sqlite:///{self.database}") as store:
            if different := list(publisher.audit.differences(store)):
                self.problems.append(f"publish --check: {different[0]}")
        all_atom = self.tree / "all.atom"
        feed = all_atom.read_text(encoding="utf-8") if all_atom.exists() else ""
        for code, title in self.present.items():
            shown = f"<title>{title}</title>" in feed
            if code in self.words:
                self._check_word(code, shown=shown, told=f' ref="{_id(code)}"' in feed)
            elif not shown:
                self.problems.append(f"all.atom has {code} not, or not as it was edited last")
        for path in self.tree.rglob("*"):
            if _TEMPORARY.fullmatch(path.name):
                self.problems.append(f"a temporary file is left: {path.name}")
        beside = {path.name for path in self.database.parent.iterdir() if path != self.tree}
        if strange := {name for name in beside if not name.startswith("feedsync.db") or name.endswith(".tmp")}:
            self.problems.append(f"left beside the database: {min(strange)}")

    def _check_word(self, code: str, *, shown: bool, told: bool) -> None:
        """An article is withdrawn altogether, or not at all; and as it was said, once that was acknowledged."""
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            statement = "SELECT withdrawn_us IS NOT NULL FROM articles WHERE key = ?"
            (withdrawn,) = connection.execute(statement, (code,)).fetchone()
        page = self.tree / f"article/{code}.html"
        gone = page.with_name(f"{page.name}.gone")
        if {bool(withdrawn), not shown, told, not page.exists(), gone.exists()} not in ({True}, {False}):
            self.problems.append(f"{code} is withdrawn by half")
        elif self.words[code] not in (None, bool(withdrawn)):
            self.problems.append(f"{code} is not as was acknowledged")


def _id(code: str) -> str:
    return f"tag:{AUTHORITY}:article/{code}"


class Subscriber:
    """Reads the feeds of a site over and over in a thread of its own."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.looks = 0

    def __enter__(self) -> Subscriber:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            self._site.look()
            self.looks += 1
