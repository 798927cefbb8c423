"""Where a text says what was searched for: marked, and cut to what surrounds it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from feedsync.query.match import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

_BEFORE = 30
_MORE = "…"


class Piece(NamedTuple):
    """A part of a text, and whether it is what was searched for."""

    text: str
    hit: bool


def marked(text: str, words: Sequence[str]) -> tuple[Piece, ...]:
    """The whole text on one line. `words` are folded."""
    text = _one_line(text)
    return _pieces(text, _spans(text, words), 0, len(text))


def snippet(text: str, words: Sequence[str], length: int = 120) -> tuple[Piece, ...]:
    """About so many characters of the text around the first hit; its beginning when there is none."""
    text = _one_line(text)
    spans = _spans(text, words)
    start = max(0, spans[0][0] - _BEFORE) if spans else 0
    end = min(len(text), max(start + length, spans[0][1] if spans else 0))
    inner = _pieces(text, spans, start, end)
    before = (Piece(_MORE, False),) if start else ()
    after = (Piece(_MORE, False),) if end < len(text) else ()
    return before + inner + after


@lru_cache(maxsize=1 << 15)
def _folded(character: str) -> str:
    return fold(character)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _spans(text: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Where the words stand in the text, in order, overlaps joined."""
    folded: list[str] = []
    origin: list[int] = []
    for at, character in enumerate(text):
        part = _folded(character)
        folded.append(part)
        origin.extend([at] * len(part))
    whole = "".join(folded)
    found = sorted(
        (origin[match.start()], origin[match.end() - 1] + 1)
        for word in words
        for match in re.finditer(re.escape(word), whole)
    )
    joined: list[tuple[int, int]] = []
    for start, end in found:
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _pieces(text: str, spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    at = start
    for first, last in spans:
        first, last = max(first, at), min(last, end)
        if first >= last:
            continue
        if first > at:
            pieces.append(Piece(text[at:first], False))
        pieces.append(Piece(text[first:last], True))
        at = last
    if at < end:
        pieces.append(Piece(text[at:end], False))
    return tuple(pieces)
