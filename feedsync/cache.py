"""Entries drawn before, kept for the next feed they stand in."""

from __future__ import annotations

from collections import OrderedDict
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from feedsync.outputs import packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

_OVERHEAD_BYTES = 500
"""What an entry takes in memory beside its content."""

Drawn = tuple[bytes, ...]
"""What an entry looks like in each format."""

_Kept = tuple[bytes, tuple[int, ...]]
"""The same in one piece, with the ends of the formats in it before it was packed."""


class EntryCache:
    """Drawn entries by article and sequence, the least recently used dropped beyond a number of bytes.

    Most are packed: an entry says nearly the same in each format, so four times as many find room. The newest
    are not yet: when little is drawn, or each entry stands in one feed only, packing would be for nothing.
    """

    def __init__(self, capacity_bytes: int = 32_000_000, plain_bytes: int = 12_000_000) -> None:
        self._plain = _Shelf(plain_bytes)
        self._packed = _Shelf(capacity_bytes - plain_bytes)

    def get(self, key: tuple[int, int]) -> Drawn | None:
        if kept := self._plain.get(key):
            content, ends = kept
        elif kept := self._packed.get(key):
            content, ends = kept
            content = unpacked(content)
        else:
            return None
        return tuple(content[start:end] for start, end in pairwise((0, *ends)))

    def put(self, key: tuple[int, int], drawn: Drawn) -> None:
        self._plain.put(key, (b"".join(drawn), tuple(accumulate(map(len, drawn)))))
        for old, (content, ends) in self._plain.overflow():
            self._packed.put(old, (packed(content), ends))
        for _ in self._packed.overflow():
            pass

    def clear(self) -> None:
        self._plain.clear()
        self._packed.clear()


class _Shelf:
    """Room for so many bytes of entries, in the order of their last use."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._kept: OrderedDict[tuple[int, int], _Kept] = OrderedDict()

    def get(self, key: tuple[int, int]) -> _Kept | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: tuple[int, int], kept: _Kept) -> None:
        self._kept[key] = kept
        self._held_bytes += len(kept[0]) + _OVERHEAD_BYTES

    def overflow(self) -> Iterator[tuple[tuple[int, int], _Kept]]:
        """Take out what is too much, the least recently used first."""
        while self._held_bytes > self._capacity_bytes:
            key, kept = self._kept.popitem(last=False)
            self._held_bytes -= len(kept[0]) + _OVERHEAD_BYTES
            yield key, kept

    def clear(self) -> None:
        self._kept.clear()
        self._held_bytes = 0
