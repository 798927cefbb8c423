"""Three feed readers as their users run them: each is asked to fetch, and tells which articles it then shows as new."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Protocol

VENV = Path(__file__).parents[2] / ".cache/readers"
TIMEOUT_S = 120


class Client(Protocol):
    """A reader subscribed to one feed."""

    def poll(self) -> list[str]:
        """Fetch now; the titles newly shown, one for each time one is shown."""


def ran(*command: str, cwd: Path, **env: str) -> str:
    plain = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8", "NO_PROXY": "*"}
    done = subprocess.run(command, cwd=cwd, env=plain | env, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@dataclass
class Newsboat:
    """The terminal reader; whoever reads marks as read."""

    folder: Path
    url: str

    def poll(self) -> list[str]:
        (self.folder / "urls").write_text(self.url + "\n")
        (self.folder / "config").write_text("download-retries 1\n")
        # Locale and terminal are those of a cron job.
        ran("newsboat", "-u", "urls", "-C", "config", "-c", "cache.db", "-x", "reload", cwd=self.folder, TERM="dumb")
        with closing(sqlite3.connect(self.folder / "cache.db")) as cache, cache:
            unread = [row[0] for row in cache.execute("SELECT title FROM rss_item WHERE unread = 1 AND deleted = 0")]
            cache.execute("UPDATE rss_item SET unread = 0")
        return unread


@dataclass
class Rss2email:
    """Sends a mail for each article; here into a maildir, emptied at each poll."""

    folder: Path
    url: str

    def poll(self) -> list[str]:
        r2e = (str(VENV / "bin/r2e"), "-c", "r2e.cfg", "-d", "r2e.json")
        if not (self.folder / "r2e.cfg").exists():
            (self.folder / "Maildir").mkdir()
            ran(*r2e, "new", "reader@example.org", cwd=self.folder)
            config = (self.folder / "r2e.cfg").read_text()
            config = config.replace("email-protocol = sendmail", "email-protocol = maildir")
            config = config.replace("maildir-path = ~/Maildir", f"maildir-path = {self.folder}/Maildir")
            (self.folder / "r2e.cfg").write_text(config)
            ran(*r2e, "add", "feed", self.url, cwd=self.folder)
        ran(*r2e, "run", cwd=self.folder)
        titles = []
        for mail in sorted((self.folder / "Maildir/INBOX/new").iterdir()):
            message = BytesParser(policy=policy.default).parsebytes(mail.read_bytes())
            body = message.get_body()
            assert body is not None
            assert "正文" in body.get_content(), "a mail without its text"
            titles.append(str(message["subject"]))
            mail.unlink()
        return titles


@dataclass
class Reader:
    """The library lemon24/reader, in a process of its own."""

    folder: Path
    url: str

    PROGRAM = """
import json, sys
from reader import make_reader
with make_reader("reader.db") as reader:
    reader.add_feed(sys.argv[1], exist_ok=True)
    reader.update_feed(sys.argv[1])
    shown = list(reader.get_entries(read=False))
    for entry in shown:
        reader.mark_entry_as_read(entry)
    print(json.dumps([entry.title for entry in shown]))
"""

    def poll(self) -> list[str]:
        titles: list[str] = json.loads(ran(str(VENV / "bin/python"), "-c", self.PROGRAM, self.url, cwd=self.folder))
        return titles
