"""httpx over connections that are made through the guard, kept open while they are of use.

Not over the pool of httpcore: that looks at every connection it has at the beginning and at the end of every request,
which costs more than all the rest of a request.
"""

from __future__ import annotations

import ssl
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

import httpcore
import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from feedsync.sources.guard import GuardedBackend

_KEPT_S = 15.0
_BROKEN = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)


class StaleError(httpcore.NetworkError):
    """A connection that had been kept open brought nothing: the server may have closed it while we asked."""


class Transport(httpx.AsyncBaseTransport):
    """One connection for each request under way, however many these are; how many there may be is for others to say.

    A request with the extension `fresh` gets a new one. Raises httpcore's errors, StaleError among them.
    """

    def __init__(self, backend: GuardedBackend) -> None:
        self._backend = backend
        self._idle: dict[str, list[httpcore.AsyncHTTPConnection]] = defaultdict(list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        origin = str(asked.url.origin)
        kept = None if request.extensions.get("fresh") else await self._kept(origin)
        connection = kept or self._new(asked.url.origin)
        try:
            response = await connection.handle_async_request(asked)
        except _BROKEN as error:
            await connection.aclose()
            if kept:
                raise StaleError(str(error)) from error
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Stream(self, origin, connection, response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                await connection.aclose()
        self._idle.clear()

    async def keep(self, origin: str, connection: httpcore.AsyncHTTPConnection) -> None:
        """Take back a connection whose response has been read, or given up."""
        if connection.is_idle():
            self._idle[origin].append(connection)
        else:
            await connection.aclose()

    async def _kept(self, origin: str) -> httpcore.AsyncHTTPConnection | None:
        while self._idle[origin]:
            connection = self._idle[origin].pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    def _new(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        return httpcore.AsyncHTTPConnection(
            origin,
            ssl_context=self._tls if origin.scheme == b"https" else None,
            keepalive_expiry=_KEPT_S,
            network_backend=self._backend,
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()


class _Stream(httpx.AsyncByteStream):
    def __init__(
        self,
        transport: Transport,
        origin: str,
        connection: httpcore.AsyncHTTPConnection,
        response: httpcore.Response,
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._connection = connection
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.aiter_stream()

    async def aclose(self) -> None:
        await self._response.aclose()
        await self._transport.keep(self._origin, self._connection)
