"""The HTTP server as the daemon sees it: a process of its own on sockets that listen already.

Of its own, because a pass that parses and draws for seconds would make every reader wait for the interpreter.
The daemon keeps the sockets: a server that dies is replaced, and a new configuration gets a new server, while
those who connect in between wait in the sockets' queues.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from feedsync.errors import ServerError
from feedsync.values import asdict

if TYPE_CHECKING:
    from feedsync.web import Options

log = logging.getLogger("feedsync.server")

_START_TIMEOUT_S = 30.0
_GRACE_S = 9.0
_LOOK_S = 5.0
_SILENT = 6
"""So many looks in a row without a word of the server: it hangs. One alone may come right after the machine slept."""

_DEATHS = 5
_DEATHS_WITHIN_S = 60.0


class HttpServer:
    """Serves on these sockets while it is entered. Does not close them."""

    def __init__(self, options: Options, sockets: list[socket.socket]) -> None:
        self._options = options
        self._sockets = sockets
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths: deque[float] = deque(maxlen=_DEATHS)
        self._failed = False
        self._looked = time.monotonic()
        self._silent = 0

    def __enter__(self) -> HttpServer:
        self._process = self._start()
        self._mind(self._process)
        return self

    def __exit__(self, *_exc: object) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process:
            _end(process)

    @property
    def pid(self) -> int | None:
        """The serving process, None when there is none."""
        process = self._process
        return process.pid if process else None

    def adopt(self, options: Options) -> None:
        """Go on with other options: a new process takes over before the old one ends. Raises ServerError."""
        if options == self._options:
            return
        self._options = options
        process = self._start()
        with self._lock:
            old, self._process = self._process, process
        self._mind(process)
        if old:
            _end(old)

    def check(self) -> None:
        """Replace a server that hangs; raise ServerError when none can be kept alive. To be called again and again."""
        if self._failed:
            raise ServerError("the HTTP server keeps dying", remedy="see the log; the service manager starts all anew")
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        with self._lock:
            process = self._process
            self._silent = 0 if process is None or _speaks(process) else self._silent + 1
            if process is not None and self._silent >= _SILENT:
                log.error("the HTTP server hangs")
                self._silent = 0
                process.kill()  # and whoever minds it starts another

    def _start(self) -> subprocess.Popen[bytes]:
        numbers = [listener.fileno() for listener in self._sockets]
        told = json.dumps({"options": asdict(self._options), "sockets": numbers})
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "feedsync.web", told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=numbers,
        )
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], _START_TIMEOUT_S)
        if not readable or not process.stdout.readline():
            _end(process)
            raise ServerError("the HTTP server did not start", remedy="see the log")
        return process

    def _mind(self, process: subprocess.Popen[bytes]) -> None:
        threading.Thread(target=self._replace_when_dead, args=(process,), name="http", daemon=True).start()

    def _replace_when_dead(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        with self._lock:
            if self._process is not process:
                return  # it was told to end
            log.error("the HTTP server died, starting another", extra={"fields": {"status": process.returncode}})
            now = time.monotonic()
            self._deaths.append(now)
            if len(self._deaths) == _DEATHS and now - self._deaths[0] < _DEATHS_WITHIN_S:
                self._failed = True
                return
            _close_pipes(process)
            try:
                self._process = self._start()
            except (ServerError, OSError):
                self._failed = True
                return
            self._mind(self._process)


def _speaks(process: subprocess.Popen[bytes]) -> bool:
    """Whether it told us since the last time that its loop turns."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    try:
        return bool(os.read(process.stdout.fileno(), 65536))
    except BlockingIOError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its standard input ends: it lets running responses finish and goes."""
    _close_pipes(process)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


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
