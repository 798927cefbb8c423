"""One connection: bytes to requests, responses to bytes, and every bound a client could lean on.

httptools (llhttp) reads HTTP/1; this says how much, how long and how many. Requests of one connection are
answered in order, and nothing more is read while a response waits for the client to take it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import socket
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

import httptools

from feedsync.web.message import STATUS_LINES, File, Request, Response, page

if TYPE_CHECKING:
    from concurrent.futures import Future

    from feedsync.web.server import Server

log = logging.getLogger("feedsync.web")

MAX_HEAD_BYTES = 16_384
MAX_TARGET_BYTES = 8_192
MAX_FIELDS = 100
_MAX_PIPELINED = 32
_PARKED_BYTES = 16_384
"""What is left with asyncio, so that it tells when the client takes more: all that a slow client holds."""

_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} [/*h]")
_NO_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""Where the file system cannot: then 16 KiB at a time."""
_FOREVER = float("inf")
_LINGER_S = 2.0

BAD_REQUEST = page(400, "请求有误。 Bad request.")
_TIMEOUT = page(408, "请求太慢。 The request came too slowly.")
_TARGET_TOO_LONG = page(414, "地址太长。 The address is too long.")
_HEAD_TOO_LARGE = page(431, "请求头太大。 The header is too large.")
_TOO_BUSY = page(503, "服务繁忙，请稍后再试。 Busy, try again soon.", (("Retry-After", "5"),))
_BROKEN = page(500, "内部错误。 Internal error.")
_VERSION = page(505, "只支持 HTTP/1。 HTTP/1 only.")


class _Fault(Exception):
    """The bytes are no request we answer; carries what is said instead."""

    def __init__(self, response: Response) -> None:
        self.response = response


class _Stop(Exception):
    """Nothing behind this request is looked at."""


