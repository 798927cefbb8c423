"""Documents to articles. Pure: values in, values out.

The functions for fetched documents are in `page`, `listing` and `upstream`, and imported from there.
"""

from feedsync.parse.clean import text_of
from feedsync.parse.credit import is_topic
from feedsync.parse.document import parse
from feedsync.parse.identity import key_from_user, key_of_url
from feedsync.parse.listing import ListShape
from feedsync.parse.rewrite import Rewrite, text_url
from feedsync.parse.said import measure
from feedsync.parse.selector import selector_fault
from feedsync.parse.unfinished import looks_unfinished

__all__ = [
    "ListShape",
    "Rewrite",
    "is_topic",
    "key_from_user",
    "key_of_url",
    "looks_unfinished",
    "measure",
    "parse",
    "selector_fault",
    "text_of",
    "text_url",
]
