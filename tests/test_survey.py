"""What a survey finds without the right to run a pass, and what comes of it under that right."""

import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsync import survey as surveys
from feedsync import sync, walk
from feedsync.publish import Publisher
from feedsync.sources import FileSource, Found, Stretch, look, paths_told_as, printable, stretches
from feedsync.store import Store
from feedsync.survey import Survey
from tests.conftest import Desk, post
from tests.counters import miscounted
from tests.test_sync import check

NAMES = (
    b"a.md",
    b"b.md",
    b"sub/a.md",
    b"sub/deep/c.txt",
    b"sub-a.md",
    "文章.md".encode(),
    b"bad\xff.md",
    b"d",
    b"d/x.md",
    b"f.md",
)
ODD = (
    b"a\\x00.md",
    b"\\x30.md",
    b"0.md",
    b"\\xff\xff.md",
    b"\\x2fetc\\x2fpasswd.md",
    b"\xe6\x96.md",
    b"\xff" * 9 + b".md",
)
WHOLE = tuple(post(f"20250314260000000{number}", f"标题{number}") for number in range(4))
KINDS = (*WHOLE, "", "not an article", "folder", "fifo", "outside", "inside", "dangling", "gone")


def make(root: bytes, name: bytes, kind: str) -> None:
    """Let a name of a folder be something, nothing before."""
    path = os.path.join(root, name)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    if kind == "gone":
        return
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        if os.path.lexists(folder):
            os.unlink(folder)
        os.makedirs(folder, exist_ok=True)
    match kind:
        case "folder":
            os.mkdir(path)
        case "fifo":
            os.mkfifo(path)
        case "outside":
            os.symlink(os.path.dirname(root), path)
        case "inside":
            os.symlink(os.path.join(root, b"a.md"), path)
        case "dangling":
            os.symlink(b"nowhere", path)
        case _:
            Path(os.fsdecode(path)).write_text(kind, encoding="utf-8")
            os.utime(path, (1_700_000_000, 1_700_000_000))


