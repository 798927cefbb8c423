"""Where feeds go: the published tree."""

from feedsync.outputs.tree import Batch, Prepared, Tree

__all__ = ["Batch", "Prepared", "Tree"]
