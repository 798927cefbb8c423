"""Where feeds go: the published tree."""

from feedsync.outputs.encode import packed, unpacked
from feedsync.outputs.tree import Batch, Prepared, Tree

__all__ = ["Batch", "Prepared", "Tree", "packed", "unpacked"]
