"""Temporary files: where a file is written before it has its name, and which of them were left behind."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"\..+\.(\d+)\.tmp")
_PUBLIC = 0o644
_OUTDATED_BY_S = 2
"""A file may be dated up to a second into the future; see `Batch`."""


def temporary_for(target: str) -> str:
    """Where this process writes what is to become a file."""
    folder, slash, name = target.rpartition("/")
    return f"{folder}{slash}.{name}.{os.getpid()}.tmp"


def write(path: str, content: bytes) -> None:
    """Write a file that everybody may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, _PUBLIC)
    try:
        os.fchmod(descriptor, _PUBLIC)  # whatever the umask: another program may be the one that serves it
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def left_below(root: str) -> Iterator[str]:
    """The temporary files of processes that are gone."""
    for folder, folders, files in os.walk(root):
        for name in (*files, *folders):  # a link on its way is one or the other, or leads nowhere yet
            match = _NAME.fullmatch(name)
            path = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError):
                if match and not _writing(int(match.group(1)), os.lstat(path).st_mtime):
                    yield path


def _writing(pid: int, modified_s: float) -> bool:
    """Whether a process lives that may have written a file then: ids come again, after a restart above all."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat, open("/proc/uptime", "rb") as uptime:
            fields = stat.read().rpartition(b")")[2].split()
            age_s = float(uptime.read().split()[0]) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return True
    if fields[0] in (b"Z", b"X"):  # dead, and its parent has not asked for its exit code
        return False
    return time.time() - modified_s < age_s + _OUTDATED_BY_S
