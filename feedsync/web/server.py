"""All connections: how many, for how long; and the process they live in."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import resource
import socket
import sys
import time
from collections import OrderedDict
from email.utils import formatdate
from typing import TYPE_CHECKING

from feedsync.values import replace
from feedsync.web.application import Application
from feedsync.web.files import OPEN_COST_BYTES
from feedsync.web.options import Options
from feedsync.web.protocol import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("feedsync.web")

READY = b"ready\n"
BEAT = b"."
BEAT_S = 1.0
_SWEEP_S = 0.5
_GRACE_S = 5.0
_LINGER_S = 2.0
_LOOK_S = 0.02
_BACKLOG = 1024
_OTHER_FILES = 64


class Server:
    """What connections have in common. Lives on one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.application = Application(options)
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        """Those that no response is being sent to, the longest waiting first."""
        self._engaged: set[Connection] = set()
        self._date = (0, b"")

    def admit(self, connection: Connection) -> bool:
        """Whether there is room. The one that waited longest makes room; those being answered do not."""
        room = True
        if len(self._waiting) + len(self._engaged) >= self.options.max_connections:
            if self._waiting:
                oldest, _ = self._waiting.popitem(last=False)
                oldest.abort()
            else:
                room = False
        self._waiting[connection] = None
        return room

    def leave(self, connection: Connection) -> None:
        """The connection is closed."""
        self._waiting.pop(connection, None)
        self._engaged.discard(connection)

    def engage(self, connection: Connection) -> None:
        """A response waits for its client to take it."""
        if connection in self._waiting:
            del self._waiting[connection]
            self._engaged.add(connection)

    def release(self, connection: Connection) -> None:
        """All is answered; it waits for a request again."""
        if connection in self._engaged:
            self._engaged.remove(connection)
            self._waiting[connection] = None
        elif connection in self._waiting:  # not one that made room for another
            self._waiting.move_to_end(connection)

    def date(self) -> bytes:
        """The Date field of this second."""
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, f"Date: {formatdate(second, usegmt=True)}\r\n".encode())
        return self._date[1]

    async def run(self, sockets: Sequence[socket.socket], ready: Callable[[], object], stop: asyncio.Event) -> None:
        """Serve until told to stop; then answer whom it let in, and let running responses end, for a while."""
        loop = asyncio.get_running_loop()
        listeners = [
            await loop.create_server(lambda: Connection(self), sock=listener, backlog=_BACKLOG) for listener in sockets
        ]
        tasks = [loop.create_task(self._sweep()), loop.create_task(_beat())]
        ready()
        await stop.wait()
        # Who connected just before may still be about to ask. Accept no more first, and close later: asyncio drops
        # those it has accepted but not yet introduced.
        for listener in sockets:
            loop.remove_reader(listener.fileno())
        until = time.monotonic() + _LINGER_S
        await asyncio.sleep(_LOOK_S)
        while any(connection.fresh for connection in self._waiting) and time.monotonic() < until:
            await asyncio.sleep(_LOOK_S)
        for listening in listeners:
            listening.close()
        for connection in [*self._waiting, *self._engaged]:
            connection.finish()
        until = time.monotonic() + _GRACE_S
        while (self._waiting or self._engaged) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for connection in [*self._waiting, *self._engaged]:
            connection.abort()
        for task in tasks:
            task.cancel()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for connection in [c for group in (self._waiting, self._engaged) for c in group if c.deadline <= now]:
                connection.expire()


async def _beat() -> None:
    """Show whoever started this process that its loop turns."""
    os.set_blocking(sys.stdout.fileno(), False)
    while True:
        with contextlib.suppress(OSError):
            os.write(sys.stdout.fileno(), BEAT)
        await asyncio.sleep(BEAT_S)


async def _serve(options: Options, sockets: Sequence[socket.socket]) -> None:
    """Serve until standard input ends, which it does when the process that started us does."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.set_exception_handler(_say_trouble)
    loop.add_reader(sys.stdin.fileno(), _stop_at_end, stop)
    await Server(options).run(sockets, lambda: os.write(sys.stdout.fileno(), READY), stop)


def _stop_at_end(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 64):
        stop.set()


def _say_trouble(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    if not isinstance(error, ConnectionError):
        log.error("connection trouble", extra={"fields": {"reason": f"{context.get('message')}: {error!r}"}})


def _bounded(options: Options) -> Options:
    """As many connections as this process may have files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = _OTHER_FILES + options.cache_bytes // OPEN_COST_BYTES
    wanted = options.max_connections + others
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            most = max(1, soft - others)
            log.warning("fewer connections than configured", extra={"fields": {"most": most}})
            return replace(options, max_connections=most)
    return options


def main(argument: str) -> None:
    """The process: options and the numbers of listening sockets as JSON."""
    told = json.loads(argument)
    sockets = [socket.socket(fileno=number) for number in told["sockets"]]
    options = _bounded(Options(**told["options"]))
    gc.collect()
    gc.freeze()
    asyncio.run(_serve(options, sockets))
