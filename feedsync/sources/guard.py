"""Which addresses may be connected to: public ones, checked after resolution, at the moment of connecting.

Whoever lists a URL, or redirects to one, must not reach what only this machine can reach: its loopback, the
private network around it, the metadata address of a cloud. The check and the connection use the same address, so
that a name that answers differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING

import httpcore

from feedsync.sources.fault import FetchFault
from feedsync.sources.stream import PromptStream

if TYPE_CHECKING:
    from collections.abc import Iterable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")


def is_public(text: str) -> bool:
    """Whether an address (as text, a zone after `%` allowed) is on the public internet, whatever it is wrapped in."""
    return all(address.is_global and not _special(address) for address in _unwrapped(text))


def _special(address: IPAddress) -> bool:
    if address.is_multicast or address.is_unspecified or address.is_reserved:
        return True
    return isinstance(address, ipaddress.IPv6Address) and (address in _SITE_LOCAL or address in _NAT64_LOCAL)


def _unwrapped(text: str) -> list[IPAddress]:
    """The addresses a packet would meet in the end: IPv4 inside mapped, compatible, 6to4, Teredo and NAT64 forms."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address in _NAT64:
        # Python counts the translation prefix itself as reserved; what matters is the address it leads to.
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    found: list[IPAddress] = [address]
    if address.sixtofour:
        found.append(address.sixtofour)
    if address.teredo:
        found += address.teredo
    if int(address) >> 32 == 0:
        found.append(ipaddress.IPv4Address(int(address)))
    return found


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the addresses a name resolves to, each checked before it is used. Resolves once."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                return await self._connect(host, port, local_address, socket_options)
        except TimeoutError as error:
            raise FetchFault("timeout", f"no connection within {timeout:g} s", host=True) from error

    async def _connect(
        self,
        host: str,
        port: int,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise FetchFault("dns", f"the name {host} cannot be resolved: {error}", host=True) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        allowed = [address for address in addresses if self._allow_private or is_public(address)]
        if not allowed:
            raise FetchFault(
                "address",
                f"{host} is at {', '.join(addresses) or 'no address'}, which is not public",
                remedy="set allow_private = true for this source if that is meant",
            )
        last: Exception | None = None
        for address in allowed:
            try:
                stream = await self._plain.connect_tcp(address, port, None, local_address, socket_options)
                return PromptStream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise FetchFault("connect", f"{host} port {port} refuses the connection: {last}", host=True) from last

    async def connect_unix_socket(self, *_args: object, **_named: object) -> httpcore.AsyncNetworkStream:
        """Never: nothing that is fetched lives behind a socket file."""
        raise FetchFault("address", "socket files are not fetched from")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
