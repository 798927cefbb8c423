"""The HTTP server: carries the application of `web` on sockets that listen already."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING

import uvicorn

from feedsync.errors import ServerError

if TYPE_CHECKING:
    from feedsync.web import Application

_START_TIMEOUT_S = 30.0
_GRACE_S = 5
_LINGER_S = 2.0
_LOOK_S = 5.0
_STILL = 6
"""So many looks in a row may see the loop where it was: one alone may come right after the machine slept."""


class _Server(uvicorn.Server):
    """uvicorn that answers everybody it let in, and counts the turns of its loop: ten a second."""

    turns = 0

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Who connected before the end may still be about to ask; uvicorn alone would hang up on them."""
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        deadline = time.monotonic() + _LINGER_S
        while True:
            await asyncio.sleep(0.1)
            asked_nothing = (getattr(connection, "cycle", True) is None for connection in self.server_state.connections)
            if not any(asked_nothing) or time.monotonic() > deadline:
                break
        await super().shutdown([])

    async def on_tick(self, counter: int) -> bool:
        self.turns += 1
        return await super().on_tick(counter)


class HttpServer:
    """uvicorn in a thread, on sockets that listen already. Closes them at its end."""

    def __init__(self, application: Application, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        self._server = _Server(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                lifespan="off",
                http="httptools",
                server_header=False,
                date_header=True,
                timeout_keep_alive=20,
                timeout_graceful_shutdown=_GRACE_S,
                limit_concurrency=2000,
                h11_max_incomplete_event_size=16384,
            )
        )
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._turns = -1
        self._still = 0
        self._looked = 0.0

    def __enter__(self) -> HttpServer:
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise ServerError("the HTTP server did not start", remedy="see the log")
            time.sleep(0.005)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=_LINGER_S + _GRACE_S + 2)

    def check(self) -> None:
        """Raise ServerError when the server has died, or its loop turns no more. To be called again and again."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_S:
            self._still = self._still + 1 if self._server.turns == self._turns else 0
            self._turns, self._looked = self._server.turns, now
        if not self._thread.is_alive() or self._still >= _STILL:
            what = "hangs" if self._thread.is_alive() else "stopped"
            raise ServerError(f"the HTTP server {what}", remedy="see the log; the service manager starts it again")

    def _run(self) -> None:
        self._server.run(sockets=self._sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, on a free port for 0. Raises ServerError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise ServerError(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            remedy="stop what listens there, or change [server] in the configuration",
        ) from error
