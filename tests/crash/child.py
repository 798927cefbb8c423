"""A feedsync to be killed: the command as it is, after the seeded bug asked for, if any.

A fork server: it imports feedsync once, and then starts a process for each line it reads. A line is JSON: `{"argv", "cwd", "out", "err",
"at", "traced"}`; the answer is its pid. `{"wait": pid}` answers with its exit code (negative for a signal).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crash import mutations

_PR_SET_PTRACER = 0x59616D61


def prepare() -> None:
    """Import all a pass needs, so that a fork can start at once."""
    import feedsync.cli
    import feedsync.config
    import feedsync.daemon
    import feedsync.publish
    import feedsync.store.database
    import feedsync.sync

    assert feedsync.sync
    mutations.apply(os.environ.get(mutations.VARIABLE, ""))


def run(argv: list[str]) -> int:
    """`feedsync ARGV...` in this process."""
    from feedsync import cli

    sys.argv = ["feedsync", *argv]
    return cli._main()


def serve() -> None:
    prepare()
    for line in sys.stdin:
        order = json.loads(line)
        answer = _wait(order["wait"]) if "wait" in order else _start(order)
        print(answer, flush=True)


def _start(order: dict[str, Any]) -> int:
    """The pid of a new process whose output is open: from here on, whatever it does and says is its own."""
    opened, opening = os.pipe()
    pid = os.fork()
    if pid:
        os.close(opening)
        os.read(opened, 1)
        os.close(opened)
        return pid
    code = 70
    try:
        os.close(opened)
        os.chdir(order["cwd"])
        for descriptor, path in ((0, os.devnull), (1, order["out"]), (2, order["err"])):
            stream = os.open(path, os.O_RDWR | os.O_CREAT | (os.O_TRUNC if descriptor else 0), 0o644)
            os.dup2(stream, descriptor)
            os.close(stream)
        os.close(opening)
        if order["traced"]:
            _await_tracer()
        if order["at"]:
            kill_at(order["at"])
        code = run(order["argv"])
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _await_tracer() -> None:
    """Until strace has this process."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
    while "TracerPid:\t0\n" in Path("/proc/self/status").read_text(encoding="ascii"):
        time.sleep(0.001)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_at(number: int) -> None:
    """Have this process killed before the given one of all calls by which Python changes a file or commits."""
    left = [number]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in ("write", "pwrite", "fsync", "replace", "unlink", "utime", "mkdir", "ftruncate"):
        setattr(os, name, counted(getattr(os, name)))

    from sqlalchemy.engine.default import DefaultDialect

    DefaultDialect.do_commit = counted(DefaultDialect.do_commit)  # type: ignore[method-assign]


if __name__ == "__main__":
    serve()
