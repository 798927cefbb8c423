"""Looking, copying, putting back; and a database that is lost, damaged, replaced or not ours."""

import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feedsync import doctor
from feedsync.errors import ClockError, OutputError, StoreError
from feedsync.publish import Publisher
from feedsync.store import Store, backup, exclusive
from feedsync.store.database import SCHEMA
from feedsync.sync import arrival_time
from tests.conftest import Desk, post
from tests.crash.harness import Forge
from tests.crash.site import Site
from tests.test_cli import CODE, Shell
from tests.test_store import make_old

SECOND = "202503142600000002"


class QuickShell(Shell):
    """A shell whose commands start from a process that has imported everything already."""

    def __init__(self, folder: Path, forge: Forge) -> None:
        super().__init__(folder)
        self._forge = forge

    def __call__(self, *arguments: str, code: int = 0, **_env: str) -> subprocess.CompletedProcess[str]:
        ended = self._forge.wait(self._forge.start(self.folder, list(arguments), name=".out"))
        out, err = ((self.folder / name).read_text(encoding="utf-8") for name in (".out", ".out.err"))
        assert ended == code, out + err
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, ended, out, err)


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge() as forge:
        yield forge


@pytest.fixture
def shell(tmp_path: Path, forge: Forge) -> Shell:
    return QuickShell(tmp_path, forge)


def tree(shell: Shell) -> dict[str, bytes]:
    root = shell.folder / "var/public"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def levels(shell: Shell, code: int) -> dict[str, list[str]]:
    """What the doctor found worse than a note, by check."""
    found: dict[str, list[str]] = {}
    for finding in shell.json("doctor", "--json", code=code)["findings"]:
        if finding["level"] not in ("ok", "note"):
            assert finding["remedy"]
            found.setdefault(finding["check"], []).append(finding["message"])
    return found


