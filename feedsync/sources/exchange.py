"""One request and its answer, within every bound the policy sets. The only module that sends requests.

httpx bounds neither the decoded size of a body nor the whole time of a request; both are bounded here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

import httpcore
import httpx

from feedsync import __version__
from feedsync.sources.address import checked, shown
from feedsync.sources.fault import FetchFault
from feedsync.sources.freshness import freshness, retry_after
from feedsync.sources.guard import GuardedBackend
from feedsync.sources.inflate import ACCEPTED, Inflater
from feedsync.sources.transport import StaleError, Transport
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from feedsync.sources.policy import FetchPolicy

log = logging.getLogger("feedsync.fetch")

_REDIRECTS = (301, 302, 303, 307, 308)


class Ask(Struct, frozen=True):
    """A request to make. `name` is what the asker knows it by; with `forced`, back-off does not hold it up."""

    name: str
    url: str
    etag: str = ""
    last_modified: str = ""
    forced: bool = False


class Answer(Struct, frozen=True):
    """What came of a request: a body, `unchanged` (304), or a fault. Never more than one of them.

    `fresh_for` is how long the server lets it be used without asking again. `deferred`: it was not asked, for until
    then its host is left alone.
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


class Spent(Struct):
    """Requests sent and bytes received, headers not counted."""

    requests: int = 0
    bytes: int = 0


class Exchange:
    """Sends requests as a policy says, over connections it keeps. Use it as an asynchronous context manager."""

    def __init__(self, source: str, policy: FetchPolicy, clock: Callable[[], datetime], spent: Spent) -> None:
        """`spent` grows with what is sent and received."""
        self._spent = spent
        self._source = source
        self._policy = policy
        self._now = clock
        agent = f"feedsync/{__version__}" + (f" (+{policy.contact})" if policy.contact else "")
        self._client = httpx.AsyncClient(
            transport=Transport(GuardedBackend(allow_private=policy.allow_private)),
            headers={"User-Agent": agent, "Accept-Encoding": ACCEPTED, "Accept": "*/*"},
            follow_redirects=False,
            trust_env=False,  # a proxy from the environment would connect for us, unguarded
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._client.aclose()

    async def send(
        self, ask: Ask, url: httpx.URL, conditions: dict[str, str], left_s: float, *, own: bool
    ) -> Answer | str:
        """One request and its answer, or where it redirects to; once more when a kept connection had been closed.

        `left_s` is the time it may take; `own`: the host is the one the operator named. Raises FetchFault.
        """
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
        self._spent.requests += 1
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
            self._spent.bytes += len(chunk)
            inflater.feed(chunk)
        return inflater.finish()


def redirected(url: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads. Raises FetchFault (`redirect`) when it may not be followed."""
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
