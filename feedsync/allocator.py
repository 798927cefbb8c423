"""When memory that was freed goes back to the system."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h of glibc; other libraries have no mallopt, or leave these alone
_KEPT_BYTES = 16_000_000
_APART_BYTES = 8_000_000


def keep_freed_memory() -> None:
    """Keep some megabytes for what comes next: for processes that need as much again and again.

    A batch of documents or a large feed takes 2 to 5 MB for a moment. By default that goes back each time it is freed,
    and each of its pages has to be had and cleared anew.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return  # somebody knows better
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _APART_BYTES)
