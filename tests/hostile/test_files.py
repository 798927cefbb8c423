"""Attacks by files: each is read whole or refused with its reason, and costs the other articles nothing."""

import importlib
import os
import pkgutil
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import feedsync
from feedsync.sources import FileSource, folder
from tests.conftest import Desk, post
from tests.test_sync import CODE, check

OTHER = "202503142600000002"


def healthy(desk: Desk) -> None:
    """The other article is published, and the tree is sound."""
    assert OTHER in desk.atom()
    check(desk)


@pytest.fixture
def crowd(desk: Desk) -> Desk:
    desk.put("healthy.md", post(OTHER, "好文章"))
    return desk


def test_a_file_that_vanishes_between_list_and_open_is_nobodys_fault(
    crowd: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = crowd.put("ghost.md", post(CODE))
    seen = folder.scan

    def scan(source: FileSource):  # type: ignore[no-untyped-def]
        for found in seen(source):
            path.unlink(missing_ok=True)
            yield found

    monkeypatch.setattr("feedsync.walk.scan", scan)
    assert crowd.run().clean
    healthy(crowd)


def test_a_file_replaced_over_and_over_is_one_or_the_other(crowd: Desk) -> None:
    whole = [post(CODE, f"标题{letter}", f"<p>{letter * 4000}</p>" * 20) for letter in "AB"]
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            for text in whole:
                partial = crowd.folder / "partial"
                partial.write_text(text, encoding="utf-8")
                os.replace(partial, crowd.inbox / "x.md")

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(10):
            crowd.run()
            text = crowd.atom()
            if CODE in text:
                found = [part in text for letter in "AB" for part in (f"标题{letter}", letter * 4000)]
                assert found in ([True, True, False, False], [False, False, True, True])
    finally:
        stop.set()
        writer.join()
    crowd.run()
    healthy(crowd)


@pytest.mark.parametrize(
    "name", ["a\nERROR forged=1.md", "\x1b[2Jx.md", "a\rb.md", "<script>.md", "-rf.md", "%2e%2e.md"]
)
def test_a_name_forges_no_line(crowd: Desk, name: str, caplog: pytest.LogCaptureFixture) -> None:
    from feedsync.log import LineFormatter

    (crowd.inbox / name).touch()
    report = crowd.run().sources["articles"]
    assert report.quarantined == 1
    lines = [LineFormatter(journal=False).format(record) for record in caplog.records]
    assert len(lines) == 1
    assert all(c.isprintable() for line in lines for c in line)
    healthy(crowd)


@pytest.mark.parametrize(
    "category",
    [
        "../../etc/x",
        "/abs",
        "..",
        ".",
        "a/b",
        "%2e%2e",
        "-rf",
        "CON",
        "a" * 300,
        "股" * 100,
        "a\\b",
        "~",
        "a.atom",
        "É",
    ],
)
def test_no_category_leads_out_of_the_tree(crowd: Desk, category: str) -> None:
    crowd.put("a.md", post(CODE, category=category))
    before = {path for path in crowd.folder.rglob("*") if crowd.tree.root not in path.parents}
    crowd.run()
    after = {path for path in crowd.folder.rglob("*") if crowd.tree.root not in path.parents}
    assert {path.name for path in after - before} <= {
        "public",
        "feedsync.db-wal",
        "feedsync.db-shm",
        "feedsync.db.lock",
    }
    published = [path.relative_to(crowd.tree.root).as_posix() for path in (crowd.tree.root / "category").rglob("*")]
    assert len(published) > 8
    for path in published:
        assert re.fullmatch(
            r"category/[a-z0-9][a-z0-9_-]*(?:/[0-9]+-[0-9]+\.html|\.(?:atom|rss|json|html))?(?:\.gz|\.br)?", path
        )
        assert len(path) < 250
    healthy(crowd)


@pytest.mark.parametrize("code", ["../../x", "/abs", "..", "a/b", "%2e%2e", "<script>", "é", "a" * 300, "a b"])
def test_no_code_leads_out_of_the_tree(crowd: Desk, code: str) -> None:
    crowd.put("a.md", f"---\ntitle: T\ndate: 2025-03-14 10:00:00\ninfoCode: {code}\n---\n正文。\n")
    crowd.run()
    for path in (crowd.tree.root / "article").iterdir():
        assert re.fullmatch(r"[a-z0-9._-]+\.html(?:\.gz|\.br)?", path.name)
    healthy(crowd)


def test_whatever_is_no_file_is_refused_and_never_opened(crowd: Desk) -> None:
    secret = crowd.folder / "secret"
    secret.write_text(post(CODE, "秘密"), encoding="utf-8")
    (crowd.inbox / "link.md").symlink_to(secret)
    (crowd.inbox / "zero.md").symlink_to("/dev/zero")
    (crowd.inbox / "loop.md").symlink_to("loop.md")
    os.mkfifo(crowd.inbox / "fifo.md")
    (crowd.inbox / "folder.md").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(crowd.inbox / "socket.md"))
    try:
        report = crowd.run().sources["articles"]
    finally:
        listener.close()
    assert (report.new, report.quarantined) == (1, 5)
    assert "秘密" not in crowd.atom()
    healthy(crowd)


