"""How feed documents are laid out: each entry begins a line, by a mark that stands nowhere else.

So whatever reads a document of ours finds the entries in it without parsing them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from feedsync.model import KEY_PATTERN
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

Piece = bytes | memoryview
"""Of a document: its own bytes, or a view into another."""


class Layout(Struct, frozen=True):
    """Of a format: how an entry begins, what stands before the key in it, what between entries and after the last."""

    opening: bytes
    before_key: bytes
    comma: bytes
    ending: bytes

    def join(self, head: bytes, entries: Sequence[Piece]) -> bytes:
        """A document: its head, the entries, its ending."""
        parts: list[Piece] = [head]
        for number, entry in enumerate(entries):
            parts += (self.comma + b"\n" if number else b"\n", entry)
        return b"".join((*parts, b"\n", self.ending))

    def part(self, document: bytes) -> dict[str, Piece]:
        """The entries of a document that `join` made, by their articles' keys. None is copied."""
        key = re.compile(re.escape(self.before_key) + rf"[^<\"]*:article/({KEY_PATTERN})[<\"]".encode())
        mark, between, end = b"\n" + self.opening, len(self.comma) + 1, len(document) - len(self.ending) - 1
        view = memoryview(document)
        found: dict[str, Piece] = {}
        start = document.find(mark) + 1
        while start:
            after = document.find(mark, start) + 1
            stop = after - between if after else end
            if match := key.search(document, start, stop):
                found[match.group(1).decode("ascii")] = view[start:stop]
            start = after
        return found


ATOM = Layout(b"<entry>", b"<id>", b"", b"</feed>\n")
RSS = Layout(b"<item>", b'<guid isPermaLink="false">', b"", b"</channel>\n</rss>\n")
JSON = Layout(b'{"id":', b'{"id":"', b",", b"]}\n")