def state(desk: Desk) -> dict[str, list[tuple[object, ...]]]:
    """What the store knows of files, documents and refusals."""
    tables = {
        "files": "SELECT path, digest FROM files ORDER BY path",
        "documents": "SELECT location, article_id FROM documents ORDER BY location, article_id",
        "quarantine": "SELECT location, code, reason FROM quarantine ORDER BY location",
    }
    with desk.store.reading() as reader:
        return {name: [tuple(row) for row in reader.connection.exec_driver_sql(sql)] for name, sql in tables.items()}


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(NAMES + ODD), st.sampled_from(KINDS)), min_size=1, max_size=5),
        min_size=2,
        max_size=4,
    )
)
def test_a_pass_after_a_survey_does_what_a_pass_without_does(rounds: list[list[tuple[bytes, str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(surveys, "_ROWS", 3)
        patch.setattr("feedsync.sources.folder._STRETCH", 2)
        patch.setattr("feedsync.sources.folder._PART", 3)
        desks = []
        for half in ("with", "without"):
            (Path(folder) / half / "x").mkdir(parents=True)
            desks.append(Desk(Path(folder) / half / "x"))
        for desk in desks:
            make(os.fsencode(desk.inbox), b"always.md", post("202503142600000009"))
        for changes in rounds:
            told = []
            for desk, many in zip(desks, (1500, -1), strict=True):
                for name, kind in changes:
                    make(os.fsencode(desk.inbox), name, kind)
                with pytest.MonkeyPatch.context() as limit:
                    limit.setattr(surveys, "_MANY", many)
                    told.append(desk.run().sources["articles"])
            assert told[0] == told[1]
            assert state(desks[0]) == state(desks[1])
        for desk in desks:
            with closing(sqlite3.connect(desk.store.path)) as connection:
                assert not list(miscounted(connection))
            desk.close()


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen once, after the next survey and before its pass."""
    real = surveys.survey
    left = [act]

    def survey(*arguments: object) -> Survey | None:
        found = real(*arguments)  # type: ignore[arg-type]
        if left:
            left.pop()()
        return found

    monkeypatch.setattr(sync, "survey", survey)


def watched(desk: Desk, *paths: bytes) -> None:
    """The pass of a watcher."""
    assert desk.run(paths={"articles": frozenset(paths)}).clean


@pytest.fixture
def known(desk: Desk) -> Desk:
    """A desk with files that were read and are settled."""
    for number in range(3):
        desk.put(f"{number}.md", post(f"20250314260000000{number}", f"标题{number}"))
    desk.put("empty.md", "")
    desk.run()
    desk.run()
    return desk


def report(desk: Desk) -> tuple[int, int, int]:
    found = desk.run().sources["articles"]
    return found.new, found.unchanged, found.quarantined


def test_what_another_pass_took_after_the_survey_stays_taken(known: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def arrive() -> None:
        known.put("new.md", post("202503142600000007"))
        watched(known, b"new.md")

    meanwhile(monkeypatch, arrive)
    assert report(known) == (0, 3, 1)
    assert report(known) == (0, 4, 1)
    check(known)


def test_what_changed_after_the_survey_is_judged_as_it_is(known: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (known.inbox / "0.md").unlink()
    known.put("fresh.md", "")

    def back() -> None:
        known.put("0.md", post("202503142600000000", "又来了"))
        (known.inbox / "fresh.md").unlink()

    meanwhile(monkeypatch, back)
    assert report(known) == (0, 2, 1)
    assert "又来了" in known.atom()
    assert [path for path, _ in state(known)["files"]] == [b"0.md", b"1.md", b"2.md", b"empty.md"]
    check(known)


def test_a_refusal_after_the_survey_is_not_taken_for_healed(known: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        for name in ("bad.md", os.fsdecode(b"bad\xff.md")):
            known.put(name, "")
        known.run(paths={"articles": frozenset([b"bad.md", b"bad\xff.md"])})

    meanwhile(monkeypatch, refuse)
    assert report(known) == (0, 3, 3)
    assert [location for location, *_ in state(known)["quarantine"]] == ["bad.md", "bad\\xff.md", "empty.md"]


def test_what_healed_after_the_survey_has_healed(known: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def heal() -> None:
        known.put("empty.md", post("202503142600000007"))
        watched(known, b"empty.md")

    meanwhile(monkeypatch, heal)
    assert report(known) == (0, 4, 0)
    assert state(known)["quarantine"] == []
    check(known)


def test_a_survey_of_a_database_that_was_replaced_counts_for_nothing(
    known: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = known.store.path
    known.put("3.md", post("202503142600000003"))

    def replace() -> None:
        with Store.open(f"sqlite:///{known.folder}/other.db"):
            pass
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()
        os.replace(known.folder / "other.db", path)

    meanwhile(monkeypatch, replace)
    assert report(known) == (4, 0, 1)
    check(known)


def test_no_article_waits_for_a_survey(known: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow look at a large folder goes on while the watcher's pass takes and publishes an article."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(source: FileSource) -> Iterator[Stretch]:
        begun.set()
        assert go_on.wait(30)
        yield from stretches(source)

    monkeypatch.setattr(surveys, "stretches", slow)
    scan = threading.Thread(
        target=sync.run, args=(known.store, Publisher(known.tree, known.presentation), [known.source], sync.Request())
    )
    scan.start()
    try:
        assert begun.wait(30)
        known.put("new.md", post("202503142600000007", "快讯"))
        watched(known, b"new.md")
        assert "快讯" in known.atom()
    finally:
        go_on.set()
        scan.join()
    check(known)


def test_after_a_survey_only_what_it_found_is_looked_at(known: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []

    def spy(source: FileSource, path: bytes) -> object:
        looked.append(path)
        return look(source, path)

    monkeypatch.setattr(walk, "look", spy)
    monkeypatch.setattr(walk, "scan", None)
    known.put("new.md", post("202503142600000007"))
    (known.inbox / "1.md").unlink()
    assert report(known) == (1, 2, 1)
    assert looked == [b"1.md", b"new.md"]


@pytest.mark.parametrize("name", [b".hidden.md", b".git/a.md", b"link/a.md", b"folder.md", b"x.png", b"gone.md"])
def test_a_look_finds_what_a_scan_would_tell_of(desk: Desk, name: bytes) -> None:
    desk.put(".git/a.md", post())
    desk.put(".hidden.md", post())
    desk.put("x.png", "")
    (desk.inbox / "folder.md").mkdir()
    outside = desk.folder / "outside"
    outside.mkdir()
    (outside / "a.md").write_text(post(), encoding="utf-8")
    (desk.inbox / "link").symlink_to(outside)
    assert look(desk.source, name) is None
    assert [found.path for found in stretched(desk.source)] == [b"link"]


def stretched(source: FileSource) -> list[Found]:
    return [found for stretch in stretches(source) for found in stretch.refused]


@given(
    st.text(st.sampled_from("*?[]!a-b.md文"), max_size=8), st.text(st.sampled_from("ab[]!-.md文\n\udcff"), max_size=8)
)
def test_a_name_matches_as_patterns_do(pattern: str, name: str) -> None:
    source = FileSource("s", Path("."), (pattern,))
    assert source.matches(name) == (fnmatch(name, pattern) and not name.startswith("."))


@given(st.binary(max_size=12))
def test_a_path_is_found_again_by_what_was_told_of_it(path: bytes) -> None:
    location = printable(path)
    told = paths_told_as(location)
    assert path in told or (not told and location.count("\\x") > 8)
    assert {printable(one) for one in told} <= {location}


@pytest.mark.parametrize(
    "names", [[b"\\x2fetc\\x2fpasswd.md"], [b"a\\x00.md"], [b"\\xff\xff.md"], [b"\\x30.md", b"0.md"]]
)
def test_a_name_that_looks_escaped_is_that_name(desk: Desk, names: list[bytes]) -> None:
    for name in names:
        desk.put(os.fsdecode(name), "")
    for _ in range(3):
        report = desk.run().sources["articles"]
        assert (report.seen, report.quarantined) == (len(names), len(names))
        assert len(state(desk)["quarantine"]) == len(names)
    for name in names:
        (desk.inbox / os.fsdecode(name)).unlink()
    desk.put("good.md", post())
    assert desk.run().clean
    assert state(desk)["quarantine"] == []


def test_a_folder_that_becomes_a_file_refuses_nothing(known: Desk) -> None:
    known.put("a/x.md", post("202503142600000050"))
    known.run()
    shutil.rmtree(known.inbox / "a")
    (known.inbox / "a").write_text("file")
    assert report(known) == report(known) == (0, 3, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("mode", [0, 0o111, 0o444])
def test_a_folder_that_cannot_be_read_is_refused_once_by_every_pass(mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        os.seteuid(65534)
        try:
            desk = Desk(Path(folder))
            for number in range(4):
                desk.put(f"sub/{number}.md", post(f"20250314260000000{number}"))
            desk.put("other.md", post("202503142600000009"))
            desk.run()
            desk.run()
            (desk.inbox / "sub").chmod(mode)
            found = []
            for many in (1500, -1, 1500):
                monkeypatch.setattr(surveys, "_MANY", many)
                found.append(report(desk))
            (desk.inbox / "sub").chmod(0o755)
            assert report(desk) == (0, 5, 0)
            desk.close()
        finally:
            os.seteuid(0)
    assert set(found) == {(0, 1, 4) if mode == 0o444 else (0, 1, 1)}


def test_what_was_refused_when_asked_for_by_code_counts_once(known: Desk) -> None:
    (known.inbox / "1.md").unlink()
    (known.inbox / "1.md").symlink_to("/etc/passwd")
    known.run(codes=("202503142600000001",))
    assert report(known) == report(known) == (0, 2, 2)


def test_a_slow_disk_is_heard_of_file_by_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        desk.put(f"{number}.md", "")
        (desk.inbox / f"folder{number}").mkdir()
    monkeypatch.setattr("feedsync.sources.folder._STRETCH_S", -1)
    parts = list(stretches(desk.source))
    assert [len(stretch.files) for stretch in parts if stretch.files] == [1] * 5
    assert len(parts) > 10  # folders count as well


def test_links_beside_a_folder_of_a_longer_name_lead_there(desk: Desk) -> None:
    desk.put("a/x.md", post())
    (desk.inbox / "ab").mkdir()
    (desk.inbox / "ab/y.md").symlink_to(desk.inbox / "a/x.md")
    (desk.inbox / "ab/l.md").symlink_to(desk.inbox / "a")
    (refused,) = stretched(desk.source)
    assert refused.refused is not None
    assert "circle" not in refused.refused.message


@settings(max_examples=60)
@given(st.sets(st.binary(min_size=1, max_size=4).filter(lambda name: not {*b"/\0"} & {*name}), max_size=40))
def test_names_come_in_the_order_of_their_bytes_in_whatever_parts_they_are_sorted(stems: set[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("feedsync.sources.folder._PART", 3)
        names = sorted(stem + b".md" for stem in stems if stem[:1] != b".")
        for number, name in enumerate(names):
            path = os.path.join(os.fsencode(folder), name)
            if number % 5:
                make(os.fsencode(folder), name, "")
            else:
                os.mkdir(path)
                make(path, b"a.md", "")
        inside = [name if number % 5 else name + b"/a.md" for number, name in enumerate(names)]
        source = FileSource("articles", Path(folder))
        assert [path for stretch in stretches(source) for path, *_ in stretch.files] == sorted(inside)
