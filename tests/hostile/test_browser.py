"""`make attack`: every page of the corpus in a real browser. No script runs, and nothing is asked of any other host."""

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from tests.conftest import Desk
from tests.hostile.corpus import HOME, articles

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ATOM = "{http://www.w3.org/2005/Atom}"

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is here"),
    pytest.mark.skipif("FEEDSYNC_ATTACK" not in os.environ, reason="`make attack` runs it"),
]


class Site(http.server.SimpleHTTPRequestHandler):
    """Serves a folder for whatever host is asked for, and takes down which that was. No header of ours protects it."""

    asked: list[tuple[str, str]]

    def send_head(self):  # type: ignore[no-untyped-def]
        self.asked.append((self.headers.get("Host", "").partition(":")[0], self.path))
        return super().send_head()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    asked: list[tuple[str, str]] = []
    kind = type("Asked", (Site,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(kind, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def visit(port: int, path: str, profile: Path) -> str:
    """The page as it stands when the browser is done with it. Every host in the world is our server."""
    assert BROWSER
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-extensions", "--disable-background-networking", "--disable-component-update",
        f"--user-data-dir={profile}", f"--host-resolver-rules=MAP * 127.0.0.1:{port}",
        "--virtual-time-budget=20000", "--dump-dom", f"http://127.0.0.1:{port}/{path}",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


def frames(paths: list[str]) -> str:
    return "<!doctype html><body>" + "".join(f'<iframe src="{path}"></iframe>' for path in paths)


def test_the_browser_would_tell(tmp_path: Path) -> None:
    root = tmp_path / "public"
    root.mkdir()
    (root / "bad.html").write_text(f"<img src=x onerror=\"new Image().src='http://{HOME}/ran'\"><p>a</p>")
    (root / "frames.html").write_text(frames(["bad.html"]))
    with serving(root) as (port, asked):
        visit(port, "frames.html", tmp_path / "profile")
    assert (HOME, "/ran") in asked


def test_no_script_runs_and_no_request_leaves(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for name, content in articles():
        desk.put(name, content)
    desk.run()
    desk.close()
    root = desk.tree.root
    pages = [str(path.relative_to(root)) for path in sorted(root.rglob("*.html"))]
    # A reader shows the content of an entry in a page of its own.
    for feed in sorted(root.rglob("*.atom")):
        contents = [e.findtext(ATOM + "content") or "" for e in etree.parse(feed).iter(ATOM + "entry")]
        titles = [e.findtext(ATOM + "title") or "" for e in etree.parse(feed).iter(ATOM + "entry")]
        reader = root / f"reader-{feed.parent.name}-{feed.stem}.html"
        shown = "".join(f"<div>{content}</div>" for content in contents)
        reader.write_text(f"<!doctype html><meta charset=utf-8><body>{shown}", encoding="utf-8")
        pages.append(reader.name)
        assert titles
    assert len(set(pages)) == len(pages)
    with serving(root) as (port, asked):
        for start in range(0, len(pages), 120):
            (root / "frames.html").write_text(frames(pages[start : start + 120]))
            visit(port, "frames.html", tmp_path / "profile")
        seen = len({path for host, path in asked if host == "127.0.0.1" and path.endswith(".html")})
        assert [entry for entry in asked if entry[0] == HOME] == []
    assert seen > len(pages) * 0.99
