"""The HTTP application: serves the published tree, and nothing else.

A plain ASGI application. The bytes are the same for every request: no request header but the conditional
ones takes part in a response.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import time
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_AGE_S = 60
TYPES = {
    ".atom": "application/atom+xml; charset=utf-8",
    ".rss": "application/rss+xml; charset=utf-8",
    ".json": "application/feed+json; charset=utf-8",
    ".opml": "text/x-opml; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".xml": "application/xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_SAFE_PATH = re.compile(rb"/(?:[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?")
_MAX_PATH = 1024
_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'none'; img-src http: https:; style-src 'unsafe-inline'; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'",
    ),
]


@dataclass(frozen=True, slots=True)
class Resource:
    """A file as it is served."""

    content: bytes
    etag: str
    modified_s: int
    media_type: str


_GONE = ".gone"
"""An empty file of this ending says of a path that what stood there was withdrawn."""


class Application:
    """The ASGI application over an output folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            status, headers, body = await self._respond(scope)
            await send({"type": "http.response.start", "status": status, "headers": headers + _SECURITY})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _respond(self, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if scope["method"] not in ("GET", "HEAD"):
            return _plain(405, "这里只能读取：GET 或 HEAD。 Only GET and HEAD.", [(b"allow", b"GET, HEAD")])
        path = _path(scope)
        try:
            resource = await asyncio.to_thread(self._read, path) if path else None
        except OSError:
            return _plain(503, "暂时无法读取。 Not readable just now.", [(b"retry-after", b"5")])
        if resource is None and path and await asyncio.to_thread(os.path.lexists, f"{self._root / path}{_GONE}"):
            return _plain(410, "这篇文章已被撤回。 This article was withdrawn.", [])
        if resource is None:
            return _plain(404, "没有这个页面。 No such page.", [])
        headers = [
            (b"etag", resource.etag.encode()),
            (b"last-modified", formatdate(resource.modified_s, usegmt=True).encode()),
            (b"cache-control", f"public, max-age={MAX_AGE_S}".encode()),
            (b"vary", b"Accept-Encoding"),
        ]
        if not resource.media_type.startswith("text/html"):
            headers.append((b"access-control-allow-origin", b"*"))
        if _unchanged(scope["headers"], resource):
            return 304, headers, b""
        headers += [
            (b"content-type", resource.media_type.encode()),
            (b"content-length", str(len(resource.content)).encode()),
        ]
        return 200, headers, resource.content

    def _read(self, path: str) -> Resource | None:
        """The file at a path below the root that goes through no symbolic link; None when there is none."""
        full = self._root / path
        media_type = TYPES.get(full.suffix)
        if media_type is None:
            return None
        try:
            if full.resolve() != (self._root.resolve() / path):
                return None
            descriptor = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return None
            content = file.read()
        etag = f'"{sha256(content).hexdigest()[:32]}"'
        return Resource(content, etag, int(found.st_mtime), media_type)


def _path(scope: Scope) -> str | None:
    """The path below the root a request names, None when it can name none."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    if len(raw) > _MAX_PATH:
        return None
    path = unquote_to_bytes(raw.partition(b"?")[0])
    if not _SAFE_PATH.fullmatch(path):
        return None
    return path.decode("ascii").strip("/") or "index.html"


def _unchanged(headers: list[tuple[bytes, bytes]], resource: Resource) -> bool:
    """Conditional requests (RFC 9110, 13.2.2): If-None-Match beats If-Modified-Since."""
    sent: dict[bytes, bytes] = {}
    for name, value in headers:
        sent[name] = sent[name] + b", " + value if name in sent else value
    if (tags := sent.get(b"if-none-match")) is not None:
        listed = re.findall(r'(?:W/)?("[^"]*")', tags.decode("latin-1"))
        return tags.strip() == b"*" or resource.etag in listed
    if (since := sent.get(b"if-modified-since")) is not None:
        try:
            moment = parsedate_to_datetime(since.decode("latin-1")).timestamp()
        except (ValueError, TypeError, OverflowError):
            return False
        # A date in the future says nothing, unless it is the one we sent (files may be dated ahead a little).
        return moment == resource.modified_s or resource.modified_s < moment <= time.time()
    return False


def _plain(status: int, text: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    body = text.encode() + b"\n"
    return (
        status,
        [
            *headers,
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ],
        body,
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
