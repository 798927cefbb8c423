"""What is reported as stored survives a power cut; feeds are the old ones or the new ones, and durable."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.crash.harness import RESYNC, Forge
from tests.crash.site import Site
from tests.crash.trace import CALLS, breaches

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not here")


def traced(folder: Path, mutation: str = "", argv: list[str] = RESYNC, articles: int = 3) -> list[str]:
    """The breaches of a later pass."""
    with Forge(mutation) as forge:
        site = Site(folder / "site", 1)
        site.arrive()
        forge.run(site)
        site.arrive(articles)
        (site.tree / "category/a.atom").unlink(missing_ok=True)
        log = folder / "trace"
        pid = forge.start(site.folder, argv, traced=True)
        command = ["strace", "-f", "-y", "-qq", "-e", f"trace={CALLS}", "-o", str(log), "-p", str(pid)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        assert forge.wait(pid) == 0, (site.folder / "out.err").read_text()
    text = log.read_text(encoding="utf-8", errors="replace")
    assert "rename(" in text
    assert "feedsync.db-wal" in text
    return breaches(text, site.database.resolve(), site.tree.resolve())


@needs_strace
@pytest.mark.parametrize("articles", [3, 40], ids=["few", "many"])
def test_everything_is_durable_before_anything_relies_on_it(tmp_path: Path, articles: int) -> None:
    assert traced(tmp_path, articles=articles) == []


@needs_strace
def test_publishing_is_as_durable(tmp_path: Path) -> None:
    assert traced(tmp_path, argv=["publish"]) == []


@needs_strace
@pytest.mark.parametrize(
    ("mutation", "breach"),
    [
        ("no_sync", "is renamed before it is durable"),
        ("sync_normal", "is published before it is stored"),
        ("no_lock", "without the lock"),
    ],
)
def test_the_trace_shows_what_no_kill_can(tmp_path: Path, mutation: str, breach: str) -> None:
    assert any(breach in found for found in traced(tmp_path, mutation))
