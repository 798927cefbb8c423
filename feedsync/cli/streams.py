"""Standard streams as they come: closed, full, broken, or in an encoding that has no Chinese."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

import click

_REMEDIES = {
    errno.ENOSPC: "free disk space",
    errno.EDQUOT: "free disk space, or raise the quota",
    errno.EROFS: "the file system is mounted read-only; mount it writable",
    errno.EACCES: "check permissions and owner",
    errno.EPERM: "check permissions and owner",
    errno.EMFILE: "raise LimitNOFILE of the service, or `ulimit -n`",
    errno.ENFILE: "the whole machine has too many files open",
    errno.ENOENT: "check that the current folder and the paths of the configuration exist",
    errno.EIO: "look at the kernel's log and the disk",
}


def fill_standard_streams() -> None:
    """Make writing harmless: no file of ours may get the number of a closed stream, no text is unspeakable."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Tell the operator, if there is a way."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def flushed() -> bool:
    """Whether all results were taken; when they were not, the interpreter is not to stumble over them at its end."""
    try:
        sys.stderr.flush()
    except OSError:
        abandon(2)
    try:
        sys.stdout.flush()
    except OSError as error:
        abandon(1)
        if error.errno != errno.EPIPE:
            say(f"feedsync: the result cannot be written: {error.strerror} ({remedy_of(error)})")
            return False
    return True


def abandon(stream: int) -> None:
    """Send nowhere what is left for a reader who has gone, or a disk that is full."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, stream)
    os.close(descriptor)


def remedy_of(error: OSError) -> str:
    return _REMEDIES.get(error.errno or 0, "see `feedsync doctor`")