def test_a_healthy_site_is_called_healthy(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    assert set(levels(shell, 1)) == {"database", "tree"}
    shell("resync")
    assert levels(shell, 0) == {}
    said = shell("doctor").stdout
    for word in (
        "SQLite",
        "1 articles",
        "is what the store holds",
        "bytes free",
        "articles: in",
        "no daemon runs",
        *doctor._LIBRARIES,
    ):
        assert word in said


def test_the_doctor_finds_what_is_wrong(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    shell("resync")
    public = shell.folder / "var/public"
    (public / "all.atom").write_bytes(b"x")
    (public / "category/emnews.atom").unlink()
    (shell.folder / "in").rename(shell.folder / "away")
    found = levels(shell, 1)
    assert "all.atom, category/emnews.atom" in found["tree"][0]
    assert "cannot be read" in found["sources"][0]
    (shell.folder / "in").mkdir()
    assert "holds no *.md or *.txt" in levels(shell, 1)["sources"][0]
    ahead = datetime.now(UTC) + timedelta(days=3)
    with closing(sqlite3.connect(shell.folder / "var/feedsync.db")) as connection, connection:
        connection.execute("UPDATE memberships SET arrived_us = ?", (int(ahead.timestamp() * 1e6),))
    assert "behind the newest arrival" in levels(shell, 1)["clock"][0]
    shutil.rmtree(public)
    public.write_text("in the way")
    assert "tree" in levels(shell, 1)


def test_the_doctor_names_a_daemon_that_does_not_answer_and_a_pass(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    shell("resync")
    path = shell.folder / "var/feedsync.db"
    with exclusive(Store.daemon_lock_path(path), timeout_s=0), exclusive(Store.lock_path(path), timeout_s=0):
        assert f"pid {os.getpid()}, does not answer" in levels(shell, 1)["processes"][0]
        assert f"a pass runs, pid {os.getpid()}" in shell("doctor", code=1).stdout


def test_a_copy_brings_everything_back(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    shell("resync")
    shown = shell.json("show", CODE, "--json")
    copy = shell.folder / "copy.db"
    shell("backup", "copy.db")
    before = tree(shell)
    assert "exists already" in shell("backup", "copy.db", code=2).stderr
    shell("backup", "copy.db", "--force")
    assert "is the database itself" in shell("backup", "--force", "var/feedsync.db", code=2).stderr
    assert "cannot be copied" in shell("backup", "nowhere/copy.db", code=3).stderr.replace("could not", "cannot")
    assert [p.name for p in shell.folder.iterdir() if p.is_file() and p.name[0] != "."] == ["copy.db"]
    # What came since comes again from the sources; what was there stays beside.
    shell.put("b.md", post(SECOND, "后来的"))
    shell("resync")
    database = shell.folder / "var/feedsync.db"
    database.chmod(0o640)
    shell("restore", "copy.db")
    assert database.stat().st_mode & 0o777 == 0o640
    (aside,) = database.parent.glob("feedsync.db.before-restore-*")
    assert backup.check(aside) == SCHEMA
    assert shell.json("show", CODE, "--json") == shown
    assert shell.json("status", "--json")["counts"]["articles"] == 2
    shell("publish", "--check")
    shell("resync")
    assert levels(shell, 0) == {}
    # Without those sources it is as it was.
    (shell.folder / "in/b.md").unlink()
    assert SECOND in shell("restore", "copy.db", code=3).stderr
    shell("publish", "--force")
    assert tree(shell) == before
    assert backup.check(copy) == SCHEMA


def test_restoring_refuses_what_is_no_copy_and_a_running_daemon(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    shell("resync")
    shell("backup", "copy.db")
    database = shell.folder / "var/feedsync.db"
    before = database.read_bytes()
    with exclusive(Store.daemon_lock_path(database), timeout_s=0):
        assert f"pid {os.getpid()}" in shell("restore", "copy.db", code=3).stderr
    assert "there is no file" in shell("restore", "nothing.db", code=3).stderr
    (shell.folder / "empty.db").touch()
    (shell.folder / "text.db").write_bytes(b"no database" * 100)
    damaged = bytearray((shell.folder / "copy.db").read_bytes())
    damaged[4096 * 3 : 4096 * 9] = b"\xff" * 4096 * 6
    (shell.folder / "damaged.db").write_bytes(damaged)
    for name in ("empty.db", "text.db", "damaged.db"):
        assert "feedsync: " in shell("restore", name, code=3).stderr
    assert database.read_bytes() == before
    assert not list(database.parent.glob("*before-restore*"))


def test_every_copy_made_while_others_write_is_sound(desk: Desk, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            desk.put(f"{number}.md", post(f"2025031426000{number:05d}", f"标题{number}"))
            desk.run()
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(15):
            copy = tmp_path / f"copy-{number}"
            backup.back_up(desk.store.path, copy)
            assert backup.check(copy) == SCHEMA
            with closing(sqlite3.connect(copy)) as connection:
                (articles,) = connection.execute("SELECT count(*) FROM articles").fetchone()
                assert connection.execute("SELECT count(*) FROM documents").fetchone() == (articles,)
    finally:
        stop.set()
        writer.join()


def zero_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 100)


def trash(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def text(path: Path) -> None:
    path.write_text("this is no database at all\n" * 100)


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")


@pytest.mark.parametrize("ruin", [zero_header, trash, truncate, text, foreign, newer])
def test_a_database_that_cannot_be_used_changes_no_feed_and_is_restored(
    shell: Shell, ruin: Callable[[Path], None]
) -> None:
    shell.put("a.md", post(CODE))
    shell("resync")
    shell("backup", "copy.db")
    before = tree(shell)
    database = shell.folder / "var/feedsync.db"
    ruin(database)
    ruined = database.read_bytes()
    for command in ("resync", "status", "run"):
        told = shell(command, code=3).stderr.strip().splitlines()[-1]
        assert "feedsync.db" in told
        assert told.endswith(")"), "it says what to do"
    assert database.read_bytes() == ruined
    shell("doctor", code=3)
    assert tree(shell) == before
    shell("restore", "copy.db")
    assert tree(shell) == before
    shell("resync")
    assert levels(shell, 0) == {}


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: os.truncate(path, 0)], ids=["gone", "emptied"])
def test_a_lost_database_is_rebuilt_from_its_sources_and_publishes_no_loss(
    shell: Shell, lose: Callable[[Path], None]
) -> None:
    shell.put("a.md", post(CODE))
    shell.put("b.md", post(SECOND, "第二篇", category="other"))
    shell("resync")
    before = tree(shell)
    database = shell.folder / "var/feedsync.db"
    lose(database)
    assert "there is no database" in levels(shell, 1)["database"][0]
    assert "shows 2" in shell("publish", code=3).stderr  # with nothing in it, nothing is drawn
    shell("resync")
    assert tree(shell) == before
    # Now one of the sources has rotated away.
    lose(database)
    (shell.folder / "in/b.md").unlink()
    for command in (["resync"], ["resync", "--full"], ["publish"]):
        told = shell(*command, code=3).stderr
        assert f"1 unknown to it ({SECOND}" in told
        assert "feedsync restore" in told
        assert tree(shell) == before
    assert SECOND in levels(shell, 1)["tree"][0]
    shell("publish", "--force")
    assert SECOND not in (shell.folder / "var/public/all.atom").read_text()
    shell("resync")
    shell("publish", "--check")


@pytest.mark.parametrize("way", ["rebuilt", "older copy"])
def test_a_database_that_forgot_a_withdrawal_does_not_bring_the_article_back(shell: Shell, way: str) -> None:
    shell.put("a.md", post(CODE))
    shell.put("b.md", post(SECOND, "第二篇", category="other"))
    shell("resync")
    shell("backup", "copy.db")
    shell("withdraw", SECOND, "--reason", "误发")
    before = tree(shell)
    if way == "rebuilt":
        (shell.folder / "var/feedsync.db").unlink()
        told = shell("resync", code=3).stderr
    else:
        told = shell("restore", "copy.db", code=3).stderr
    assert f"1 articles were withdrawn ({SECOND}" in told
    assert tree(shell) == before
    assert SECOND in shell("resync", "--full", code=3).stderr
    assert tree(shell) == before
    shell("withdraw", SECOND, "--reason", "误发")
    shell("resync")
    shell("publish", "--check")
    assert SECOND not in (shell.folder / "var/public/category/other.rss").read_text()
    assert (shell.folder / f"var/public/article/{SECOND}.html.gone").exists()


def test_a_withdrawal_that_is_to_be_forgotten_is_with_force(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    shell("resync")
    shell("withdraw", CODE)
    (shell.folder / "var/feedsync.db").unlink()
    shell("resync", code=3)
    shell("publish", "--force")
    assert CODE in (shell.folder / "var/public/all.atom").read_text()
    shell("resync")
    shell("publish", "--check")


def test_an_older_database_in_its_place_publishes_no_loss(desk: Desk) -> None:
    desk.put("a.md", post())
    desk.run()
    desk.close()
    older = desk.folder / "older"
    shutil.copy(desk.store.path, older)
    desk.put("b.md", post(SECOND, "第二篇"))
    newest = Desk(desk.folder)
    newest.run()
    before = newest.published()
    newest.close()
    os.replace(older, desk.store.path)
    (desk.inbox / "b.md").unlink()
    desk.put("c.md", post("202503142600000003", "第三篇"))
    rolled_back = Desk(desk.folder)
    with pytest.raises(OutputError, match=SECOND):
        rolled_back.run()
    assert rolled_back.published() == before
    desk.put("b.md", post(SECOND, "第二篇"))
    rolled_back.run()
    assert list(Publisher(desk.tree, desk.presentation).audit.differences(rolled_back.store)) == []
    rolled_back.close()


def test_a_database_replaced_under_a_daemon_is_the_one_written(desk: Desk) -> None:
    desk.put("a.md", post())
    desk.run()
    copy = desk.folder / "copy"
    backup.back_up(desk.store.path, copy)
    os.replace(copy, desk.store.path)
    desk.put("b.md", post(SECOND, "第二篇"))
    desk.run()
    with closing(sqlite3.connect(desk.store.path)) as connection:
        assert connection.execute("SELECT count(*) FROM articles").fetchone() == (2,)
    before = desk.published()
    away = desk.folder / "away"
    os.rename(desk.store.path, away)
    for _ in range(2):
        with pytest.raises(StoreError, match="is gone; the feeds stay"):
            desk.run()
    assert not desk.store.path.exists()
    os.rename(away, desk.store.path)
    desk.run()
    assert desk.published() == before


def test_a_database_locked_by_another_program_is_waited_for_and_then_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put("a.md", post())
    desk.run()
    desk.put("b.md", post(SECOND, "第二篇"))
    with closing(sqlite3.connect(desk.store.path, isolation_level=None, check_same_thread=False)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, foreign.rollback).start()
        desk.run()
        foreign.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("feedsync.store.database.BUSY_TIMEOUT_S", 0)
        with Store.open(f"sqlite:///{desk.store.path}") as impatient:
            with pytest.raises(StoreError, match="another program has locked it"), impatient.writing():
                pass
            with impatient.reading() as reader:
                assert reader.totals()["articles"] == 2


@pytest.mark.parametrize("at", range(1, 12))
def test_a_migration_that_is_killed_is_done_again(tmp_path: Path, forge: Forge, at: int) -> None:
    site = Site(tmp_path / "site", 1)
    site.database.parent.mkdir()
    make_old(site.database)
    site.arrive()
    forge.run(site, at=at)
    with closing(sqlite3.connect(site.database)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] in (1, SCHEMA)
        assert connection.execute("SELECT value FROM state WHERE name = 'seq'").fetchone()
    forge.recover(site)
    assert site.problems == []


def test_an_arrival_is_never_before_the_one_before(desk: Desk) -> None:
    desk.put("a.md", post())
    desk.run()
    with desk.store.reading() as reader:
        last = reader.newest_arrival()
        assert last == desk.now
        assert arrival_time(reader, last + timedelta(hours=1)) == last + timedelta(hours=1)
        for back in (timedelta(0), timedelta(hours=1), timedelta(days=1)):
            assert last < arrival_time(reader, last - back) < last + timedelta(seconds=1)
        # It had been wrong before: the arrivals of that time stay, the others follow the clock.
        assert arrival_time(reader, last - timedelta(days=2)) == last - timedelta(days=2)
        with pytest.raises(ClockError, match="1970"):
            arrival_time(reader, datetime(1970, 1, 1, tzinfo=UTC))
