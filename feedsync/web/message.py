"""A request as it was read, a response as it will be written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

from feedsync.values import Struct

Fields = Iterable[tuple[str, str]]

PAGE_FIELDS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    (
        "Content-Security-Policy",
        "default-src 'none'; img-src 'self' https: http: data:; style-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'",
    ),
)
"""For pages: no script, whatever an article holds. Pictures are the outlets' and come from anywhere."""
FEED_FIELDS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
)
"""For everything else: a browser that opens a feed as a document runs and loads nothing."""


class Request(NamedTuple):
    """`target` is the path as sent, before any `?`; field names are lower-case, repeated ones joined by commas."""

    method: str
    target: bytes
    query: bytes
    fields: dict[bytes, bytes]


class Response(Struct, frozen=True):
    """`head`: its header fields as bytes, all but those that concern the connection, and Date."""

    status: int
    head: bytes
    body: bytes | File = b""


@dataclass(frozen=True)
class File:
    """A body that stays on the disk: an open file of this very version, whatever stands at its path by now.

    Closed when nobody refers to it any more: neither the cache nor a connection that sends it.
    """

    descriptor: int
    size: int

    def __del__(self) -> None:
        os.close(self.descriptor)


STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def head(*fields: Fields) -> bytes:
    """Header fields as they are written."""
    return "".join(f"{name}: {value}\r\n" for group in fields for name, value in group).encode("latin-1")


def page(status: int, text: str, *fields: Fields, body: bytes | None = None) -> Response:
    """A page of ours that says what is the matter; nothing of the request is in it."""
    if body is None:
        name = HTTPStatus(status).phrase
        body = (
            f'<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>{status} {name}</title>'
            f'<p>{text}</p><p><a href="/">首页</a></p></html>\n'
        ).encode()
    own = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    )
    return Response(status, head(own, PAGE_FIELDS, *fields), body)


def bare(status: int, *fields: Fields) -> Response:
    """A response without content."""
    length = () if status in (204, 304) else (("Content-Length", "0"),)
    return Response(status, head(length, FEED_FIELDS, *fields))
