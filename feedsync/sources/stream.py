"""A connection that acknowledges at once what comes over it.

Many servers send the head of a response and its body by two writes. Their kernel then keeps the second back until we
acknowledge the first (Nagle), which ours, hoping to do it along with data, puts off for 40 ms (delayed acknowledgment):
on a connection kept open, every response took that much longer.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    import ssl

_QUICK = getattr(socket, "TCP_QUICKACK", None)
"""Linux only; it holds for what comes next, not for ever."""


class PromptStream(httpcore.AsyncNetworkStream):
    """Another stream, without the wait."""

    def __init__(self, plain: httpcore.AsyncNetworkStream, underlying: socket.socket | None = None) -> None:
        self._plain = plain
        self._socket: socket.socket | None = underlying or plain.get_extra_info("socket")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if _QUICK is not None and self._socket is not None:
            with contextlib.suppress(OSError):  # it was closed: reading will say so
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK, 1)
        return await self._plain.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._plain.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._plain.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return PromptStream(await self._plain.start_tls(ssl_context, server_hostname, timeout), self._socket)

    def get_extra_info(self, info: str) -> Any:
        return self._plain.get_extra_info(info)
