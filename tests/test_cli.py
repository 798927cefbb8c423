"""The commands as a user types them: output, errors and exit codes."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from feedsync.store import Store, exclusive
from tests.conftest import post

CODE = "202503142600000001"
CONFIG = """
[site]
title = "测试站"
base_url = "http://127.0.0.1:8080"
authority = "example.org,2026"

[[sources]]
name = "articles"
kind = "files"
path = "in"

[categories.emnews]
label = "滚动"
"""


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config").mkdir()
        (folder / "in").mkdir()
        self.configure(CONFIG)

    def configure(self, text: str) -> None:
        (self.folder / "config/feedsync.toml").write_text(text, encoding="utf-8")

    def put(self, name: str, content: str) -> None:
        (self.folder / "in" / name).write_text(content, encoding="utf-8")

    def __call__(self, *arguments: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "feedsync", *arguments]
        environment = {k: v for k, v in os.environ.items() if k != "FEEDSYNC_CONFIG"} | env
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, code=code).stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_day_with_the_commands(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    shell.put("bad.md", "")
    report = shell.json("resync", "--json", code=1)
    assert report["sources"]["articles"] | {"pending": 0, "error": None} == {
        "seen": 2, "new": 1, "revised": 0, "merged": 0, "unchanged": 0, "quarantined": 1, "failed": 0,
        "pending": 0, "requests": 0, "bytes": 0, "error": None, "faults": [],
    }  # fmt: skip
    assert report["feeds"]["written"] == 2
    assert report["seconds"] > 0
    (refused,) = shell.json("quarantine", "--json")["quarantine"]
    assert (refused["location"], refused["code"]) == ("bad.md", "empty")
    assert "bad.md" in shell("quarantine").stdout
    assert shell.json("status", "--json")["counts"]["articles"] == 1
    assert "daemon: not running" in shell("status").stdout
    (shell.folder / "in/bad.md").unlink()
    assert shell("resync").stderr == ""
    shown = shell.json("show", f"NW{CODE}", "--json")
    assert shown["key"] == CODE
    assert shown["documents"][0]["location"] == "a.md"
    assert shown["feeds"][1] == "http://127.0.0.1:8080/category/emnews.atom"
    for spelling in (CODE, f"http://finance.example.com/news/1350,{CODE}.html"):
        assert shell.json("show", spelling, "--json") == shown
    assert "标题" in shell("show", CODE).stdout
    assert shell("publish", "--check").stdout == ""
    (shell.folder / "var/public/all.atom").write_text("x")
    assert shell("publish", "--check", code=1).stdout == "all.atom\n"
    assert "1 written" in shell("publish").stdout
    shell("publish", "--check")
    assert "category emnews: 滚动" in shell("check-config").stdout


def test_a_dry_run_before_there_is_anything(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    assert shell.json("resync", "--dry-run", "--json")["sources"]["articles"]["new"] == 1
    assert not (shell.folder / "var").exists()


def test_status_counts_by_source(shell: Shell) -> None:
    other = "202503142600000002"
    shell.configure(CONFIG + '[[sources]]\nname = "more"\nkind = "files"\npath = "more"\n')
    (shell.folder / "more").mkdir()
    shell.put("a.md", post(CODE))
    shell.put("b.md", post(other))
    shell.put("bad.md", "")
    (shell.folder / "more/c.md").write_text(post(CODE), encoding="utf-8")
    shell("resync", code=1)
    status = shell.json("status", "--json")
    counts = {name: (row["files"], row["documents"], row["quarantined"]) for name, row in status["sources"].items()}
    assert counts == {"articles": (3, 2, 1), "more": (1, 1, 0)}
    told = {name: status["counts"][name] for name in ("articles", "documents", "revisions", "quarantined")}
    assert told == {"articles": 2, "documents": 3, "revisions": 2, "quarantined": 1}


def test_what_is_in_no_feed_is_listed_with_its_reason(shell: Shell) -> None:
    held, gone, expected, both = (f"20250314260000000{number}" for number in range(2, 6))
    shell.put("a.md", post(CODE))
    shell.put("held.md", f"---\ninfoCode: NW{held}\ndate: 2025-03-14\n---\n只有正文。\n")
    shell.put("gone.md", post(gone, "撤回的标题"))
    shell("resync")
    shell("withdraw", gone, "--reason", "作者要求")
    shell("withdraw", expected)
    shell.put("both.md", f"---\ninfoCode: NW{both}\ndate: 2025-03-14\nwithdrawn: true\n---\n只有正文。\n")
    shell("resync")
    counts = shell.json("status", "--json")["counts"]
    assert (counts["articles"], counts["held"], counts["withdrawn"]) == (1, 1, 2)
    found = {one["key"]: one for one in shell.json("unpublished", "--json")["unpublished"]}
    codes = {held: "held", gone: "withdrawn", expected: "withdrawn", both: "withdrawn"}
    assert {key: one["code"] for key, one in found.items()} == codes
    assert found[held]["documents"] == [{"source": "articles", "location": "held.md"}]
    assert (found[gone]["title"], found[expected]["title"]) == ("撤回的标题", None)
    assert "作者要求" in found[gone]["reason"]
    assert "has not come yet" in found[expected]["reason"]
    assert all(one["since"] for one in found.values())
    for key, one in found.items():
        verdict = shell.json("why", "all", key, "--json")
        assert (verdict["code"], verdict["reason"], verdict["since"]) == (one["code"], one["reason"], one["since"])
    told = shell("unpublished").stdout
    assert "articles: held.md" in told
    assert told.endswith("4 unpublished\n")
    shell.put("held.md", post(held, "补上的标题"))
    shell.put("both.md", post(both, "又一个标题"))
    shell("resync")
    shell("restore", gone)
    shell("restore", expected)
    assert shell("unpublished").stdout == "0 unpublished\n"


def test_naming_sources_and_codes(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    shell("resync", "articles")
    assert "there is no source 'nope'" in shell("resync", "nope", code=2).stderr
    assert shell.json("resync", "--info-code", CODE, "--json")["sources"]["articles"]["seen"] == 1
    assert "no source has" in shell("resync", "--info-code", "NW202503142600000009", code=1).stderr
    assert "not an infoCode" in shell("resync", "--info-code", "?!", code=2).stderr
    assert "there is no article" in shell("show", "NW202503142600000009", code=2).stderr


def test_where_the_configuration_is_found(shell: Shell) -> None:
    assert "config/feedsync.toml" in shell("check-config").stdout
    other = shell.folder / "other.toml"
    other.write_text(CONFIG.replace("测试站", "别的站"), encoding="utf-8")
    assert "别的站" in shell("check-config", FEEDSYNC_CONFIG=str(other)).stdout
    assert "别的站" in shell("--config", str(other), "check-config", FEEDSYNC_CONFIG="/nowhere").stdout
    assert "there is no configuration file" in shell("check-config", code=2, FEEDSYNC_CONFIG="/nowhere").stderr
    (shell.folder / "config/feedsync.toml").unlink()
    assert "there is no configuration file" in shell("resync", code=2).stderr


def test_every_fault_of_a_configuration_is_told_with_its_place(shell: Shell) -> None:
    shell.configure(
        CONFIG.replace('base_url = "http://127.0.0.1:8080"', 'base_ulr = "ftp://x"')
        .replace('authority = "example.org,2026"', 'authority = "nothing"\ntimezone = "Mars/Base"')
        .replace('path = "in"', 'path = "in"\ninterval = 5\nmax_body_bytes = "big"')
        + '[servr]\nport = 1\n[feeds]\nmin_entries = 0\n[[sources]]\nname = "x"\nkind = "ftp"\n'
    )
    told = shell("check-config", code=2).stderr
    for expected in (
        "site.base_ulr: there is no such key; did you mean 'base_url'?",
        "site.base_url: it is required",
        "sources[0].interval: there is no such key; did you mean 'interval_s'?",
        "sources[0].max_body_bytes: Expected int, got str, not 'big'",
        "servr: there is no such key; did you mean 'server'?",
        "feeds.min_entries: ",
        "sources[1].kind: there is no kind 'ftp'",
    ):
        assert expected in told
    shell.configure(
        CONFIG.replace('path = "in"', 'path = "in"\ncron = "30 6 * * 1-5"\ninterval_s = 60')
        + '[[sources]]\nname = "y"\nkind = "files"\npath = "y"\ncron = "0 0 * * *"\ncron_timezone = "Mars/Base"\n'
    )
    told = shell("check-config", code=2).stderr
    assert "sources[0].cron: write days of the week by name (mon-fri)" in told
    assert "sources[0].cron: a source has either cron or interval_s" in told
    assert "sources[1].cron_timezone: there is no time zone 'Mars/Base'" in told
    shell.configure(CONFIG.replace('path = "in"', 'path = "in"\ncron = "30 6 * * mon-fri"'))
    assert "at 30 6 * * mon-fri (UTC)" in shell("check-config").stdout
    for url in ("postgresql://u:secret@127.0.0.1/x", "mysql://x/y", "xyz", "", "sqlite://", "sqlite:///:memory:"):
        shell.configure(CONFIG + f'[store]\nurl = "{url}"\n')
        refused = shell("check-config", code=2)
        assert "store.url" in refused.stderr
        assert "secret" not in refused.stdout + refused.stderr
    shell.configure(CONFIG.replace("example.org,2026", "nothing") + "[server]\nport = 70000\n")
    told = shell("check-config", code=2).stderr
    assert "site.authority" in told
    assert "server.port" in told
    shell.configure(
        CONFIG + '[[sources]]\nname = "p"\nkind = "urls"\nurls = ["http://h.example/a"]\ncontent_selector = "div["\n'
        "rewrite = [{ match = 'a(b)', to = '\\2' }]\n"
    )
    told = shell("check-config", code=2).stderr
    assert "content_selector: " in told
    assert "rewrite[0]: invalid group reference" in told
    shell.configure("[site\n")
    assert "is not TOML" in shell("check-config", code=2).stderr


def test_an_unusable_store_or_tree_is_exit_code_3(shell: Shell) -> None:
    assert "run `feedsync resync` first" in shell("status", code=3).stderr
    shell.put("a.md", post(CODE))
    shell("resync")
    (shell.folder / "var/feedsync.db").write_bytes(b"not a database, certainly not one" * 100)
    assert "cannot be read" in shell("resync", code=3).stderr
    (shell.folder / "var/feedsync.db").unlink()
    os.rename(shell.folder / "var/public", shell.folder / "var/old")
    (shell.folder / "var/public").write_text("in the way")
    assert "public" in shell("resync", code=3).stderr


def test_a_vanished_source_is_exit_code_1(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    shell("resync")
    os.rename(shell.folder / "in", shell.folder / "away")
    done = shell("resync", code=1)
    assert "cannot be read" in done.stderr
    assert CODE in (shell.folder / "var/public/all.atom").read_text()


def test_a_second_pass_waits_for_the_first_and_says_so(shell: Shell) -> None:
    shell.put("a.md", post(CODE))
    shell("resync")
    lock = Store.lock_path(shell.folder / "var/feedsync.db")
    with exclusive(lock, timeout_s=0):
        waiting = subprocess.Popen(
            [sys.executable, "-m", "feedsync", "resync"], cwd=shell.folder, stderr=subprocess.PIPE, text=True
        )
        assert waiting.stderr is not None
        assert f"process {os.getpid()}" in waiting.stderr.readline()
        assert waiting.poll() is None
        # Readers wait for nobody.
        shell("status")
    waiting.communicate(timeout=30)
    assert waiting.returncode == 0


def test_two_passes_at_once_never_see_a_locked_database(shell: Shell) -> None:
    for number in range(40):
        shell.put(f"{number}.md", post(f"2025031426000000{number:02d}", f"标题{number}"))
    command = [sys.executable, "-m", "feedsync", "resync", "--full"]
    running = [
        subprocess.Popen(command, cwd=shell.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "locked" not in errors
    shell("publish", "--check")
    with closing(sqlite3.connect(shell.folder / "var/feedsync.db")) as connection:
        assert connection.execute("SELECT count(*) FROM articles").fetchone() == (40,)


@pytest.mark.parametrize("command", ["run", "resync", "publish", "status", "quarantine", "show", "check-config"])
def test_every_command_has_help_with_an_example(shell: Shell, command: str) -> None:
    assert (
        f"feedsync {command}" in shell(command, "--help").stdout or "feedsync --config" in shell(command, "-h").stdout
    )


def test_usage_errors_are_exit_code_2(shell: Shell) -> None:
    for wrong in (["nope"], ["resync", "--nope"], ["show"]):
        assert "Usage" in shell(*wrong, code=2).stderr
    assert shell("--version").stdout.startswith("feedsync ")
