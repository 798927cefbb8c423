"""Which response a request gets. The bytes of a response never depend on anything a client says but the path,
the conditional fields and Accept-Encoding: no Host, no forwarded field takes part, a query only in searches.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from feedsync.web.conditions import codings, failed, unchanged
from feedsync.web.files import Files, Gone
from feedsync.web.kinds import CROSS_ORIGIN, kind_of
from feedsync.web.message import Response, bare, page
from feedsync.web.search import EXTENSIONS, Searches

if TYPE_CHECKING:
    from concurrent.futures import Future

    from feedsync.web.message import Fields, Request
    from feedsync.web.options import Options

_SAFE_PATH = re.compile(rb"/(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,250}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,250})*/?)?")
_LARGE = "large/"
_MAX_PATH_BYTES = 1024
_INDEX = "index.html"
_ALLOW = (("Allow", "GET, HEAD, OPTIONS"),)
_PREFLIGHT = (
    *CROSS_ORIGIN,
    ("Access-Control-Allow-Methods", "GET, HEAD"),
    ("Access-Control-Allow-Headers", "If-None-Match, If-Modified-Since"),
    ("Access-Control-Max-Age", "86400"),
)
_UNREADABLE = page(503, "暂时无法读取，请稍后再试。 Not readable just now, try again soon.", (("Retry-After", "5"),))
_SAID = {
    404: "没有这个页面。 There is no such page.",
    410: "这里的内容已经撤下。 What stood here is gone for good.",
    405: "这里只能读取（GET、HEAD）。 This can only be read (GET, HEAD).",
}
_PRECONDITION_FAILED = bare(412)


class Application:
    """Answers requests from the output folder."""

    def __init__(self, options: Options) -> None:
        self._files = Files(options.root, options.cache_bytes, options.formats)
        self._left_out = {"rss", "json"}.difference(options.formats)
        self._searches = Searches(options) if options.store_url else None
        self._redirects = {
            _path(old.encode()): bare(301, (("Location", new), ("Cache-Control", "public, max-age=3600")), CROSS_ORIGIN)
            for old, new in options.redirects.items()
        }

    def search(self, request: Request) -> Future[Response] | None:
        """The response to a search, some time later; None for any other request."""
        extension = EXTENSIONS.get(request.target)
        if extension is None or self._searches is None or request.method not in ("GET", "HEAD"):
            return None
        return self._searches.begin(request, extension)

    def respond(self, request: Request) -> Response:
        """The response to a GET; one to HEAD is the same, its body not sent."""
        if request.method not in ("GET", "HEAD"):
            return self._other(request)
        path = _path(request.target)
        if path is None:
            return self._refusal(404)
        fields = request.fields
        try:
            found = self._files.find(path, codings(fields.get(b"accept-encoding")))
            moved = None if found else self._redirects.get(path) or self._in_atom(path)
        except Gone:
            return _UNREADABLE
        if found is None:
            return moved or self._refusal(410 if self._files.withdrawn(path) else 404)
        if failed(fields, found.etag, found.modified_s):
            return _PRECONDITION_FAILED
        if unchanged(fields, found.etag, found.modified, found.modified_s, time.time()):
            return found.same
        return found.whole

    def _in_atom(self, path: str) -> Response | None:
        """The way to the Atom feed for who asks for a format that is left out. Raises Gone."""
        stem, _, extension = path.rpartition(".")
        if extension not in self._left_out or self._files.find(f"{stem}.atom", ()) is None:
            return None
        location = f"{stem.rpartition('/')[2]}.atom"
        return bare(301, (("Location", location), ("Cache-Control", "public, max-age=3600")), CROSS_ORIGIN)

    def _other(self, request: Request) -> Response:
        if request.method != "OPTIONS":
            return self.method_not_allowed()
        path = _path(request.target)
        kind = kind_of(path) if path else None
        return bare(204, _ALLOW, _PREFLIGHT if kind and kind.feed else ())

    def method_not_allowed(self) -> Response:
        """The response to a method that changes anything, or that we do not know."""
        return self._refusal(405, _ALLOW)

    def _refusal(self, status: int, *fields: Fields) -> Response:
        """The tree's own page that helps, or a plain one."""
        try:
            found = self._files.find(f"{status}.html", ())
        except Gone:
            if status == 404:
                return _UNREADABLE
            found = None
        body = found.whole.body if found else None
        return page(status, _SAID[status], *fields, body=body if isinstance(body, bytes) else None)


def _path(target: bytes) -> str | None:
    """The path below the root that a target names, None when it can name none."""
    if len(target) > _MAX_PATH_BYTES:
        return None
    if b"%" in target:
        target = unquote_to_bytes(target)
    if not _SAFE_PATH.fullmatch(target):
        return None
    path = target[1:].decode("ascii") or _INDEX
    # In large type the pages are the same files; for other servers there are symbolic links, which we do not follow.
    if path.startswith(_LARGE) and not path.endswith((".html", ".css")):
        return None  # a feed has one address
    return path.removeprefix(_LARGE) if path.endswith(".html") else path
