"""What systemd and the daemon say to each other: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).

Without systemd there is nobody to tell and nothing to inherit, and everything here does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket

from feedsync.errors import ServerError

_FIRST_DESCRIPTOR = 3
_PATIENCE_S = 5.0


def notify(message: str) -> None:
    """Tell systemd: assignments such as `READY=1`, one a line."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.settimeout(_PATIENCE_S)  # it may be busy; it must not hold us up for good
        client.connect("\0" + address[1:] if address.startswith("@") else address)
        client.sendall(message.encode())


def inherited_sockets() -> list[socket.socket]:
    """The sockets systemd listens on for us, once: the variables that announce them are taken away.

    Raises ServerError when one of them cannot be accepted from.
    """
    count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    sockets = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)):
        os.set_inheritable(descriptor, False)
        listener = socket.socket(fileno=descriptor)
        sockets.append(listener)
        if listener.type != socket.SOCK_STREAM or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ServerError(
                f"the socket {descriptor} that systemd passed does not listen for streams",
                remedy="let feedsync.socket have ListenStream= alone, with Accept=no",
            )
    return sockets


def watchdog_s() -> float | None:
    """How often systemd wants to hear `WATCHDOG=1` at least; None when it does not listen for it."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000
