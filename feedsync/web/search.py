"""Searches over HTTP: the only answers that are made when they are asked for, in threads of their own."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from feedsync.errors import FeedsyncError
from feedsync.web.conditions import failed, unchanged
from feedsync.web.kinds import CROSS_ORIGIN, KINDS
from feedsync.web.message import FEED_FIELDS, PAGE_FIELDS, Response, bare, head, page

if TYPE_CHECKING:
    from feedsync.web.message import Request
    from feedsync.web.options import Options

log = logging.getLogger("feedsync.web")

EXTENSIONS = {b"/search": "html", b"/search.atom": "atom", b"/search.rss": "rss", b"/search.json": "json"}

_THREADS = 2
_MOST = 16
_BUSY = page(503, "现在搜索的人太多，请稍后再试。 Too many searches, try again soon.", (("Retry-After", "5"),))
_BROKEN = page(500, "内部错误。 Internal error.")
_UNREADABLE = page(503, "暂时不能搜索，请稍后再试。 No search just now, try again soon.", (("Retry-After", "60"),))
_AGE = ("Cache-Control", "public, max-age=60")
_NO_ROBOTS = ("X-Robots-Tag", "noindex")


class Searches:
    """Two at a time; a few wait, and whoever comes then is told to come again."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._threads = ThreadPoolExecutor(_THREADS, "search")
        self._room = threading.Semaphore(_MOST)

    def begin(self, request: Request, extension: str) -> Future[Response]:
        """The response, some time later; of whatever is asked, never an exception."""
        if not self._room.acquire(blocking=False):
            busy: Future[Response] = Future()
            busy.set_result(_BUSY)
            return busy
        future = self._threads.submit(self._answer, request, extension)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _answer(self, request: Request, extension: str) -> Response:
        try:
            return self._search(request, extension)
        except FeedsyncError as error:
            log.error("no search", extra={"fields": {"reason": str(error)}})
            return _UNREADABLE
        except Exception:
            log.exception("no search", extra={"fields": {"query": request.query.decode("latin-1")}})
            return _BROKEN

    def _search(self, request: Request, extension: str) -> Response:
        # Nothing of this is needed to serve files: a server that is asked for nothing else is up sooner, and smaller.
        from feedsync.feeds import Presentation
        from feedsync.search import answer
        from feedsync.store import Store

        presentation = Presentation.from_json(self._options.presentation)
        with Store.open_readonly(self._options.store_url) as store:
            found = answer(store, presentation, _query(request), extension)
        if found.status != 200:
            again = (("Retry-After", "60"),) if found.status == 503 else ()
            return page(found.status, "", (_NO_ROBOTS, *again), body=found.body)
        return _response(request, found.extension, found.body)


def _query(request: Request) -> str:
    try:
        values = parse_qs(request.query.decode("latin-1"), max_num_fields=16).get("q", [""])
    except ValueError:
        return ""
    return values[0].strip()


def _response(request: Request, extension: str, body: bytes) -> Response:
    """Validators follow from the bytes; when a search was last different nobody knows, so there is no Last-Modified."""
    kind = KINDS[extension]
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    validators = (("ETag", etag), _AGE, _NO_ROBOTS)
    if failed(request.fields, etag.encode(), 0):
        return bare(412)
    if b"if-none-match" in request.fields and unchanged(request.fields, etag.encode(), b"", 0, 0):
        return Response(304, head(validators, CROSS_ORIGIN if kind.feed else ()))
    content = (("Content-Type", kind.media_type), ("Content-Length", str(len(body))))
    fields = FEED_FIELDS if kind.feed else PAGE_FIELDS
    return Response(200, head(content, validators, fields, CROSS_ORIGIN if kind.feed else ()), body)
