"""How `feedsync status` asks a running daemon: a Unix socket beside the database that answers with JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

log = logging.getLogger("feedsync.control")

_TIMEOUT_S = 2.0


def socket_path(database: Path) -> Path:
    return database.with_name(database.name + ".sock")


def ask(path: Path) -> dict[str, Any] | None:
    """What the daemon says of itself; None when there is none."""
    with (
        contextlib.suppress(OSError, ValueError),
        _addressed(path) as address,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.settimeout(_TIMEOUT_S)
        client.connect(address)
        parts = []
        while part := client.recv(65536):
            parts.append(part)
        answer = json.loads(b"".join(parts))
        return answer if isinstance(answer, dict) else None
    return None


@contextlib.contextmanager
def serving(path: Path, answer: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Answer every connection with `answer()` until the end. Only this user may connect."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(_bound(path))
        except OSError as error:
            # A full disk has no room for a socket; the feeds are worth more than the status.
            log.warning("no status socket", extra={"fields": {"path": path, "reason": error.strerror or str(error)}})
            yield
            return
        threading.Thread(target=_answer_all, args=(server, answer), name="status", daemon=True).start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _bound(path: Path) -> Iterator[socket.socket]:
    path.unlink(missing_ok=True)
    with _addressed(path) as address, socket.socket(socket.AF_UNIX) as server:
        mask = os.umask(0o177)
        try:
            server.bind(address)
        finally:
            os.umask(mask)
        server.listen(8)
        yield server


def _answer_all(server: socket.socket, answer: Callable[[], dict[str, Any]]) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, contextlib.suppress(OSError):
            client.settimeout(_TIMEOUT_S)
            client.sendall(json.dumps(answer(), ensure_ascii=False).encode())


@contextlib.contextmanager
def _addressed(path: Path) -> Iterator[str]:
    """An address short enough for the kernel's 108 bytes, however long the path."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
