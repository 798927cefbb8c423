"""Logs: one line an event on stderr, as `key=value` pairs that no input can forge.

systemd adds the time, so under it (`JOURNAL_STREAM`) it is left out and the priority prefix is put in.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime

_SYSLOG = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class LineFormatter(logging.Formatter):
    """`2026-01-02T03:04:05Z warning quarantined file="a.md" reason="..."`"""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        if self._journal:
            start = f"<{_SYSLOG.get(record.levelno, 6)}>"
        else:
            moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            start = f"{moment} {record.levelname.lower()} "
        words = [start + _escape(record.getMessage())]
        words += (f"{name}={_value(value)}" for name, value in fields.items())
        if record.exc_info:
            words.append(f"traceback={_value(self.formatException(record.exc_info))}")
        return " ".join(words)


def configure(*, verbose: bool = False) -> None:
    """Send all logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(journal="JOURNAL_STREAM" in os.environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("feedsync").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # a page without text is for us to report
    logging.raiseExceptions = False  # a full disk or a closed stderr must not stop the daemon


def _value(value: object) -> str:
    return str(value) if isinstance(value, int | float) else json.dumps(_printable(str(value)), ensure_ascii=False)


def _escape(text: str) -> str:
    return json.dumps(_printable(text), ensure_ascii=False)[1:-1]


def _printable(text: str) -> str:
    """Control and formatting characters, which a terminal would obey, written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
