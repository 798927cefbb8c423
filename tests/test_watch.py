"""What the watcher tells of a folder."""

import errno
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from inotify_simple import Event, INotify, flags

from feedsync import watch
from feedsync.sources import FileSource, folders, is_folder
from feedsync.watch import Watcher


class Told:
    """Collects what a watcher tells; a word can be waited for."""

    def __init__(self) -> None:
        self.words: queue.Queue[tuple[set[bytes], bool]] = queue.Queue()
        self.scans = 0

    def __call__(self, source: FileSource, paths: Iterable[bytes], *, folder: bool) -> None:
        self.words.put((set(paths), folder))

    def until(self, path: bytes) -> set[bytes]:
        """What had been told with or before the first word of a path."""
        heard: set[bytes] = set()
        while path not in heard:
            heard |= self._next()
        return heard

    def until_scan(self) -> None:
        """The next word that all of the folder is worth a look."""
        before = self.scans
        while self.scans == before:
            self._next()

    def touch_until_told(self, path: Path) -> set[bytes]:
        """Change a file until that is told, for nobody says when a watch begins. What was told."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            path.touch()
            with suppress(queue.Empty):
                return self._next(0.05)
        raise AssertionError(f"nothing was told of {path}")

    def _next(self, timeout_s: float = 20) -> set[bytes]:
        paths, folder = self.words.get(timeout=timeout_s)
        self.scans += folder
        return paths


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@contextmanager
def watched(inbox: Path) -> Iterator[Told]:
    """What is told of a folder, from the first scan on."""
    told = Told()
    watcher = Watcher(told)
    watcher.watch((FileSource("articles", inbox),))
    watcher.start()
    try:
        yield told
    finally:
        watcher.stop()


@pytest.mark.parametrize("few", [1000, 2])
def test_a_folder_moved_in_brings_its_files_along_and_a_scan(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(watch, "_FEW", few)
    aside = tmp_path / "aside"
    for name in ("a.md", "deep/b.txt", "deep/c.png", "甲/文.md"):
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        (aside / name).touch()
    with watched(inbox) as told:
        told.until_scan()
        os.rename(aside, inbox / "batch")
        heard = told.until(b"batch/a.md")
        files = [b"batch/a.md", b"batch/deep/b.txt", "batch/甲/文.md".encode()]
        assert heard & set(files) == set(files[:few])
        assert b"batch/deep/c.png" not in heard
        if few == 2:
            told.until_scan()  # it finds the others


def test_folders_are_watched_however_deep_and_wherever_they_go(inbox: Path, tmp_path: Path) -> None:
    (inbox / "2024/丙").mkdir(parents=True)
    with watched(inbox) as told:
        told.until_scan()
        (inbox / "2024/丙/old.md").touch()
        told.until("2024/丙/old.md".encode())
        (inbox / "2025").mkdir()
        (inbox / "2025/new.md").touch()
        told.until(b"2025/new.md")
        os.rename(inbox / "2024", inbox / "2023")
        told.until("2023/丙/old.md".encode())
        (inbox / "2023/丙/later.md").touch()
        heard = told.until("2023/丙/later.md".encode())
        assert not [path for path in heard if path.startswith(b"2024")]
        os.rename(inbox / "2023", tmp_path / "away")
        (inbox / "mark").mkdir()
        (inbox / "mark/a.md").touch()
        told.until(b"mark/a.md")
        (tmp_path / "away/丙/elsewhere.md").touch()
        (inbox / "here.md").touch()
        assert told.until(b"here.md") == {b"here.md"}


def test_nothing_is_missed_once_it_has_started(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is told READY may write at once; of a million files a scan finds it after ten seconds."""
    begin = watch._Ground.begin

    def slowly(ground: watch._Ground, *, recursive: bool) -> None:
        time.sleep(0.1)
        begin(ground, recursive=recursive)

    monkeypatch.setattr(watch._Ground, "begin", slowly)
    with watched(inbox) as told:
        (inbox / "a.md").touch()
        assert told.until(b"a.md") == {b"a.md"}


def test_no_folder_of_many_is_missed(inbox: Path) -> None:
    """One after the other while those before are being looked through, and below each other."""
    with watched(inbox) as told:
        told.until_scan()
        for number in range(40):
            (inbox / f"{number}").mkdir()
            (inbox / f"{number}/甲").mkdir()
        for number in range(40):
            (inbox / f"{number}/甲/a.md").touch()
            told.until(f"{number}/甲/a.md".encode())


def test_a_folder_that_went_and_returned_is_watched(inbox: Path, tmp_path: Path) -> None:
    with watched(inbox) as told:
        told.until_scan()
        os.rename(inbox, tmp_path / "aside")
        (tmp_path / "aside/new").mkdir()
        os.rename(tmp_path / "aside", inbox)
        told.until_scan()
        told.touch_until_told(inbox / "new/a.md")


