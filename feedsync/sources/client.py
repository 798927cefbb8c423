"""The HTTP client: many requests at once, all polite.

It runs in a thread of its own, so that storing never holds up a connection, and hands out answers as they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sys
import threading
import time
from collections import defaultdict, deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from feedsync.sources.address import checked, origin_of, shown
from feedsync.sources.exchange import Answer, Ask, Exchange, Spent, redirected
from feedsync.sources.fault import FetchFault
from feedsync.sources.freshness import MOST, back_off
from feedsync.sources.robots import Robots
from feedsync.sources.turns import turns_of
from feedsync.text import digest
from feedsync.values import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    import httpx

    from feedsync.sources.policy import FetchPolicy

log = logging.getLogger("feedsync.fetch")

_HOSTS_AT_ONCE = 32
_STRIKES = 8
"""So many URLs of a host failing in a row, whatever for, mean that the host is not well."""
_POLL_S = 0.1
_SWITCH_S = 0.0005
"""Each receiving and sending gives the interpreter away; to get it back from a thread that draws feeds took 5 ms."""


class Host(Struct):
    """What is known of a host across runs: its rules for robots, and when it may be asked again after failures."""

    robots: str | None = None
    robots_until: datetime | None = None
    failures: int = 0
    due: datetime | None = None
    changed: bool = False


class _Gate(Struct):
    """What befell a host in this run."""

    robots_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    strikes: int = 0
    slow_downs: int = 0


class Client:
    """Sends requests for one source. Use it as a context manager; leaving it gives up what is still under way."""

    _exchange: Exchange

    def __init__(
        self, source: str, policy: FetchPolicy, hosts: Mapping[str, Host], clock: Callable[[], datetime]
    ) -> None:
        """`hosts` are known hosts by origin; afterwards `self.hosts` has what is known of them then."""
        self._now = clock
        self.hosts: dict[str, Host] = defaultdict(Host, hosts)
        self.spent = Spent()
        self._source = source
        self._policy = policy
        self._answers: queue.SimpleQueue[Answer | BaseException | None] = queue.SimpleQueue()
        self._gates: dict[str, _Gate] = defaultdict(_Gate)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._thread is not None:
            loop, task = self._loop, self._task
            if loop is not None and task is not None:
                with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                    loop.call_soon_threadsafe(task.cancel)
            self._thread.join()

    def answers(self, asks: Sequence[Ask], wait_s: float = _POLL_S) -> Iterator[Answer | None]:
        """Send all of these; answers in the order they come, each ask answered once.

        None whenever nothing came for `wait_s`, so that the caller can do something else meanwhile.
        """
        self._thread = threading.Thread(target=self._run, args=[asks], name=f"fetch {self._source}", daemon=True)
        self._thread.start()
        while True:
            try:
                answer = self._answers.get(timeout=wait_s)
            except queue.Empty:
                yield None
                continue
            if answer is None:
                break
            if isinstance(answer, BaseException):
                raise answer
            yield answer
        self._thread.join()
        self._thread = None

    def _run(self, asks: Sequence[Ask]) -> None:
        sys.setswitchinterval(_SWITCH_S)
        try:
            with asyncio.Runner() as runner:
                runner.run(self._all(asks))
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 - handed to the thread that asked
            self._answers.put(error)
        finally:
            self._answers.put(None)

    async def _all(self, asks: Sequence[Ask]) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        by_host: dict[str, deque[tuple[Ask, httpx.URL]]] = defaultdict(deque)
        for ask in asks:
            try:
                url = checked(ask.url)
                by_host[origin_of(url)].append((ask, url))
            except FetchFault as fault:
                self._answers.put(Answer(ask, fault=fault))
        self._gates.clear()
        at_once = asyncio.Semaphore(_HOSTS_AT_ONCE)
        async with (
            Exchange(self._source, self._policy, self._now, self.spent) as self._exchange,
            asyncio.TaskGroup() as group,
        ):
            for waiting in by_host.values():
                group.create_task(self._host(waiting, at_once))

    async def _host(self, waiting: deque[tuple[Ask, httpx.URL]], at_once: asyncio.Semaphore) -> None:
        async with at_once, asyncio.TaskGroup() as group:
            for _ in range(min(self._policy.per_host_concurrency, len(waiting))):
                group.create_task(self._work(waiting))

    async def _work(self, waiting: deque[tuple[Ask, httpx.URL]]) -> None:
        while waiting:
            ask, url = waiting.popleft()
            try:
                answer = await self._answer(ask, url)
            except Exception as error:
                log.exception("client failed", extra={"fields": {"source": self._source, "url": shown(ask.url)}})
                answer = Answer(ask, fault=FetchFault("http", f"the client failed: {error}", remedy="report this bug"))
            self._answers.put(answer)

    async def _answer(self, ask: Ask, url: httpx.URL) -> Answer:
        """One ask from start to end, redirects and robots included."""
        origin = origin_of(url)
        host = self.hosts[origin]
        if host.due and host.due > self._now() and not ask.forced:
            return Answer(ask, deferred=host.due)
        try:
            answer = await self._follow(ask, url)
        except FetchFault as fault:
            self._failed(origin, fault)
            return Answer(ask, fault=fault)
        gate = self._gates[origin]
        gate.strikes = gate.slow_downs = 0
        if host.failures:
            host.failures, host.due, host.changed = 0, None, True
        return answer

    async def _follow(self, ask: Ask, url: httpx.URL) -> Answer:
        left_s = self._policy.total_timeout_s
        first = url
        for hop in range(self._policy.max_redirects + 1):
            if self._policy.robots:
                await self._obey_robots(url)
            conditions = {}
            if hop == 0 and ask.etag:
                conditions["If-None-Match"] = ask.etag
            if hop == 0 and ask.last_modified:
                conditions["If-Modified-Since"] = ask.last_modified
            own = origin_of(url) == origin_of(first)
            async with self._turn(url):
                started = time.monotonic()
                answer = await self._exchange.send(ask, url, conditions, left_s, own=own)
                left_s -= time.monotonic() - started
            if isinstance(answer, Answer):
                return answer
            url = redirected(url, answer)
        raise FetchFault("redirect", f"more than {self._policy.max_redirects} redirects")

    async def _obey_robots(self, url: httpx.URL) -> None:
        """Raises FetchFault (`robots`) when the host asks robots to stay away, or cannot say whether it does."""
        origin = origin_of(url)
        gate, host = self._gates[origin], self.hosts[origin]
        async with gate.robots_lock:
            if host.robots is None or host.robots_until is None or host.robots_until <= self._now():
                host.robots, kept_for = await self._fetch_robots(url)
                host.robots_until, host.changed = self._now() + kept_for, True
        rules = Robots(host.robots)
        if not rules.allows(str(url)):
            raise FetchFault(
                "robots", "its robots.txt asks us to stay away", remedy="respect that, or ask the owner; robots = false"
            )

    async def _fetch_robots(self, url: httpx.URL) -> tuple[str, timedelta]:
        """The rules of a host and how long they hold (RFC 9309, 2.3 and 2.4)."""
        place = url.join("/robots.txt").copy_with(fragment=None)
        ask = Ask("robots.txt", str(place))
        for _ in range(self._policy.max_redirects + 1):
            async with self._turn(place):
                try:
                    answer = await self._exchange.send(
                        ask, place, {}, self._policy.total_timeout_s, own=origin_of(place) == origin_of(url)
                    )
                except FetchFault as fault:
                    if 400 <= fault.status < 500 and fault.status != 429:
                        return "", MOST
                    if fault.code == "too-large":
                        return "", MOST
                    raise FetchFault(
                        fault.code if fault.host else "robots",
                        f"robots.txt cannot be read: {fault.message}",
                        host=fault.host,
                        retry_after=fault.retry_after,
                    ) from fault
            if isinstance(answer, Answer):
                return answer.content.decode("utf-8", "replace"), answer.fresh_for or MOST
            place = redirected(place, answer)
        return "", MOST

    def _turn(self, url: httpx.URL) -> AbstractAsyncContextManager[None]:
        """A place among those who speak to this host, at the pace it is spoken to."""
        origin = origin_of(url)
        asked_s = Robots(self.hosts[origin].robots).delay_s if self._policy.robots else 0
        delay_s = max(self._policy.min_delay_ms / 1000, asked_s)
        return turns_of(origin).turn(self._policy.per_host_concurrency, delay_s)

    def _failed(self, origin: str, fault: FetchFault) -> None:
        """Leave a host alone that cannot be reached, that asks for it repeatedly, or where everything fails."""
        gate, host = self._gates[origin], self.hosts[origin]
        if 400 <= fault.status < 500 and fault.status != 429:
            gate.strikes = gate.slow_downs = 0  # it is alive and means this URL alone
            return
        gate.strikes += 1
        gate.slow_downs = gate.slow_downs + 1 if fault.retry_after else 0
        if not (fault.host or gate.strikes >= _STRIKES or gate.slow_downs > 1):
            return
        now = self._now()
        if host.due is None or host.due <= now:
            host.failures += 1
            pause = back_off(host.failures, int.from_bytes(digest(origin)[:4], "big"))
            host.due, host.changed = now + max(pause, fault.retry_after or timedelta()), True
