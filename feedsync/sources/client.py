"""The HTTP client: many requests at once, each bounded, all polite. The only module that sends requests.

It runs in a thread of its own, so that storing never holds up a connection, and hands out answers as they come.
httpx bounds neither the decoded size of a body nor the whole time of a request; both are bounded here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import ssl
import sys
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import httpcore
import httpx

from feedsync import __version__
from feedsync.sources.address import checked, origin_of, shown
from feedsync.sources.fault import FetchFault
from feedsync.sources.freshness import MOST, back_off, freshness, retry_after
from feedsync.sources.guard import GuardedBackend
from feedsync.sources.inflate import ACCEPTED, Inflater
from feedsync.sources.robots import Robots
from feedsync.sources.transport import StaleError, Transport
from feedsync.sources.turns import turns_of
from feedsync.text import digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from feedsync.sources.policy import FetchPolicy

log = logging.getLogger("feedsync.fetch")

_HOSTS_AT_ONCE = 32
_STRIKES = 8
"""So many URLs of a host failing in a row, whatever for, mean that the host is not well."""
_REDIRECTS = (301, 302, 303, 307, 308)
_POLL_S = 0.1
_SWITCH_S = 0.0005
"""Each receiving and sending gives the interpreter away; to get it back from a thread that draws feeds took 5 ms."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to make. `name` is what the asker knows it by; with `forced`, back-off does not hold it up."""

    name: str
    url: str
    etag: str = ""
    last_modified: str = ""
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: a body, `unchanged` (304), or a fault. Never more than one of them.

    `fresh_until` is how long the server lets it be used without asking again; `due`, with a fault of the host,
    until when the host is left alone.
    """

    ask: Ask
    url: str = ""
    media_type: str = ""
    content: bytes = b""
    unchanged: bool = False
    etag: str = ""
    last_modified: str = ""
    fresh_for: timedelta = timedelta()
    fault: FetchFault | None = None
    deferred: datetime | None = None


@dataclass(slots=True)
class Host:
    """What is known of a host across runs: its rules for robots, and when it may be asked again after failures."""

    robots: str | None = None
    robots_until: datetime | None = None
    failures: int = 0
    due: datetime | None = None
    changed: bool = False


@dataclass(slots=True)
class Spent:
    """Requests sent and bytes received, headers not counted."""

    requests: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Gate:
    """What befell a host in this run."""

    robots_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    strikes: int = 0
    slow_downs: int = 0


class Client:
    """Sends requests for one source. Use it as a context manager; leaving it gives up what is still under way."""

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
        async with self._client, asyncio.TaskGroup() as group:
            for waiting in by_host.values():
                group.create_task(self._host(waiting, at_once))
        del self.__dict__["_client"]

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
                answer = await self._exchange(ask, url, conditions, left_s, own=own)
                left_s -= time.monotonic() - started
            if isinstance(answer, Answer):
                return answer
            url = _redirected(url, answer)
        raise FetchFault("redirect", f"more than {self._policy.max_redirects} redirects")

    async def _exchange(
        self, ask: Ask, url: httpx.URL, conditions: dict[str, str], left_s: float, *, own: bool
    ) -> Answer | str:
        """One request and its answer, or where it redirects to; once more when a kept connection had been closed."""
        started = time.monotonic()
        try:
            return await self._request(ask, url, conditions, left_s, own=own)
        except StaleError:
            left_s -= time.monotonic() - started
            return await self._request(ask, url, conditions, left_s, own=own, fresh=True)

    async def _request(
        self, ask: Ask, url: httpx.URL, conditions: dict[str, str], left_s: float, *, own: bool, fresh: bool = False
    ) -> Answer | str:
        started = time.monotonic()
        fields: dict[str, object] = {"source": self._source, "url": shown(url)}
        answered: httpx.Response | None = None
        try:
            async with (
                asyncio.timeout(max(left_s, 0)),
                self._sent(url, conditions, own=own, fresh=fresh) as response,
            ):
                answered = response
                fields["status"] = response.status_code
                if response.status_code in _REDIRECTS and "location" in response.headers:
                    return response.headers["location"]
                return await self._read(ask, url, response, conditional=bool(conditions))
        except TimeoutError as error:
            fields["fault"] = "timeout"
            raise FetchFault("timeout", f"it took longer than {self._policy.total_timeout_s:g} s") from error
        except FetchFault as fault:
            fields["fault"] = fault.code
            raise
        except StaleError:
            fields["fault"] = "stale"
            raise
        finally:
            received = answered.num_bytes_downloaded if answered else 0
            fields |= {"bytes": received, "ms": round((time.monotonic() - started) * 1000)}
            log.info("request", extra={"fields": fields})

    @contextlib.asynccontextmanager
    async def _sent(
        self, url: httpx.URL, conditions: dict[str, str], *, own: bool, fresh: bool
    ) -> AsyncIterator[httpx.Response]:
        # What the operator set may be a token: it goes to the host it was set for, and nowhere else.
        configured = dict(self._policy.headers) if own else {}
        timeout = httpx.Timeout(self._policy.read_timeout_s, connect=self._policy.connect_timeout_s, pool=None)
        headers = configured | conditions
        self.spent.requests += 1
        try:
            async with self._client.stream(
                "GET", url, headers=headers, timeout=timeout, extensions={"fresh": fresh}
            ) as response:
                yield response
        except StaleError:
            raise
        except httpcore.TimeoutException as error:
            raise FetchFault("timeout", f"nothing came for {self._policy.read_timeout_s:g} s") from error
        except (httpcore.ConnectError, httpcore.ProxyError) as error:
            raise _connect_fault(error) from error
        except httpcore.RemoteProtocolError as error:
            raise FetchFault("http", f"the server broke off or does not speak HTTP: {error}") from error
        except (httpcore.NetworkError, OSError) as error:
            raise FetchFault("http", "the connection was reset in the middle") from error
        except httpx.RemoteProtocolError as error:  # httpx looks where a redirect leads even when it does not follow
            raise FetchFault("redirect", f"it redirects to something that is not a URL: {error}") from error
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchFault("http", f"the answer cannot be read: {error}") from error

    async def _read(self, ask: Ask, url: httpx.URL, response: httpx.Response, *, conditional: bool) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        status = response.status_code
        if status == 304 and conditional:
            return Answer(
                ask,
                str(url),
                unchanged=True,
                etag=headers.get("etag", ask.etag),
                last_modified=headers.get("last-modified", ask.last_modified),
                fresh_for=freshness(headers, self._now()),
            )
        if status != 200:
            raise _status_fault(status, headers, self._now())
        return Answer(
            ask,
            shown(url),
            headers.get("content-type", ""),
            await self._body(response, self._policy.max_body_bytes),
            etag=headers.get("etag", ""),
            last_modified=headers.get("last-modified", ""),
            fresh_for=freshness(headers, self._now()),
        )

    async def _body(self, response: httpx.Response, limit: int) -> bytes:
        inflater = Inflater(response.headers.get("content-encoding", ""), limit)
        async for chunk in response.aiter_raw():
            self.spent.bytes += len(chunk)
            inflater.feed(chunk)
        return inflater.finish()

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
                    answer = await self._exchange(
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
            place = _redirected(place, answer)
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

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        contact = self._policy.contact
        agent = f"feedsync/{__version__}" + (f" (+{contact})" if contact else "")
        return httpx.AsyncClient(
            transport=Transport(GuardedBackend(allow_private=self._policy.allow_private)),
            headers={"User-Agent": agent, "Accept-Encoding": ACCEPTED, "Accept": "*/*"},
            follow_redirects=False,
            trust_env=False,  # a proxy from the environment would connect for us, unguarded
        )


def _redirected(url: httpx.URL, location: str) -> httpx.URL:
    try:
        target = checked(str(url.join(location)))
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchFault(
            "redirect", f"it redirects to something that is not a URL: {shown(location)[:80]!r}"
        ) from error
    if url.scheme == "https" and target.scheme == "http":
        raise FetchFault("redirect", "it redirects from https to http, where anybody could answer")
    return target


def _status_fault(status: int, headers: Mapping[str, str], now: datetime) -> FetchFault:
    words = {204: "no content", 304: "not modified, though we said nothing of a former copy"}
    reason = words.get(status) or httpx.codes.get_reason_phrase(status) or "an unknown status"
    wait = retry_after(headers, now) if status in (429, 503) else None
    return FetchFault("status", f"the server answered {status} ({reason})", status=status, retry_after=wait)


def _connect_fault(error: Exception) -> FetchFault:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or str(cause)
            return FetchFault("tls", f"the TLS connection is not to be trusted: {reason}", host=True)
        cause = cause.__cause__ or cause.__context__
    return FetchFault("tls", f"the TLS connection could not be made: {error}", host=True)