def test_sources_in_one_folder_are_each_told(tmp_path: Path) -> None:
    (tmp_path / "in/x/.priv/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "in/x")
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    scanned = queue.Queue[str]()

    def changed(source: FileSource, paths: Iterable[bytes], *, folder: bool) -> None:
        for path in paths:
            heard.put((source.name, path))
        if folder:
            scanned.put(source.name)

    watcher = Watcher(changed)
    sources = {"in": "in", "priv": "in/x/.priv", "link": "link"}
    watcher.watch(tuple(FileSource(name, tmp_path / path) for name, path in sources.items()))
    watcher.start()
    try:
        assert {scanned.get(timeout=20) for _ in sources} == set(sources)
        (tmp_path / "in/x").touch()
        (tmp_path / "in/x/a.md").touch()
        (tmp_path / "in/x/.priv/deep/b.md").touch()
        wanted = {("in", b"x/a.md"), ("link", b"a.md"), ("priv", b"deep/b.md")}
        while wanted:
            wanted.discard(heard.get(timeout=20))
    finally:
        watcher.stop()


def test_a_link_to_a_folder_asks_for_a_scan(inbox: Path, tmp_path: Path) -> None:
    """It is refused, or what stands behind other links is another file now."""
    with watched(inbox) as told:
        told.until_scan()
        (tmp_path / "out").mkdir()
        (inbox / "link").symlink_to(tmp_path / "out")
        told.until_scan()


def test_when_the_system_lost_track_all_begins_anew(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = watch._together
    lost = threading.Event()

    def overflown(inotify: INotify) -> Iterator[Event]:
        yield from together(inotify)
        if not lost.is_set():
            lost.set()
            yield Event(-1, flags.Q_OVERFLOW, 0, "")

    with watched(inbox) as told:
        told.until_scan()
        monkeypatch.setattr(watch, "_together", overflown)
        (inbox / "new").mkdir()
        told.until_scan()
        told.touch_until_told(inbox / "new/a.md")


def test_folders_the_system_does_not_watch_are_told_once(
    inbox: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        (inbox / f"{number}").mkdir()
    real = INotify.add_watch

    def limited(inotify: INotify, path: bytes, mask: int) -> Any:
        if path != os.fsencode(inbox):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(inotify, path, mask)

    monkeypatch.setattr(INotify, "add_watch", limited)
    with watched(inbox) as told:
        told.until_scan()
        (inbox / "here.md").touch()
        told.until(b"here.md")
    (record,) = [record for record in caplog.records if record.name == "feedsync.watch"]
    assert "max_user_watches" in record.fields["remedy"]  # type: ignore[attr-defined]


def test_the_folder_itself_is_watched_while_those_below_are_still_looked_for(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a million files and a cold disk that takes half a minute."""
    (inbox / "below").mkdir()
    go = threading.Event()

    def slowly(source: FileSource, top: bytes) -> list[bytes]:
        assert go.wait(20)
        return list(folders(source, top))

    monkeypatch.setattr(watch, "folders", slowly)
    with watched(inbox) as told:
        assert (told.touch_until_told(inbox / "at-once.md"), told.scans) == ({b"at-once.md"}, 0)
        go.set()
        told.until_scan()
        (inbox / "below/then.md").touch()
        told.until(b"below/then.md")


def test_what_comes_into_a_folder_before_it_is_watched_need_not_wait_for_the_scan(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, asked = threading.Event(), threading.Event()

    def slowly(source: FileSource, top: bytes) -> list[bytes]:
        asked.set()
        assert go.wait(20)
        return list(folders(source, top))

    with watched(inbox) as told:
        told.until_scan()
        monkeypatch.setattr(watch, "folders", slowly)
        (inbox / "new").mkdir()
        assert asked.wait(20)
        (inbox / "new/a.md").touch()
        go.set()
        told.until(b"new/a.md")


def test_a_folder_that_is_gone_again_brings_nothing(tmp_path: Path) -> None:
    assert watch._first_below(FileSource("articles", tmp_path), b"gone") == []


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
    assert sorted(folders(source)) == [b"", *through]
    assert list(folders(source, b"plain/deep")) == [b"plain/deep"]
    assert list(folders(source, b"gone")) == [b"gone"]  # it is told of before it is listed


class Scripted:
    """Stands for the system: what it tells, step by step, and how long it was waited for."""

    def __init__(self, *steps: list[Event]) -> None:
        self._steps = iter(steps)
        self.waited_ms: list[int] = []

    def read(self, timeout: int) -> list[Event]:
        self.waited_ms.append(timeout)
        return next(self._steps, [])


def told(mask: flags, name: str) -> Event:
    return Event(1, mask, 0, name)


@pytest.mark.parametrize(
    ("events", "whole"),
    [
        ([told(flags.MOVED_TO, "a.md")], True),
        ([told(flags.CREATE, ".a.tmp"), told(flags.CLOSE_WRITE, ".a.tmp"), told(flags.MOVED_FROM, ".a.tmp"),
          told(flags.MOVED_TO, "a.md")], True),
        ([told(flags.CREATE, ".a.tmp"), told(flags.DELETE, ".a.tmp")], True),
        ([told(flags.CREATE, "a.md"), told(flags.CLOSE_WRITE, "a.md")], False),
        ([told(flags.CLOSE_WRITE, "a.md"), told(flags.MOVED_TO, "b.md")], False),
        ([told(flags.MOVED_TO, "a.md"), told(flags.MODIFY, "a.md")], False),
    ],
)  # fmt: skip
def test_only_what_was_moved_here_is_known_to_be_whole(events: list[Event], whole: bool) -> None:
    """Who closes a file may open it again to write the rest; half a post would be published, and then revised."""
    system = Scripted(events[:1], events[1:])
    assert list(watch._together(system)) == events
    assert system.waited_ms[-1] == (watch._MOVED_STEP_MS if whole else watch._STEP_MS)
    assert watch._MOVED_STEP_MS < watch._STEP_MS
