"""Work for other threads: encoding and system calls, which do not hold up Python while they take their time."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache, partial
from typing import TYPE_CHECKING, ParamSpec

from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")

_THREADS = 2


class Aside(Struct, frozen=True):
    """Work that was handed out, and how it goes."""

    work: Callable[[], object]
    future: Future[object]

    def abandon(self) -> None:
        """See to it that it does not go on."""
        if not self.future.cancel():
            wait((self.future,))

    def finish(self) -> None:
        """Do it here when nobody has begun, else wait for its end. Raises what it raises."""
        if self.future.cancel():
            self.work()
        else:
            self.future.result()


def aside(work: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> Aside:
    """Hand out work. It is done some time, even when nobody waits for it."""
    bound = partial(work, *args, **kwargs)
    threads = _threads()
    try:
        return Aside(bound, threads.submit(bound))
    except RuntimeError:  # no thread is to be had: what waits for one is not to be done some other time
        _threads.cache_clear()
        threads.shutdown()
        bound()
    done: Future[object] = Future()
    done.set_result(None)
    return Aside(bound, done)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="aside")
