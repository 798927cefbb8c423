"""The passes of a daemon: what comes first."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from feedsync import config, passes
from feedsync.passes import Passes
from feedsync.store import Store
from tests.conftest import post
from tests.test_cli import Shell

CODE = "202503142600000001"
OTHER = "202503142600000002"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    shell = Shell(tmp_path)
    shell.put("first.md", post(CODE))
    return shell


@pytest.fixture
def work(shell: Shell) -> Iterator[Passes]:
    loaded = config.load(shell.folder / "config/feedsync.toml")
    with closing(Store.open(loaded.store_url)) as store:
        yield Passes(loaded, store)


@contextmanager
def waiting(work: Passes) -> Iterator[None]:
    """A scan that waits until this is over."""
    scan = threading.Thread(target=work.scan, args=("articles",))
    scan.start()
    scan.join(0.2)
    assert scan.is_alive()
    yield
    scan.join(20)
    assert not scan.is_alive()
    assert work.status()["articles"]["failures"] == 0


def test_a_scan_waits_while_what_has_just_come_is_published(
    work: Passes, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that want the interpreter take three times as long as one: a scan of a million files is one."""
    monkeypatch.setattr(passes, "_GIVE_WAY_S", 60)
    work.scan("articles")
    shell.put("second.md", post(OTHER))
    work.note("articles", [b"second.md"])
    with waiting(work):
        work.look()


def test_a_scan_waits_for_the_warm_up(work: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "_GIVE_WAY_S", 60)
    assert work.catch_up()
    with waiting(work):
        work.warm_up()


def test_a_scan_waits_for_some_time_only(work: Passes, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "_GIVE_WAY_S", 0.01)
    work.note("articles", [b"second.md"])  # and nobody looks
    work.scan("articles")
    assert work.status()["articles"]["passes"] == 1


def test_a_file_that_is_being_written_delays_no_other(work: Passes, shell: Shell) -> None:
    slow, published = shell.folder / "in/slow.md", shell.folder / "var/public/all.atom"
    text = post(OTHER)
    with slow.open("w", encoding="utf-8") as file:
        file.write(text[:50])
        file.flush()
        work.note("articles", [b"slow.md"])
        assert work.look() == passes._RECHECK_S[0]
        assert work.note("articles", [b"first.md"])  # somebody has to look at once
        assert work.look() is None  # the other look is still to come
        assert (CODE in published.read_text(encoding="utf-8"), OTHER in published.read_text(encoding="utf-8")) == (
            True,
            False,
        )
        assert work.look(again=True) == passes._RECHECK_S[0]
        file.write(text[50:])
    assert work.look(again=True) is None
    assert OTHER in published.read_text(encoding="utf-8")


def test_an_article_does_not_wait_for_the_warm_up(work: Passes, shell: Shell) -> None:
    work.scan("articles")
    loaded = config.load(shell.folder / "config/feedsync.toml")
    with closing(Store.open(loaded.store_url)) as store:
        fresh = Passes(loaded, store)
        assert fresh.catch_up()
        shell.put("second.md", post(OTHER))
        fresh.note("articles", [b"second.md"])
        fresh.warm_up()  # is cut short
        assert fresh._publisher._drawing._front.seq == -1
        assert fresh.look() is None
        assert OTHER.encode() in (shell.folder / "var/public/all.atom").read_bytes()
        assert "滚动" in (shell.folder / "var/public/index.html").read_text(encoding="utf-8")
        fresh.warm_up()
        assert fresh._publisher._drawing._front.seq > 0
    shell("publish", "--check")


def test_a_start_goes_through_the_tree_only_when_a_publication_was_cut_short(work: Passes, shell: Shell) -> None:
    """Of a million articles that takes twenty seconds on a cold disk, and nobody is told READY before."""
    work.scan("articles")
    with subprocess.Popen(["true"]) as gone:
        pass
    left = shell.folder / f"var/public/article/.{CODE}.html.{gone.pid}.tmp"
    left.touch()
    assert work.catch_up()
    assert left.exists()
    with work._store.writing() as writer:
        writer.mark_all()
    assert work.catch_up()
    assert not left.exists()
