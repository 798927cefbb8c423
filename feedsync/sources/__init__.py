"""Where documents come from. The HTTP client is imported by whoever fetches, from `feedsync.sources.client`."""

from feedsync.sources.content import StillBeingWritten, read
from feedsync.sources.fetched import FeedSource, FetchedSource, ListSource, UrlSource
from feedsync.sources.files import FileSource, Found, Stat, paths_told_as, printable
from feedsync.sources.folder import Stretch, folders, is_folder, look, scan, stretches
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
    "Stretch",
    "UrlSource",
    "folders",
    "is_fetched",
    "is_folder",
    "look",
    "paths_told_as",
    "printable",
    "read",
    "scan",
    "stretches",
]

Source = FileSource | FetchedSource


def is_fetched(source: Source) -> bool:
    """Whether a source has anything to fetch: all kinds but files, and files that are completed from the network."""
    return not isinstance(source, FileSource) or source.fetch is not None
