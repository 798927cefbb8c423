"""A process that works ahead of the others, while this one imports what those will need."""

from __future__ import annotations

import mmap
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LENGTH = 8
"""Bytes before each part that say how long it is."""

_END_S = 2.0
"""It stops after the part it is at, which takes moments; one that does not hangs."""

_KILL_S = 1.0


class Forerunner:
    """A copy of this process that works through parts of something, until it is told to stop.

    For a process with one thread and nothing open; see docs/decisions/0029-forked-workers.md.
    """

    def __init__(self, parts: Iterable[bytes], prepare: Callable[[], object]) -> None:
        """`parts` is gone through in the copy, which calls `prepare` first. Raises OSError."""
        from multiprocessing import get_context

        self._told = mmap.mmap(-1, 1)  # which both processes see
        self._done = tempfile.TemporaryFile()  # noqa: SIM115 - open until it is stopped
        self._process = get_context("fork").Process(target=self._work, args=(parts, prepare), daemon=True)
        self._process.start()

    def _work(self, parts: Iterable[bytes], prepare: Callable[[], object]) -> None:
        prepare()
        with suppress(Exception):  # whatever happens here happens to who started us as well
            for part in parts:
                self._done.write(len(part).to_bytes(_LENGTH, "big") + part)
                self._done.flush()
                if self._told[0]:
                    break

    def stop(self) -> list[bytes]:
        """Tell it to stop; the parts it has done, whole ones only. None of one that cannot even be killed."""
        self._told[0] = 1
        self._process.join(_END_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join(_KILL_S)
        parts = []
        with self._done as done, self._told:
            if self._process.exitcode is not None:
                done.seek(0)
                while len(head := done.read(_LENGTH)) == _LENGTH:
                    length = int.from_bytes(head, "big")
                    if len(part := done.read(length)) == length:
                        parts.append(part)
            with suppress(OSError):
                done.truncate(0)  # others that were forked since hold it open
        return parts
