"""Where documents come from."""

from feedsync.sources.files import FileSource, Found, Stat, StillBeingWritten, look, printable, read, scan

__all__ = ["FileSource", "Found", "Stat", "StillBeingWritten", "look", "printable", "read", "scan"]
