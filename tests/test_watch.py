"""What the watcher tells of a folder."""

import os
import queue
from collections.abc import Iterable
from pathlib import Path

import pytest

from feedsync import watch
from feedsync.sources import FileSource, is_folder
from feedsync.watch import Watcher


class Told:
    """Collects what a watcher tells; a word can be waited for."""

    def __init__(self) -> None:
        self.words: queue.Queue[tuple[set[bytes], bool]] = queue.Queue()

    def __call__(self, source: FileSource, paths: Iterable[bytes], *, folder: bool) -> None:
        self.words.put((set(paths), folder))

    def until(self, path: bytes) -> tuple[set[bytes], bool]:
        """The first word of a path; what else had been told with or before it."""
        heard: set[bytes] = set()
        while True:
            paths, folder = self.words.get(timeout=20)
            heard |= paths
            if path in paths:
                return heard, folder


@pytest.mark.parametrize("few", [1000, 2])
def test_a_folder_moved_in_brings_its_files_along_and_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(watch, "_FEW", few)
    inbox, aside = tmp_path / "in", tmp_path / "aside"
    inbox.mkdir()
    for name in ("a.md", "deep/b.txt", "deep/c.png", "甲/文.md"):
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        (aside / name).touch()
    told = Told()
    watcher = Watcher(told)
    watcher.watch((FileSource("articles", inbox),))
    watcher.start()
    try:
        assert told.words.get(timeout=20) == (set(), True)  # it begins with a scan
        os.rename(aside, inbox / "batch")
        heard, folder = told.until(b"batch/a.md")
        files = [b"batch/a.md", b"batch/deep/b.txt", "batch/甲/文.md".encode()]
        assert (heard & set(files), folder) == (set(files[:few]), True)
        assert b"batch/deep/c.png" not in heard
    finally:
        watcher.stop()


def test_a_folder_that_is_gone_again_brings_nothing(tmp_path: Path) -> None:
    assert watch._first_below(FileSource("articles", tmp_path), b"gone") == set()


def test_nothing_is_followed_out_of_the_folder_or_into_what_is_hidden(tmp_path: Path) -> None:
    inbox = tmp_path / "in"
    for name in ("out", "in/.git", "in/plain/deep", "in/plain/.hidden"):
        (tmp_path / name).mkdir(parents=True)
    (inbox / "link").symlink_to(tmp_path / "out")
    (inbox / "plain/link").symlink_to(tmp_path / "out")
    source = FileSource("articles", inbox)
    through = [b"plain", b"plain/deep"]
    others = [b"link", b".git", b"plain/link", b"plain/.hidden", b"link/any"]
    assert [path for path in (*through, *others) if is_folder(source, path)] == through
