"""Worker processes: started when there is much to read, or before, when that can be foreseen."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from concurrent.futures import BrokenExecutor, Future
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from feedsync.allocator import keep_freed_memory
from feedsync.collector import relax_collector, retire_collector
from feedsync.errors import OutputError
from feedsync.forerunner import Forerunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import ProcessPoolExecutor

_LOOK_S = 5.0
"""How often a worker process looks whether its parent is still there, should nothing tell it."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workers:
    """As many processes as there are processors beside ours, none before they are started.

    Their work is found in `modules`, which they import first. What they have to hand over may be left in `folder`.
    Use as a context manager: at its end they are gone, and so is the folder.
    """

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self.count = max(1, (os.cpu_count() or 1) - 1)
        self._pool: ProcessPoolExecutor | None = None
        self._lost = False
        self._forerunners: dict[str, Forerunner] = {}
        self._folder = ExitStack()
        self.folder = ""

    @property
    def running(self) -> bool:
        """Whether they were started, so that what their start costs is spent, and none is known to be lost."""
        return self._pool is not None and not self._lost

    def start(self) -> None:
        """Start the processes, unless they are running. Raises OutputError when there is no place for the folder."""
        self._start("spawn")

    def fork(self) -> None:
        """Start them as copies of this process, which have imported what it has.

        For a process that has nothing open and only one thread; see docs/decisions/0029-forked-workers.md. Another
        gets them as `start` does.
        """
        self._start("fork" if _threads() == 1 else "spawn")

    def begin(self, name: str, parts: Iterable[bytes]) -> None:
        """Have a copy of this process work ahead under a name, before others are forked; not where `fork` would not."""
        if _threads() == 1:
            with suppress(OSError):
                self._forerunners[name] = Forerunner(parts, prepare_worker)

    def begun(self, name: str) -> list[bytes]:
        """Stop what works ahead under a name; the parts it has done."""
        forerunner = self._forerunners.pop(name, None)
        return forerunner.stop() if forerunner else []

    def _start(self, method: str) -> None:
        if self._pool is None:
            # A pass over little needs none of this, which costs 14 ms.
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context

            try:
                self.folder = self._folder.enter_context(TemporaryDirectory(prefix="feedsync-"))
            except OSError as error:
                raise OutputError(
                    f"there is no folder for temporary files: {error}",
                    remedy="set TMPDIR to one that can be written",
                ) from error
            self._pool = ProcessPoolExecutor(self.count, get_context(method), prepare_worker)
            try:
                for _ in range(self.count):  # the executor starts a process with the first work for it
                    self._pool.submit(_prepare, self._modules)
            except BaseException:
                self.kill()  # when one of many cannot be forked, the others wait for ever, and so would we at our end
                raise

    def submit(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have a process do some work. When one of them was killed, the future says so: BrokenExecutor."""
        self.start()
        assert self._pool is not None
        try:
            return self._pool.submit(work, *args, **kwargs)
        except BrokenExecutor as error:
            self._lost = True
            broken: Future[_T] = Future()
            broken.set_exception(error)
            return broken

    def make_ready(self) -> None:
        """Have those that run prepare what their modules know they will need, when they have done what they were given.

        For when there is nothing else for them to do: a module that has a function `make_ready` says what that is.
        """
        for _ in range(self.count if self.running else 0):
            self.submit(_make_ready, self._modules)

    def kill(self) -> None:
        """End them all: one hangs. Whoever waits for them is told BrokenExecutor."""
        from multiprocessing import active_children

        self._lost = True
        for worker in active_children():
            worker.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for name in tuple(self._forerunners):
            self.begun(name)
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._folder.close()


def _threads() -> int:
    """How many threads this process has, those of libraries included; 0 where nobody says."""
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return 0


def prepare_worker() -> None:
    """What a worker process does first."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))  # who started us hears of it, too, and says so
    relax_collector()
    keep_freed_memory()
    atexit.register(retire_collector)  # we wait for its end
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker waits for work for ever when the process that gave it some was killed."""
    from multiprocessing import parent_process

    if parent := parent_process():
        while os.getppid() == parent.pid:  # a forked one that hangs keeps open what tells the others
            parent.join(_LOOK_S)
        os._exit(1)


def _prepare(modules: tuple[str, ...]) -> None:
    for module in modules:
        import_module(module)  # and say nothing of it: a module cannot be sent


def _make_ready(modules: tuple[str, ...]) -> None:
    for module in map(import_module, modules):
        if make_ready := getattr(module, "make_ready", None):
            make_ready()
