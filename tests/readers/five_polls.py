"""Five polls of three readers with adds, edits, a burst, a late article and a restart between: `make readers`.

Each article must be shown exactly once by each reader in each format: none lost, none shown again.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import post
from tests.readers.clients import VENV, Client, Newsboat, Reader, Rss2email

SUBSCRIPTIONS: list[tuple[type[Newsboat | Rss2email | Reader], str]] = [
    (Newsboat, "all.atom"),
    (Newsboat, "all.rss"),
    (Newsboat, "category/busy.atom"),
    (Rss2email, "all.atom"),
    (Rss2email, "all.rss"),
    (Reader, "all.atom"),
    (Reader, "all.rss"),
    (Reader, "all.json"),
    (Reader, "category/busy.rss"),
]
NEWEST = datetime.now(UTC) - timedelta(hours=1)


class Paper:
    """A daemon over a folder of articles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config").mkdir()
        (folder / "in").mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        (folder / "config/feedsync.toml").write_text(
            f'[site]\ntitle = "测试站"\nbase_url = "{self.url}"\nauthority = "example.org,2026"\n'
            f"[server]\nport = {self.url.rpartition(':')[2]}\n"
            '[[sources]]\nname = "a"\nkind = "files"\npath = "in"\ninterval_s = 2\n',
            encoding="utf-8",
        )
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*FEEDSYNC, "run"], cwd=self.folder, stderr=log)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(30) == 0

    def write(self, number: int, title: str, at: datetime, body: str = "正文") -> None:
        code = f"20250314{number:010d}"
        text = post(code, title, f"<p>{body}{number}。</p>", f"{at:%Y-%m-%d %H:%M:%S} +0000", "busy")
        partial = self.folder / f"in/.{number}.md"
        partial.write_text(text, encoding="utf-8")
        partial.rename(self.folder / f"in/{number}.md")

    def until(self, text: str) -> None:
        """Wait until every format of every feed shows this."""
        deadline = time.monotonic() + 60
        for path in ("all", "category/busy"):
            for extension in ("atom", "rss", "json"):
                while text not in self._read(f"{path}.{extension}"):
                    assert time.monotonic() < deadline, (self.folder / "log").read_text()
                    time.sleep(0.1)

    def _read(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"{self.url}/{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""


FEEDSYNC = (sys.executable, "-m", "feedsync")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[list[str]]]:
    """What each subscription showed at each poll."""
    assert (VENV / "bin/r2e").exists(), "run `make readers`, which installs the readers"
    assert shutil.which("newsboat"), "install newsboat (Debian: apt-get install newsboat)"
    os.environ["NO_PROXY"] = "*"
    paper = Paper(tmp_path_factory.mktemp("paper"))
    clients: dict[tuple[str, str], Client] = {}
    for kind, path in SUBSCRIPTIONS:
        folder = tmp_path_factory.mktemp(kind.__name__)
        clients[kind.__name__, path] = kind(folder, f"{paper.url}/{path}")
    told: dict[tuple[str, str], list[list[str]]] = {key: [] for key in clients}

    def poll() -> None:
        for key, client in clients.items():
            told[key].append(client.poll())

    try:
        for number in range(5):
            paper.write(number, f"第{number}篇", NEWEST - timedelta(hours=10, minutes=-number))
        paper.until("第4篇")
        poll()
        paper.write(5, "第5篇", NEWEST - timedelta(hours=9))
        paper.write(6, "第6篇", NEWEST - timedelta(hours=9))
        paper.write(2, "第2篇改了题", NEWEST - timedelta(hours=10, minutes=-2), "改了的正文")
        paper.until("第6篇")
        paper.until("第2篇改了题")
        poll()
        for number in range(10, 90):
            paper.write(number, f"第{number}篇", NEWEST - timedelta(hours=5, seconds=-number))
        for number in range(10, 90):
            paper.until(f"第{number}篇")
        poll()
        paper.stop()
        subprocess.run([*FEEDSYNC, "resync", "--full"], cwd=paper.folder, check=True, capture_output=True)
        paper.start()
        paper.write(90, "迟到的第90篇", datetime(2020, 1, 1, tzinfo=UTC))
        paper.write(20, "第20篇", NEWEST - timedelta(hours=5, seconds=-20), "又改了的正文")
        paper.until("迟到的第90篇")
        paper.until("又改了的正文")
        poll()
        paper.write(91, "第91篇", NEWEST)
        paper.until("第91篇")
        poll()
    finally:
        paper.process.kill()
        paper.process.wait()
    return told


EXPECTED = [
    {f"第{number}篇" for number in range(5)},
    {"第5篇", "第6篇"},
    {f"第{number}篇" for number in range(10, 90)},
    {"迟到的第90篇"},
    {"第91篇"},
]


@pytest.mark.parametrize("subscription", [(kind.__name__, path) for kind, path in SUBSCRIPTIONS], ids=":".join)
def test_each_article_is_shown_exactly_once(
    shown: dict[tuple[str, str], list[list[str]]], subscription: tuple[str, str]
) -> None:
    polls = shown[subscription]
    assert [set(titles) for titles in polls] == EXPECTED
    assert all(count == 1 for titles in polls for count in Counter(titles).values())
