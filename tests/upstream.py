"""A real HTTP server on loopback that answers as it is told, misbehaves as it is told, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Asked:
    path: str
    headers: dict[str, str]


@dataclass
class Reply:
    """What is answered; Content-Length is that of the body unless given."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {"Content-Length": str(len(self.body))} | self.headers
        handler.send_response(self.status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.body)


Route = Reply | Callable[[BaseHTTPRequestHandler], None] | list[Any]


def as_json(value: object, **headers: str) -> Reply:
    return Reply(json.dumps(value, ensure_ascii=False).encode(), headers={"Content-Type": "application/json"} | headers)


def as_html(text: str, **headers: str) -> Reply:
    return Reply(text.encode(), headers={"Content-Type": "text/html; charset=utf-8"} | headers)


def validated(reply: Reply, etag: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """A reply with an ETag, and 304 to those who have it."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("If-None-Match") == etag:
            Reply(status=304, headers={"ETag": etag}).send(handler)
        else:
            Reply(reply.body, reply.status, reply.headers | {"ETag": etag}).send(handler)

    return answer


def raw(*parts: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """These very bytes, then the end of the connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        for part in parts:
            handler.wfile.write(part)
        handler.close_connection = True

    return answer


def reset_after(part: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Some bytes, then a reset."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(part)
        handler.wfile.flush()
        # With a linger of nothing, closing sends RST instead of FIN.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    return answer


class Upstream:
    """Routes by path (with its query); a list of routes is answered one after the other, the last for ever."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.asked: list[Asked] = []
        self.released = threading.Event()
        """Set when the server closes: what hangs on purpose waits for it."""
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self) -> None:
                upstream.asked.append(Asked(self.path, dict(self.headers)))
                route = upstream.routes.get(self.path, upstream.routes.get("*", Reply(b"not here", 404)))
                if isinstance(route, list):
                    route = route.pop(0) if len(route) > 1 else route[0]
                with contextlib.suppress(ConnectionError, ValueError):
                    if isinstance(route, Reply):
                        route.send(self)
                    else:
                        route(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.daemon_threads = True
        self._server.request_queue_size = 128
        self._server.server_bind()
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        """What was asked for, robots.txt left out."""
        return [asked.path for asked in self.asked if asked.path != "/robots.txt"]

    def hang(self, *parts: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
        """These bytes, then silence."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            for part in parts:
                handler.wfile.write(part)
            handler.wfile.flush()
            self.released.wait(30)
            handler.close_connection = True

        return answer

    def drip(self, part: bytes, pause_s: float = 0.05) -> Callable[[BaseHTTPRequestHandler], None]:
        """A byte now and then, for ever."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
            while not self.released.wait(pause_s):
                handler.wfile.write(part)
                handler.wfile.flush()

        return answer

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
