"""Former files, held open while others take their places.

To replace a file frees its blocks, which takes ten times as long as the rename itself; while it is open, they are
freed when it is closed, by another thread and after everybody has seen the new one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from feedsync.outputs.aside import aside

if TYPE_CHECKING:
    from collections.abc import Iterable

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def hold(root: str, paths: Iterable[str]) -> list[int]:
    """Descriptors of those of these files that are there; of none where descriptors are short."""
    held: list[int] = []
    try:
        for path in paths:
            with suppress(FileNotFoundError):
                held.append(os.open(path, _FLAGS))
        os.close(os.open(root, _FLAGS))  # one is left for whoever needs one now
    except OSError:
        _close(held)
    return held


def let_go(held: list[int]) -> None:
    """Close them, in another thread."""
    if held:
        aside(_close, held)


def _close(held: list[int]) -> None:
    """Close each once, even if this is done twice: a number may be another file's by then."""
    while held:
        with suppress(IndexError, OSError):
            os.close(held.pop())
