"""Where documents come from. The HTTP client is imported by whoever fetches, from `feedsync.sources.client`."""

from feedsync.sources.fetched import FeedSource, FetchedSource, ListSource, UrlSource
from feedsync.sources.files import FileSource, Found, Stat, StillBeingWritten, look, printable, read, scan
from feedsync.sources.policy import FetchPolicy

__all__ = [
    "FeedSource",
    "FetchPolicy",
    "FetchedSource",
    "FileSource",
    "Found",
    "ListSource",
    "Source",
    "Stat",
    "StillBeingWritten",
    "UrlSource",
    "is_fetched",
    "look",
    "printable",
    "read",
    "scan",
]

Source = FileSource | FetchedSource


def is_fetched(source: Source) -> bool:
    """Whether a source has anything to fetch: all kinds but files, and files that are completed from the network."""
    return not isinstance(source, FileSource) or source.fetch is not None