class Connection(asyncio.Protocol):
    """One client. `deadline` is when it is given up, by the monotonic clock; the server looks at it now and then."""

    __slots__ = (
        "_engaged",
        "_fields",
        "_fields_bytes",
        "_fields_read",
        "_file",
        "_head_bytes",
        "_last",
        "_lingers",
        "_offset",
        "_parser",
        "_paused",
        "_queue",
        "_searching",
        "_server",
        "_socket",
        "_target",
        "_tcp",
        "_transport",
        "deadline",
        "fresh",
        "idle",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[Request, bool]] = deque()
        self._transport: asyncio.Transport
        self._file: File | None = None
        """What is being sent, from `_offset` on."""
        self._offset = 0
        self._paused = False
        self._engaged = False
        self._searching = False
        """A response is on its way that is not made at once."""
        self._last = False
        """No further request is read."""
        self._lingers = False
        """What the client still sends is read before closing, or the reset would destroy our answer on its way."""
        self._head_bytes = 0
        """Received of a request that is not complete yet."""
        self._fields_read = 0
        self._fields_bytes = 0
        self._fields: dict[bytes, bytes] = {}
        self._target = b""
        self.deadline = _FOREVER
        self.idle = True
        self.fresh = True
        """It has not asked for anything yet."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        connected = transport.get_extra_info("socket")
        self._socket: int = connected.fileno()
        self._tcp = connected if connected.family in (socket.AF_INET, socket.AF_INET6) else None
        if self._server.admit(self):
            self.deadline = monotonic() + self._server.options.header_timeout_s
        else:
            self._refuse(_TOO_BUSY)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._server.leave(self)
        self._queue.clear()
        self._file = None

    def data_received(self, data: bytes) -> None:
        if self._last:
            return  # nothing more is answered; what still comes is not looked at
        if self.idle:
            self.idle = False
            if not self._head_bytes:
                self.deadline = monotonic() + self._server.options.header_timeout_s
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fault(_HEAD_TOO_LARGE)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._fault(cause.response if isinstance(cause, _Fault) else BAD_REQUEST)
        except httptools.HttpParserInvalidMethodError:
            known = _REQUEST_LINE.match(data) if not self._queue else None
            self._fault(self._server.application.method_not_allowed() if known else BAD_REQUEST)
        except httptools.HttpParserError:
            self._fault(BAD_REQUEST)
        self._answer()

    def eof_received(self) -> bool:
        """A client that shuts its side down after its request still gets the answer."""
        self._finish_queue()
        self._answer()
        return self._engaged

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._answer()

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._fields = {}
        self._fields_read = 0
        self._fields_bytes = 0
        self._target = b""

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > MAX_TARGET_BYTES:
            raise _Fault(_TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields_read += 1
        self._fields_bytes += len(name) + len(value)
        if self._fields_read > MAX_FIELDS or self._fields_bytes > MAX_HEAD_BYTES:
            raise _Fault(_HEAD_TOO_LARGE)
        name = name.lower()
        fields = self._fields
        if name not in fields:
            fields[name] = value
        elif name in (b"host", b"content-length", b"transfer-encoding"):
            raise _Fault(BAD_REQUEST)
        else:
            fields[name] += b", " + value

    def on_headers_complete(self) -> None:
        parser, fields = self._parser, self._fields
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _Fault(_VERSION)
        host = fields.get(b"host", b"" if version == "1.0" else None)
        if host is None or not _HOST.fullmatch(host):
            raise _Fault(BAD_REQUEST)
        method = parser.get_method().decode("ascii")
        target, _, query = self._path(method).partition(b"#")[0].partition(b"?")
        # Content is not looked at, so the connection cannot go on behind it.
        content = b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0"
        self._lingers = content
        self._last = (
            content
            or version == "1.0"
            or not parser.should_keep_alive()
            or parser.should_upgrade()
            or len(self._queue) == _MAX_PIPELINED
        )
        self._queue.append((Request(method, target, query, fields), self._last))
        self._head_bytes = 0
        self.fresh = False
        if self._last:
            raise _Stop

    def _path(self, method: str) -> bytes:
        """The target as a path: absolute-form loses its authority, which is never used."""
        target = self._target
        if target.startswith(b"/"):
            return target
        if match := _ABSOLUTE.fullmatch(target):
            if not _HOST.fullmatch(match[1]):
                raise _Fault(BAD_REQUEST)
            return match[2] if match[2].startswith(b"/") else b"/" + match[2]
        if (target == b"*" and method == "OPTIONS") or method == "CONNECT":
            return target
        raise _Fault(BAD_REQUEST)

    # What the server calls.

    def expire(self) -> None:
        """The deadline is over."""
        if self._engaged or self._last:
            self._transport.abort()
        elif self.idle:
            self._transport.close()
        else:
            self._refuse(_TIMEOUT)

    def finish(self) -> None:
        """No further request: close now, or once the response is out."""
        if self._engaged:
            self._finish_queue()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    # Answering.

    def _fault(self, response: Response) -> None:
        """Answer what came before it, then this if nothing did, then close."""
        if self._last:
            return
        if self._queue or self._engaged:
            self._finish_queue()
            self._lingers = True
        else:
            self._refuse(response)

    def _finish_queue(self) -> None:
        """The last request that is queued is the last."""
        self._last = True
        if self._queue:
            request, _ = self._queue.pop()
            self._queue.append((request, True))

    def _refuse(self, response: Response) -> None:
        self._last = self._lingers = True
        self._send(response, whole=True, close=True)
        self._engaged = True
        self._answer()

    def _answer(self) -> None:
        """Send as much as the client takes: the rest of a response, then the next request's."""
        transport = self._transport
        while not self._paused and not self._searching and not transport.is_closing():
            if self._file is not None:
                self._send_more()
            elif self._queue:
                request, last = self._queue.popleft()
                self._engaged = True
                if (search := self._server.application.search(request)) is not None:
                    self._wait_for(search, whole=request.method != "HEAD", close=last)
                else:
                    self._send(self._respond(request), whole=request.method != "HEAD", close=last)
            else:
                break
        if self._file is not None or self._paused or self._queue or self._searching:
            self._server.engage(self)
            transport.pause_reading()
        elif self._engaged:
            self._engaged = False
            self._server.release(self)
            self._go_on()

    def _go_on(self) -> None:
        """Everything is answered."""
        transport, options = self._transport, self._server.options
        if not self._last:
            self.idle = not self._head_bytes
            timeout_s = options.idle_timeout_s if self.idle else options.header_timeout_s
            self.deadline = monotonic() + timeout_s
            transport.resume_reading()
        elif self._lingers and not transport.is_closing():
            self.deadline = monotonic() + _LINGER_S
            transport.write_eof()
            transport.resume_reading()
        else:
            transport.close()

    def _wait_for(self, search: Future[Response], *, whole: bool, close: bool) -> None:
        """Go on with the response to a search once it is there; others are served meanwhile."""
        self._searching = True
        self.deadline = monotonic() + self._server.options.write_timeout_s

        def done(found: asyncio.Future[Response]) -> None:
            self._searching = False
            if not self._transport.is_closing():
                self._send(found.result(), whole=whole, close=close or (self._last and not self._queue))
                self._answer()

        asyncio.wrap_future(search).add_done_callback(done)

    def _respond(self, request: Request) -> Response:
        try:
            return self._server.application.respond(request)
        except Exception:
            log.exception("no answer", extra={"fields": {"target": request.target.decode("latin-1")}})
            return _BROKEN

    def _send(self, response: Response, *, whole: bool, close: bool) -> None:
        start = STATUS_LINES[response.status] + self._server.date() + response.head
        start += b"Connection: close\r\n\r\n" if close else b"\r\n"
        body = response.body if whole else b""
        self.deadline = monotonic() + self._server.options.write_timeout_s
        if isinstance(body, File):
            self._cork(True)
            self._write(start)
            self._file, self._offset = body, 0
        else:
            self._write(start + body)

    def _send_more(self) -> None:
        """As much as the kernel takes; and a little more for asyncio, which then tells when it takes again."""
        assert self._file is not None
        self.deadline = monotonic() + self._server.options.write_timeout_s
        file = self._file
        try:
            self._offset += os.sendfile(self._socket, file.descriptor, self._offset, file.size - self._offset)
        except (BlockingIOError, ConnectionError):
            pass  # of a client that is gone, asyncio is about to tell
        except OSError as error:
            if error.errno not in _NO_SENDFILE:
                raise
        self._cork(False)
        if self._offset < file.size:
            part = os.pread(file.descriptor, min(_PARKED_BYTES, file.size - self._offset), self._offset)
            if not part:  # shorter than it was: the client must see that it is not whole
                self._transport.abort()
                return
            self._offset += len(part)
            self._transport.write(part)
        if self._offset == file.size:
            self._file = None

    def _write(self, content: bytes) -> None:
        """Past asyncio, which holds nothing now (`_paused` would be set), to the kernel; what it refuses to asyncio."""
        try:
            sent = os.write(self._socket, content)
        except (BlockingIOError, ConnectionError):
            sent = 0
        if sent < len(content):
            self._transport.write(content[sent:])

    def _cork(self, on: bool) -> None:
        """Head and beginning of a file in one packet."""
        if self._tcp is not None:
            with contextlib.suppress(OSError):
                self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, on)
