"""Print the part of a lock file that some packages need: `pinned.py requirements.lock feedsync hatchling`.

The lock file says of each package what needs it (`# via`); developers' tools are needed by `feedsync:dev`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def pinned(lock: str, wanted: set[str]) -> str:
    """The requirements, with their hashes, of `wanted` and of all that those need."""
    blocks = {match[1]: match[0] for match in re.finditer(r"^(\S+?)==.*\n(?:[ \t]+.*\n)*", lock, re.MULTILINE)}
    needed_by = {name: _reasons(block) for name, block in blocks.items()}
    chosen = set(wanted)
    while more := {name for name, by in needed_by.items() if name not in chosen and by & chosen}:
        chosen |= more
    return "".join(block for name, block in blocks.items() if name in chosen)


def _reasons(block: str) -> set[str]:
    comments = " ".join(line for line in block.splitlines() if line.lstrip().startswith("#"))
    return set(re.sub(r" \(pyproject\.toml(:\w+)?\)", r"\1", comments).split()) - {"#", "via"}


if __name__ == "__main__":
    sys.stdout.write(pinned(Path(sys.argv[1]).read_text(encoding="utf-8"), set(sys.argv[2:])))
