"""Where feeds go: the published tree."""

from feedsync.outputs.tree import Batch, Tree

__all__ = ["Batch", "Tree"]
