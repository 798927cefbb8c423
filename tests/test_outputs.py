"""Files are the complete old or the complete new ones, durably, and otherwise untouched."""

import errno
import gzip
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import brotli
import pytest

from feedsync.errors import OutputError
from feedsync.outputs import Tree, aside, copies, held
from feedsync.outputs.encode import encoded, suffixes
from feedsync.outputs.temporary import write


def test_writing_skipping_and_removing(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "public")
    with tree.batch() as batch:
        assert batch.put("category/a.atom", b"one")
        assert not (tmp_path / "public/category/a.atom").exists()
    before = (tmp_path / "public/category/a.atom").stat()
    with tree.batch() as batch:
        assert not batch.put("category/a.atom", b"one")
    after = (tmp_path / "public/category/a.atom").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    with tree.batch() as batch:
        assert batch.put("category/a.atom", b"two")
        assert tree.read("category/a.atom") == b"one"
    assert tree.read("category/a.atom") == b"two"
    with tree.batch() as batch:
        assert batch.remove("category/a.atom")
        assert not batch.remove("category/b.atom")
    assert tree.names("category") == set()


def test_each_change_is_dated_at_least_a_second_later(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    seconds = []
    for number in range(4):
        with tree.batch() as batch:
            batch.put("all.atom", str(number).encode())
        seconds.append(int((tmp_path / "all.atom").stat().st_mtime))
    assert seconds == sorted(set(seconds))


def test_an_abandoned_batch_leaves_no_trace(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    with tree.batch() as batch:
        batch.put("a", b"old")
    with pytest.raises(RuntimeError), tree.batch() as batch:
        batch.put("a", b"new")
        batch.put("b", b"new")
        raise RuntimeError
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"old"}


def test_sweeping_spares_the_files_of_living_processes(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tmp_path / "category").mkdir()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    try:
        for name in (f".a.atom.{gone.pid}.tmp", f"category/.b.atom.{child.pid}.tmp", ".other", "a.atom"):
            (tmp_path / name).write_bytes(b"x")
        assert tree.sweep() == 1
        assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == sorted(
            [f".b.atom.{child.pid}.tmp", ".other", "a.atom"]
        )
    finally:
        child.communicate(b"\n")


def test_sweeping_is_not_deceived_by_a_process_id_that_came_again(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as later:
        left = tmp_path / f".a.atom.{later.pid}.tmp"
        left.write_bytes(b"x")
        os.utime(left, (1, 1))
        assert Tree(tmp_path).sweep() == 1
        later.communicate(b"\n")


def test_a_dead_process_nobody_has_waited_for_writes_nothing(tmp_path: Path) -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    (tmp_path / f".a.atom.{zombie.pid}.tmp").write_bytes(b"x")
    assert Tree(tmp_path).sweep() == 1
    zombie.wait()


def synced(folder: Path, *puts: str) -> list[str]:
    """The names that batches, each of one line, make durable."""
    script = (
        "import os, sys; from pathlib import Path; from feedsync.outputs import Tree\n"
        "fsync = os.fsync\n"
        "def told(fd): print(os.path.basename(os.readlink(f'/proc/self/fd/{fd}'))); fsync(fd)\n"
        "os.fsync = told\n"
        + "".join(f"with Tree(Path(sys.argv[1])).batch() as batch: {put}\n" for put in puts)
    )  # fmt: skip
    command = [sys.executable, "-c", script, str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_a_rename_somebody_else_made_is_made_durable_before_it_counts(tmp_path: Path) -> None:
    """A process killed between rename and sync leaves the right bytes under a name a power cut may undo."""
    (tmp_path / "category").mkdir()
    (tmp_path / "category/a.atom").write_bytes(b"x")
    assert "category" in synced(tmp_path, "batch.put('category/a.atom', b'x')")


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "public").write_text("a file")
    with pytest.raises(OutputError, match="public"), Tree(tmp_path / "public").batch() as batch:
        batch.put("all.atom", b"x")


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not here")
def test_the_order_of_system_calls_is_write_sync_rename_sync(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from feedsync.outputs import Tree\n"
        "with Tree(Path(sys.argv[1])).batch() as batch: batch.put('all.atom', b'x' * 100)\n"
    )
    (tmp_path / "all.atom").write_bytes(b"old")
    log = tmp_path / "log"
    calls = "openat,write,fsync,fdatasync,syncfs,rename,renameat,renameat2"
    command = ["strace", "-f", "-o", str(log), "-e", f"trace={calls}", sys.executable, "-c", script, str(tmp_path)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    lines = log.read_text()
    tail = lines[lines.index(".all.atom.") :]
    order = re.findall(r"(write|fsync|rename)\w*\((.)", tail)
    assert [name for name, _ in order if name != "write"][:3] == ["fsync", "rename", "fsync"]
    assert order[0][0] == "write"


def large(seed: int) -> bytes:
    """Content whose copies are made while others are drawn."""
    return b"".join(b"<p>%d</p>" % (seed * number) for number in range(20_000))


def test_copies_of_large_files_are_of_what_was_given_last(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    with tree.batch() as batch:
        for seed in range(1, 5):
            assert batch.put("all.atom", large(seed))
        for number in range(20):
            assert batch.put(f"category/{number}.rss", large(number))
    assert tree.holds("all.atom", large(4))
    assert all(tree.holds(f"category/{number}.rss", large(number)) for number in range(20))
    with tree.preparing() as prepared:
        prepared.put("all.json", large(7))
        handed_over = prepared.hand_over()
    with tree.batch() as batch:
        batch.adopt(handed_over)
    assert tree.holds("all.json", large(7))
    assert not list(tmp_path.rglob(".*"))


def test_an_abandoned_batch_leaves_no_copy_on_its_way(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Tree(tmp_path).batch() as batch:
        for number in range(30):
            batch.put(f"{number}.atom", large(number))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_cannot_be_written_fails_the_batch_before_anything_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, content: bytes) -> None:
        if Path(path).name.startswith(".3.atom.gz"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(copies, "write", full)
    with pytest.raises(OutputError, match="No space left"), Tree(tmp_path).batch() as batch:
        for number in range(6):
            batch.put(f"{number}.atom", large(number))
    assert list(tmp_path.iterdir()) == []


def test_encoded_copies_stand_beside_and_go_with_their_originals(tmp_path: Path) -> None:
    tree = Tree(tmp_path)

    def copies() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix in (".gz", ".br")}

    huge = os.urandom(70_000).hex().encode()
    assert suffixes("all.atom", len(huge)) == (".gz",)
    large, middle = "文章".encode() * 5000, b"<p>" * 1000
    for path, content in (("all.atom", large), ("a.html", middle), ("b.html", b"small"), ("c.png", large)):
        with tree.batch() as batch:
            assert batch.put(path, content)
        assert tree.holds(path, content)
    first = copies()
    assert set(first) == {"all.atom.gz", "all.atom.br", "a.html.gz"}
    assert gzip.decompress(first["all.atom.gz"]) == brotli.decompress(first["all.atom.br"]) == large
    assert first["all.atom.gz"][4:8] == bytes(4), "no time in the bytes"
    assert tree.names() == {"all.atom", "a.html", "b.html", "c.png"}
    for name in first:
        original = tmp_path / name[:-3]
        assert (tmp_path / name).stat().st_mtime_ns == original.stat().st_mtime_ns
    # What is lost, stale, broken or too much is mended, and the original is not touched for it.
    before = (tmp_path / "all.atom").stat()
    (tmp_path / "all.atom.gz").unlink()
    (tmp_path / "all.atom.br").write_bytes(b"stale")
    (tmp_path / "b.html.gz").write_bytes(b"stray")
    assert not tree.holds("all.atom", large)
    assert not tree.holds("b.html", b"small")
    with tree.batch() as batch:
        assert not batch.put("all.atom", large)
        assert not batch.put("b.html", b"small")
    assert copies() == first
    after = (tmp_path / "all.atom").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    os.utime(tmp_path / "a.html.gz", ns=(1, 1))
    assert not tree.holds("a.html", middle)
    with tree.batch() as batch:
        batch.put("article/1.html", middle)
        batch.put("article/2.html", large)
    assert tree.names("article") == {"1.html", "2.html"}
    assert sorted(p.name for p in (tmp_path / "article").iterdir()) == ["1.html", "2.html", "2.html.br", "2.html.gz"]
    # A file that shrinks loses its copies; one that goes takes them along.
    with tree.batch() as batch:
        assert batch.put("all.atom", b"small")
        assert batch.remove("a.html")
    assert copies() == {}
    (tmp_path / "x.atom.gz").write_bytes(b"an orphan")
    assert "x.atom.gz" in tree.names()


def test_whoever_saw_a_new_original_finds_no_older_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every step of putting in place: a copy is the old one or the new one, and new once its original is."""
    tree = Tree(tmp_path)
    versions = [str(n).encode() * 20_000 for n in range(2)]
    with tree.batch() as batch:
        batch.put("all.atom", versions[0])
    seen = []
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        replace(source, target)
        original = (tmp_path / "all.atom").read_bytes()
        copy = gzip.decompress((tmp_path / "all.atom.gz").read_bytes())
        seen.append((versions.index(original), versions.index(copy)))

    monkeypatch.setattr(os, "replace", watched)
    with tree.batch() as batch:
        batch.put("all.atom", versions[1])
    assert seen[-1] == (1, 1)
    assert (1, 0) not in seen
    assert len(seen) == 3


def test_a_batch_cut_short_is_mended_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)
    versions = [str(n).encode() * 20_000 for n in range(2)]
    for stop_after in range(3):
        with tree.batch() as batch:
            batch.put("all.atom", versions[0])
        left = iter(range(stop_after))

        def until(source: Path, target: Path, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise OSError(5, "cut")
            os.rename(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", until)
            with pytest.raises(OutputError), tree.batch() as batch:
                batch.put("all.atom", versions[1])
        for content in versions:  # whether the store went on or back meanwhile
            with tree.batch() as batch:
                batch.put("all.atom", content)
            assert tree.holds("all.atom", content)
        assert {p.name for p in tmp_path.iterdir()} == {"all.atom", "all.atom.gz", "all.atom.br"}


def test_the_last_word_on_a_path_counts(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    with tree.batch() as batch:
        batch.put("kept.atom", b"old")
        batch.put("there.atom", b"old")
    with tree.batch() as batch:
        batch.put("small.atom", large(1))
        batch.put("small.atom", b"<p>" * 100)
        batch.put("kept.atom", b"new")
        assert not batch.put("kept.atom", b"old")
        batch.remove("there.atom")
        batch.put("there.atom", b"again" * 1000)
        batch.put("gone.atom", large(2))
        assert not batch.remove("gone.atom")
    assert {p.name for p in tmp_path.iterdir()} == {"small.atom", "kept.atom", "there.atom", "there.atom.gz"}
    assert tree.holds("small.atom", b"<p>" * 100)
    assert tree.holds("kept.atom", b"old")
    assert tree.holds("there.atom", b"again" * 1000)


def test_whatever_ends_a_batch_no_copy_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(suffix: str, content: bytes) -> bytes:
        if content == large(1):
            raise MemoryError
        return encoded(suffix, content)

    monkeypatch.setattr("feedsync.outputs.copies.encoded", exhausted)
    with pytest.raises(MemoryError), Tree(tmp_path).batch() as batch:
        for number in range(1, 7):
            batch.put(f"{number}.atom", large(number))
    assert not batch._copying
    assert list(tmp_path.iterdir()) == []


def test_without_threads_copies_are_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    aside._threads.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        with Tree(tmp_path).batch() as batch:
            for number in range(12):
                batch.put(f"{number}.atom", large(number))
    assert all(Tree(tmp_path).holds(f"{number}.atom", large(number)) for number in range(12))
    with Tree(tmp_path).batch() as batch:
        batch.put("0.atom", large(20))
    assert Tree(tmp_path).holds("0.atom", large(20))
    assert not Tree(tmp_path).leftovers()


def held_below(folder: Path) -> list[str]:
    """The files of a folder this process has open."""
    links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if os.path.islink(link)]
    return [link for link in links if str(folder) in link]


def replace_all(folder: Path, number: int, *, files: int = 5) -> None:
    with Tree(folder).batch() as batch:
        for name in range(files):
            batch.put(f"{name}.atom", large(number))


def test_former_files_are_let_go_whether_threads_are_to_be_had_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are held open while others take their places, which takes a tenth of the time then."""

    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    replace_all(tmp_path, 1)
    aside._threads.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        replace_all(tmp_path, 2)
        assert held_below(tmp_path) == []
    replace_all(tmp_path, 3)
    aside._threads().shutdown()
    aside._threads.cache_clear()
    assert held_below(tmp_path) == []
    assert all(Tree(tmp_path).holds(f"{name}.atom", large(3)) for name in range(5))


def test_former_files_are_let_go_when_a_batch_fails(tmp_path: Path) -> None:
    replace_all(tmp_path, 1)
    (tmp_path / "3.atom").unlink()
    (tmp_path / "3.atom").mkdir()
    (tmp_path / "3.atom/in").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        replace_all(tmp_path, 2)
    aside._threads().shutdown()
    aside._threads.cache_clear()
    assert held_below(tmp_path) == []


def test_a_former_file_is_closed_once(tmp_path: Path) -> None:
    """Whoever is asked for a thread and has none may have done the work already; its descriptors are others' then."""
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.touch()
    former = held.hold(str(tmp_path), map(str, files))
    assert len(former) == 3
    held._close(former)
    with files[0].open("rb") as other:
        held._close(former)
        assert os.fstat(other.fileno()).st_size == 0


@pytest.mark.parametrize("spare", [2, 3, 9, 10, 11, 12])
def test_with_few_descriptors_left_no_former_file_is_held(tmp_path: Path, spare: int) -> None:
    script = """
import os, resource, sys
from pathlib import Path
from feedsync.outputs import Tree

def replace_all(number):
    with Tree(Path(sys.argv[1])).batch() as batch:
        for name in range(10):
            batch.put(f"{name}.atom", b"%d" % number * 300)

replace_all(1)
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
taken = []
while len(taken) < 200:
    try:
        taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        break
for _ in range(int(sys.argv[2])):
    os.close(taken.pop())
replace_all(2)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(spare)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert Tree(tmp_path).holds("9.atom", b"2" * 300)


def test_what_cannot_be_looked_at_is_not_taken_for_gone(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"), Tree(tmp_path).batch() as batch:
        batch.remove("x" * 300)
    name = "x" * 254  # its copy would have a name that is too long
    (tmp_path / name).write_bytes(b"small")
    with pytest.raises(OutputError, match="cannot be written"):
        Tree(tmp_path).holds(name, b"small")


def test_no_folder_is_made_below_one_that_is_gone(tmp_path: Path) -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os; from pathlib import Path; from feedsync.outputs import Tree; from feedsync.errors import OutputError\n"
            "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
            "try: Tree(Path('var/public')).batch().alias('a/x', 'y')\n"
            "except OutputError as error: print(error.message)",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert "var/public/a/x cannot be written" in told


def test_what_is_not_replaced_counts_too(tmp_path: Path) -> None:
    """Or a batch of a million pages that did not change would remember them all."""
    tree = Tree(tmp_path / "public")
    for _ in range(2):
        with tree.batch() as batch:
            for number in range(10):
                batch.put(f"article/{number}.html", b"<p>")
            assert len(batch) == 10
            batch.settle()
            assert len(batch) == 0


def test_a_copy_without_its_original_is_removed_with_it(tmp_path: Path) -> None:
    """A batch was cut short between the two."""
    tree = Tree(tmp_path / "public")
    (tree.root / "category").mkdir(parents=True)
    (tree.root / "category/a.html.gz").write_bytes(b"")
    with tree.batch() as batch:
        assert batch.remove("category/a.html")
        assert not batch.remove("category/b.html")
    assert not list((tree.root / "category").iterdir())
