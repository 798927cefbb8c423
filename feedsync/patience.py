"""Reading that may hang: a network disk that went away lets no system call return, and no exception ends one.

So it is done in a thread that can be left behind. The pass goes on with its other sources; while the thread
hangs, its source is refused at once; when the disk comes back the thread ends and the source is read again.
"""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from feedsync.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_T = TypeVar("_T")

_STRETCH = 500
"""Elements made in one thread: starting one costs more than finding a file."""

_LOOK_S = 1.0
"""How often whoever waits asks whether to stop."""

_left_behind: dict[str, Patience] = {}
"""By the name of the source. Nobody begins another reading of it; one that was under way may hang as well."""


class Patience:
    """Waits for the reading of one source, as long as something comes of it every `timeout_s`."""

    def __init__(self, source: str, timeout_s: float, check: Callable[[], object]) -> None:
        """`check` is called at least every second while waiting; it may raise."""
        self._source = source
        self._timeout_s = timeout_s
        self._check = check
        self._what: str | Callable[[], str] = "its folder"
        self._moved = 0.0
        self._thread: threading.Thread | None = None

    def tell(self, what: str) -> None:
        """What is going to be read now."""
        self._what = what
        self._moved = time.monotonic()

    def call(self, work: Callable[[], _T]) -> _T:
        """The result of `work`, which calls `tell` as it goes. Raises SourceError when it hangs."""
        if (left := _left_behind.get(self._source)) is not None:
            if left._hangs():
                raise left._error()
            _left_behind.pop(self._source, None)
        future: Future[_T] = Future()
        self._thread = threading.Thread(target=_fulfil, args=(future, work), name=f"read {self._source}", daemon=True)
        self._thread.start()
        try:
            return self.wait(future, self._timeout_s)
        except SourceError:
            if self._hangs():
                _left_behind[self._source] = self
            raise

    def wait(self, future: Future[_T], timeout_s: float) -> _T:
        """The result of work that goes on elsewhere. Raises SourceError when nothing comes of it for so long."""
        self._moved = time.monotonic()
        while not _done(future, min(_LOOK_S, timeout_s)):
            self._check()
            if time.monotonic() - self._moved > timeout_s:
                raise self._error()
        return future.result()

    def each(self, elements: Iterable[_T], what: Callable[[_T], str], stretch: int = _STRETCH) -> Iterator[_T]:
        """The same elements, made patiently, so many in one thread. Raises SourceError when the next one hangs."""
        iterator = iter(elements)

        def some() -> list[_T]:
            made = []
            for element in itertools.islice(iterator, stretch):
                made.append(element)
                self._what = partial(what, element)
                self._moved = time.monotonic()
            return made

        while made := self.call(some):
            yield from made

    def _hangs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _error(self) -> SourceError:
        what = self._what if isinstance(self._what, str) else self._what()
        return SourceError(
            f"source {self._source}: reading {what} hangs; its articles stay published",
            remedy="check the disk or the network it is on; the source goes on by itself",
        )


def _fulfil(future: Future[_T], work: Callable[[], _T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001  it is raised again where it is waited for
        future.set_exception(error)


def _done(future: Future[_T], timeout_s: float) -> bool:
    try:
        future.exception(timeout_s)
    except TimeoutError:
        return False
    return True
