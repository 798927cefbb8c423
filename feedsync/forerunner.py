"""A process that works ahead of the others, while this one imports what those will need."""

from __future__ import annotations

import mmap
import signal
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH = 8
"""Bytes before each part that say how long it is."""

_END_S = 2.0
"""It stops after the part it is at, which takes moments; one that does not hangs, and what it did is done again."""


class Forerunner:
    """A copy of this process that works through parts of something, until it is told to stop.

    For a process with one thread and nothing open; see docs/decisions/0029-forked-workers.md.
    """

    def __init__(self, parts: Iterable[bytes]) -> None:
        """`parts` is gone through in the copy. Raises OSError."""
        from multiprocessing import get_context

        self._told = mmap.mmap(-1, 1)  # which both processes see
        self._done = tempfile.TemporaryFile()  # noqa: SIM115 - open until it is stopped
        self._process = get_context("fork").Process(target=self._work, args=(parts,), daemon=True)
        self._process.start()

    def _work(self, parts: Iterable[bytes]) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us hears of it, and ends us
        with suppress(Exception):  # whatever happens here happens to it as well
            for part in parts:
                self._done.write(len(part).to_bytes(_LENGTH, "big") + part)
                self._done.flush()
                if self._told[0]:
                    break

    def stop(self) -> list[bytes]:
        """Tell it to stop; the parts it has done. None of one that does not answer, or was killed."""
        self._told[0] = 1
        self._process.join(_END_S)
        if self._process.exitcode != 0:
            self._process.kill()
            return []
        done = []
        with self._done:
            self._done.seek(0)
            while len(head := self._done.read(_LENGTH)) == _LENGTH:
                length = int.from_bytes(head, "big")
                if len(part := self._done.read(length)) == length:
                    done.append(part)
        self._told.close()
        return done
