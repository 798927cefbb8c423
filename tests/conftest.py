"""Real parts for every test: a folder, a SQLite file, a published tree, a clock that is a list of instants."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings

from feedsync import load
from feedsync.feeds import Presentation, Window
from feedsync.model import Document, Parsed, Site
from feedsync.outputs import Tree
from feedsync.parse import parse
from feedsync.publish import Publisher
from feedsync.report import SyncReport
from feedsync.sources import FileSource, Source
from feedsync.store import Store
from feedsync.sync import Request, run

settings.register_profile(
    "fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("fixed")

ROOT = Path(__file__).parent.parent
REAL = Path(os.environ.get("FEEDSYNC_ARTICLES", ROOT.parent / "shared" / "articles"))
SHANGHAI = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
SITE = Site("测试站", "http://127.0.0.1:8080", "example.org,2026")

needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real articles are not here")


def read(name: str, content: str | bytes) -> Parsed:
    """Parse a document given as text."""
    return parse(Document("s", name, name, content.encode() if isinstance(content, str) else content), SHANGHAI)


def post(
    code: str = "202503142600000001",
    title: str = "标题",
    body: str = "<p>正文。</p>",
    date: str = "2025-03-14 10:00:00 +0800",
    category: str = "emnews",
    tag: str = "东财滚动新闻",
) -> str:
    """A post in the shape of the newest generation."""
    return (
        f'---\nlayout: post\ntitle: "{title}"\ndate: {date}\ncategories: {category}\ntags: {tag}\n---\n{body}\n\n'
        f"<http://finance.example.com/news/1350,{code}.html>\n\n"
        "[返回东财滚动新闻](//finews.example.org/emnews/)｜[返回首页](//finews.example.org/)"
    )


class Desk:
    """A site on a scratch folder: put files, run passes, look at the tree."""

    def __init__(self, folder: Path, site: Site = SITE, window: Window | None = None) -> None:
        self.folder = folder
        self.inbox = folder / "in"
        self.inbox.mkdir(exist_ok=True)
        self.tree = Tree(folder / "public")
        self.presentation = Presentation(site, window or Window())
        self.source = FileSource("articles", self.inbox)
        self.sources: list[Source] = []
        """Others than the folder; where there are any, the folder is one of them only when it stands here."""
        self.store = Store.open(f"sqlite:///{folder}/feedsync.db")
        self.now = START
        self.source_times: dict[int, datetime] = {}

    def put(self, name: str, content: str | bytes) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        # Two passes within one tick of the file system's clock look like one to a reader of stats.
        past = self.now.timestamp() - 3600
        os.utime(path, (past, past))
        return path

    def run(
        self, *, later: timedelta = timedelta(minutes=1), publisher: Publisher | None = None, **request: object
    ) -> SyncReport:
        self.now += later
        publisher = publisher or Publisher(self.tree, self.presentation)
        return run(self.store, publisher, self.sources or [self.source], Request(**request), now=self.now)  # type: ignore[arg-type]

    def published(self) -> dict[str, bytes]:
        """What is published, by path; not its encoded copies, which follow from it."""
        return {
            str(path.relative_to(self.tree.root)): path.read_bytes()
            for path in sorted(self.tree.root.rglob("*"))
            if path.is_file() and path.suffix not in (".gz", ".br")
        }

    def atom(self, name: str = "all.atom") -> str:
        return (self.tree.root / name).read_text(encoding="utf-8")

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """For tests that become somebody else, who may not read what is imported late: a pass was run before."""
    desk = Desk(tmp_path_factory.mktemp("imported"))
    desk.put("a.md", post())
    desk.run()
    desk.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileSource:
    """A source of thirty posts, which is worth worker processes here."""
    for number in range(30):
        code = f"2025031426000000{number:02d}"
        (tmp_path / f"{code}.md").write_text(post(code, f"标题{number}"), encoding="utf-8")
    monkeypatch.setattr(load, "_WORKERS_FROM", 20)
    monkeypatch.setattr(load, "_BATCH", 4)
    return FileSource("articles", tmp_path)
