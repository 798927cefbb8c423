"""Documents to articles. Pure: values in, values out."""

from feedsync.parse.document import parse
from feedsync.parse.identity import key_from_user
from feedsync.parse.said import measure
from feedsync.parse.unfinished import looks_unfinished

__all__ = ["key_from_user", "looks_unfinished", "measure", "parse"]
