"""Where feeds go: the published tree."""

from feedsync.outputs.batch import Batch, Prepared
from feedsync.outputs.encode import original_of, packed, unpacked
from feedsync.outputs.tree import Tree

__all__ = ["Batch", "Prepared", "Tree", "original_of", "packed", "unpacked"]
