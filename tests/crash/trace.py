"""Judge a trace of system calls: was everything durable before the next thing relied on it?"""

from __future__ import annotations

import os
import re
from pathlib import Path

CALLS = "write,pwrite64,fsync,fdatasync,syncfs,rename,unlink,ftruncate,flock,close"
_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)", re.MULTILINE)
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>")


def breaches(trace: str, database: Path, tree: Path) -> list[str]:
    """What a power cut could have cost, or another process met, in the order it happened.

    `trace` is of `strace -f -y` over `CALLS`. A file is written, made durable, renamed, and its folder made durable. The
    log of the database is durable before a feed is renamed, before anything is said on standard output, and before it
    is removed. The database is written under the lock only.
    """
    found: list[str] = []
    dirty: set[str] = set()
    renamed: set[str] = set()
    locked = False
    log, lock = f"{database}-wal", f"{database}.lock"
    for name, arguments, result in _CALL.findall(trace):
        if result.startswith("-"):
            continue
        descriptor = _DESCRIPTOR.match(arguments)
        path = descriptor.group(2) if descriptor else ""
        paths = re.findall(r'"([^"]*)"', arguments)
        if path == lock or path.startswith(lock + " "):
            locked = (locked or name == "flock") and name != "close"
        writes = name in ("write", "pwrite64", "ftruncate")
        target = path if writes else _absolute(paths[0], database) if name == "unlink" else ""
        if target in (str(database), log) and not locked:
            found.append(f"{name} of {os.path.basename(target)} without the lock")
        if name == "unlink" and target == log and str(database) in dirty:
            found.append("the log is removed before the database is durable")
        if writes and descriptor and descriptor.group(1) == "1" and (log in dirty or renamed):
            found.append("something is said before it is durable")
        if writes and (path.startswith(str(tree)) or path in (str(database), log)):
            dirty.add(path)
        if name in ("fsync", "fdatasync"):
            dirty.discard(path)
            renamed.discard(path)
        if name == "syncfs":
            dirty -= {p for p in dirty if p.startswith(str(tree))}
        if name == "rename":
            old, new = (_absolute(p, database) for p in paths)
            if old in dirty:
                found.append(f"{os.path.basename(new)} is renamed before it is durable")
            if log in dirty:
                found.append(f"{os.path.basename(new)} is published before it is stored")
            renamed.add(os.path.dirname(new))
    if renamed:
        found.append(f"the names in {min(renamed)} are never made durable")
    return found


def _absolute(path: str, database: Path) -> str:
    return os.path.normpath(os.path.join(database.parent.parent, path))
