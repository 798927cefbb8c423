"""The published tree over HTTP, in a process of its own. `python -m feedsync.web OPTIONS` is that process."""

from feedsync.web.options import Options

__all__ = ["Options"]
