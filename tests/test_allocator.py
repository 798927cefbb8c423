"""When freed memory goes back."""

import platform
from pathlib import Path

import pytest

from .processes import alone

_MEMORY = """
    import resource, sys
    from feedsync.allocator import keep_freed_memory

    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    if sys.argv[1] == "kept":
        keep_freed_memory()
    before = faults()
    for _ in range(20):
        batch = [bytes(4000) for _ in range(1200)]
        del batch
    print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of other allocators nothing is asked")
def test_memory_for_the_next_batch_is_kept(tmp_path: Path) -> None:
    kept = {how: int(alone(_MEMORY, how, folder=tmp_path).communicate(timeout=60)[0]) for how in ("kept", "default")}
    assert kept["kept"] < 5000 < kept["default"], kept
