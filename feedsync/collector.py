"""When Python looks for reference cycles."""

from __future__ import annotations

import gc


def relax_collector() -> None:
    """Imports and passes make many small values and no cycles: to look for them as often as usual costs a tenth."""
    gc.set_threshold(50_000, 20, 50)


def retire_collector() -> None:
    """At the end of a process, cycles are not worth looking for: a fifth of the time of a command that only asks."""
    gc.freeze()
    gc.disable()
