"""What changed between two versions of a text, for people.

Chinese is compared by character, words and numbers of other scripts as wholes (`5.1%` became `51%`, not `5` `.` `1`),
white space and the width of punctuation not at all. Bounded in time and size, whatever the texts.
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from feedsync.text import normalise
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

MAX_EDITS = 20
"""The newest so many revisions are told."""

_WORD = r"[0-9A-Za-z０-９Ａ-Ｚａ-ｚ]+"
_TOKEN = re.compile(rf"(?<!\s)\s*+(?:{_WORD}(?:[.,:．，：]{_WORD})*[%％]?|\S)")
_END_OF_UNIT = re.compile(r"[。！？!?；;]$")
_CONTEXT = 24
_MAX_SHOWN = 600
_MAX_PIECES = 120
_MAX_UNITS = 2000
_BUDGET_PAIRS = 150_000


class Kind(StrEnum):
    """What became of a piece of text; of a gap, nothing."""

    SAME = "same"
    DELETED = "deleted"
    INSERTED = "inserted"
    GAP = "gap"


class Piece(Struct, frozen=True):
    """A run of text and what became of it. A gap stands for text left out."""

    kind: Kind
    text: str = ""


class Version(Struct, frozen=True):
    """A meaning an article had, and since when."""

    at: datetime
    title: str
    text: str


class Edit(Struct, frozen=True):
    """What a revision changed, and when; () where it changed nothing."""

    at: datetime
    title: tuple[Piece, ...]
    text: tuple[Piece, ...]


class Budget(Struct):
    """How many pairs of equal tokens may still be looked at: what comparing costs."""

    pairs: int = _BUDGET_PAIRS

    def allows(self, old: Sequence[str], new: Sequence[str]) -> bool:
        """Whether these may be compared; then it is spent."""
        if len(old) > _MAX_UNITS or len(new) > _MAX_UNITS:
            return False
        counts = Counter(new)
        cost = sum(counts[key] for key in old)
        if cost > self.pairs:
            return False
        self.pairs -= cost
        return True


def edits(versions: Sequence[Version]) -> tuple[Edit, ...]:
    """What each version changed of the one before, newest first. `versions` are sorted, oldest first."""
    budget = Budget()
    steps = list(pairwise(versions))[-MAX_EDITS:]
    return tuple(
        Edit(new.at, compare(old.title, new.title, budget), compare(old.text, new.text, budget))
        for old, new in reversed(steps)
    )


def compare(old: str, new: str, budget: Budget | None = None, *, whole: bool = False) -> tuple[Piece, ...]:
    """What was deleted and inserted, in the order of the texts, with a little of what stands around it.

    () when both say the same. With `whole`, nothing is left out.
    """
    if normalise(old) == normalise(new):
        return ()
    pieces = list(_joined(_Texts(old, new).pieces(budget or Budget())))
    return tuple(pieces if whole else _shortened(pieces))


class _Texts:
    """Two texts as tokens, and as the keys they are compared by."""

    def __init__(self, old: str, new: str) -> None:
        self._tokens: tuple[list[str], list[str]] = _TOKEN.findall(old), _TOKEN.findall(new)
        self._keys = [normalise(token) for token in self._tokens[0]], [normalise(token) for token in self._tokens[1]]

    def pieces(self, budget: Budget) -> Iterator[Piece]:
        old, new = self._keys
        start = _common(old, new, min(len(old), len(new)))
        end = _common(old[::-1], new[::-1], min(len(old), len(new)) - start)
        yield self._same(0, start)
        yield from self._between((start, len(old) - end), (start, len(new) - end), budget)
        yield self._same(len(new) - end, len(new))

    def _between(self, old: tuple[int, int], new: tuple[int, int], budget: Budget) -> Iterator[Piece]:
        """By token where that is cheap, else by sentence, and then by token within."""
        keys = self._keys[0][slice(*old)], self._keys[1][slice(*new)]
        if budget.allows(*keys):
            yield from self._by_token(old, new)
            return
        units = self._units(0, *old), self._units(1, *new)
        said = [["".join(self._keys[side][slice(*unit)]) for unit in units[side]] for side in (0, 1)]
        if not budget.allows(*said):
            yield from self._replaced(old, new)
            return
        for tag, i1, i2, j1, j2 in _opcodes(*said):
            a, b = _span(units[0], i1, i2, old[1]), _span(units[1], j1, j2, new[1])
            if tag == "equal":
                yield self._same(*b)
            elif tag == "replace" and budget.allows(self._keys[0][slice(*a)], self._keys[1][slice(*b)]):
                yield from self._by_token(a, b)
            else:
                yield from self._replaced(a, b)

    def _by_token(self, old: tuple[int, int], new: tuple[int, int]) -> Iterator[Piece]:
        for tag, i1, i2, j1, j2 in _opcodes(self._keys[0][slice(*old)], self._keys[1][slice(*new)]):
            if tag == "equal":
                yield self._same(new[0] + j1, new[0] + j2)
            else:
                yield from self._replaced((old[0] + i1, old[0] + i2), (new[0] + j1, new[0] + j2))

    def _units(self, side: int, start: int, stop: int) -> list[tuple[int, int]]:
        """Sentences and lines, as spans of tokens."""
        tokens = self._tokens[side]
        cuts = [i for i in range(start + 1, stop) if "\n" in tokens[i] or _END_OF_UNIT.search(tokens[i - 1])]
        return list(zip([start, *cuts], [*cuts, stop], strict=True)) if stop > start else []

    def _same(self, start: int, stop: int) -> Piece:
        return Piece(Kind.SAME, "".join(self._tokens[1][start:stop]))

    def _replaced(self, old: tuple[int, int], new: tuple[int, int]) -> Iterator[Piece]:
        yield Piece(Kind.DELETED, "".join(self._tokens[0][slice(*old)]))
        yield Piece(Kind.INSERTED, "".join(self._tokens[1][slice(*new)]))


def _opcodes(old: Sequence[str], new: Sequence[str]) -> Sequence[tuple[str, int, int, int, int]]:
    return SequenceMatcher(None, old, new, autojunk=False).get_opcodes()


def _span(units: list[tuple[int, int]], start: int, stop: int, end: int) -> tuple[int, int]:
    """The tokens of these units; none, at the right place, for no unit."""
    first = units[start][0] if start < len(units) else end
    return first, units[stop - 1][1] if stop > start else first


def _common(one: Sequence[str], other: Sequence[str], most: int) -> int:
    """How many are equal from the beginning."""
    return next((i for i in range(most) if one[i] != other[i]), most)


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Without empty ones, and with what is deleted or inserted in a row as one of each."""
    deleted = inserted = ""
    for piece in pieces:
        if piece.kind is Kind.DELETED:
            deleted += piece.text
        elif piece.kind is Kind.INSERTED:
            inserted += piece.text
        elif piece.text:
            yield from _changed(deleted, inserted)
            deleted = inserted = ""
            yield piece
    yield from _changed(deleted, inserted)


def _changed(deleted: str, inserted: str) -> Iterator[Piece]:
    if deleted:
        yield Piece(Kind.DELETED, deleted)
    if inserted:
        yield Piece(Kind.INSERTED, inserted)


def _shortened(pieces: list[Piece]) -> Iterator[Piece]:
    """With a little around each change, and no more of anything than can be read."""
    gap = Piece(Kind.GAP)
    for number, piece in enumerate(pieces):
        if number >= _MAX_PIECES:
            yield gap
            return
        text, keep = piece.text, _MAX_SHOWN // 2
        if piece.kind is Kind.SAME:
            keep = _CONTEXT
            before = text[-keep:] if number + 1 < len(pieces) else ""
            after = text[:keep] if number else ""
        else:
            after, before = text[:keep], text[-keep:]
        if len(text) <= len(after) + len(before):
            yield piece
            continue
        if after:
            yield Piece(piece.kind, after)
        yield gap
        if before:
            yield Piece(piece.kind, before)