def test_a_hundred_gigabytes_are_refused_unread(crowd: Desk) -> None:
    with (crowd.inbox / "big.md").open("wb") as file:
        file.truncate(100 * 2**30)
    started = time.process_time()
    assert crowd.run().sources["articles"].quarantined == 1
    assert time.process_time() - started < 5
    healthy(crowd)


def test_a_thousand_empty_files_cost_no_article(crowd: Desk) -> None:
    for number in range(1000):
        os.close(os.open(crowd.inbox / f"{number}.md", os.O_CREAT))
    report = crowd.run().sources["articles"]
    assert (report.new, report.quarantined) == (1, 1000)
    healthy(crowd)


@pytest.mark.parametrize("one", ["é", "e\u0301", "AP１", "AP1", "股票", "股-票"])
def test_a_category_has_one_file_whatever_its_spelling(crowd: Desk, one: str) -> None:
    crowd.put("a.md", post(CODE, category=one))
    for other, code in (("É", 3), ("ap1", 4), ("股_票", 5)):
        crowd.put(f"{code}.md", post(f"20250314260000000{code}", f"标题{code}", category=other))
    crowd.run()
    names = [path.name.lower() for path in (crowd.tree.root / "category").iterdir()]
    assert len(names) == len(set(names))
    healthy(crowd)


LONG = ["<" * 5000, "\n" * 8000, "a" * 50_000 + "!", " " * 20_000 + "x", "&#" * 5000, "（" * 20_000, "来源：" * 5000,
        "0" * 50_000, "<p " * 5000, "<!--" * 5000, "-" * 20_000, "[返回" * 5000, "2025-" * 8000, '"' * 20_000,
        "：" * 20_000, "a=" * 20_000, "</p>" * 5000, "{{" * 10_000, "；" * 20_000, "NW" * 20_000]  # fmt: skip


def patterns() -> list[tuple[str, Callable[[str], object]]]:
    """Every pattern of the program with every way it is used there."""
    found: list[tuple[str, Callable[[str], object]]] = []
    for module in pkgutil.walk_packages(feedsync.__path__, "feedsync."):
        if "migrations" in module.name or module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        source = Path(str(loaded.__file__)).read_text(encoding="utf-8")
        for name, value in vars(loaded).items():
            # What the sanitiser wrote has no `<` that is not closed.
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str) and not name.endswith("_IN_CLEAN"):
                ways = set(re.findall(rf"\b{name}\.(search|match|fullmatch|sub|finditer|findall|split)\(", source))
                for way in sorted(ways):
                    act = partial(value.sub, "") if way == "sub" else getattr(value, way)
                    found.append((f"{module.name}.{name}.{way}", act))
    return found


def test_no_pattern_takes_more_than_linear_time() -> None:
    assert len(patterns()) > 30
    slow = []
    for name, act in patterns():
        for text in LONG:
            for _ in range(3):  # a collection of garbage may fall into one of them
                started = time.process_time()
                found = act(text)
                if isinstance(found, Iterator):
                    list(found)
                if (took := time.process_time() - started) <= 0.25:
                    break
            else:
                slow.append((name, text[:8], round(took, 2)))
    assert slow == []


def test_links_are_absolute_or_gone(crowd: Desk) -> None:
    body = '<p><img src="a.png">甲<a href="b.html">乙</a><a href="//evil.example/x">丙</a><a href="#y">丁</a></p>'
    crowd.put("a.md", post(CODE, body=body))
    crowd.run()
    content = crowd.atom()
    for found in re.findall(r"(?:src|href)=(?:\"|&quot;)([^\"&]*)", content):
        assert re.match(r"https?://", found), found
    healthy(crowd)


def test_entities_and_external_documents_are_never_read(crowd: Desk) -> None:
    secret = Path("/etc/hostname").read_text().strip() if Path("/etc/hostname").exists() else "none"
    bomb = "".join(
        f'<!ENTITY l{n} "{"&l" + str(n - 1) + ";" if n else "ha"}{"&l" + str(n - 1) + ";" if n else ""}">'
        for n in range(30)
    )
    crowd.put(
        "a.md", post(CODE, body=f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">{bomb}]><p>甲&e;乙&l29;</p>')
    )
    started = time.process_time()
    crowd.run()
    assert time.process_time() - started < 2
    if len(secret) > 3:
        assert secret not in crowd.atom()
    assert len(crowd.atom()) < 20_000
    healthy(crowd)
