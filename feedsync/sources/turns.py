"""Whose turn it is to speak to a host: its places and its pace, for all sources of this process together.

Each source is fetched by a thread and an event loop of its own; what they share is kept by origin, under a lock.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from feedsync.values import Struct, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class _Waiting(Struct, eq=False):
    """One who waits for fewer than `places` to be taken."""

    places: int
    told: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Turns:
    """The places of one host. Those who wait are let in in the order they came, whatever their source."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0
        self._waiting: deque[_Waiting] = deque()
        self._started = float("-inf")

    @asynccontextmanager
    async def turn(self, places: int, delay_s: float) -> AsyncIterator[None]:
        """One of so many places, so long after the start of the last turn; whose it was does not matter."""
        await self._enter(places)
        try:
            with self._lock:
                now = time.monotonic()
                self._started = max(now, self._started + delay_s)
                pause_s = self._started - now
            await asyncio.sleep(pause_s)
            yield
        finally:
            self._leave()

    async def _enter(self, places: int) -> None:
        with self._lock:
            if not self._waiting and self._taken < places:
                self._taken += 1
                return
            waiting = _Waiting(places)
            self._waiting.append(waiting)
        try:
            await waiting.told
        except asyncio.CancelledError:
            self._give_up(waiting)
            raise

    def _give_up(self, waiting: _Waiting) -> None:
        with self._lock:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:
                self._taken -= 1  # it had just been let in
            self._let_in()

    def _leave(self) -> None:
        with self._lock:
            self._taken -= 1
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._taken < self._waiting[0].places:
            told = self._waiting.popleft().told
            self._taken += 1
            told.get_loop().call_soon_threadsafe(_tell, told)


def _tell(told: asyncio.Future[None]) -> None:
    if not told.done():
        told.set_result(None)


_lock = threading.Lock()
_of_hosts: dict[str, Turns] = defaultdict(Turns)


def turns_of(origin: str) -> Turns:
    """The turns of a host, the same for whoever asks."""
    with _lock:
        return _of_hosts[origin]
