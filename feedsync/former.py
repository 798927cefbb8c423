"""What a feed said last: entries taken from its published files, for the next version says nearly all of it again.

To draw an entry takes several reads of the database; to take it from the file of before, none. It is taken
only where that file is, to the bit, what was published (docs/decisions/0033-former-entries.md).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from feedsync.errors import OutputError
from feedsync.feeds import Piece
from feedsync.store import id_of_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from feedsync.feeds import Format
    from feedsync.outputs import Tree
    from feedsync.store import Term

Entries = dict[int, tuple[Piece, ...]]
"""By the ids of their articles, in each format."""


def digest_of(documents: Iterable[bytes]) -> bytes:
    """By what a feed is recognised: the documents of all its formats, in their order."""
    found = sha256()
    for document in documents:
        found.update(b"%d:" % len(document))
        found.update(document)
    return found.digest()


class Former:
    """Feeds as they stand in a tree."""

    def __init__(self, tree: Tree, formats: Sequence[Format]) -> None:
        self._tree = tree
        self._formats = formats

    def entries(self, term: Term, stem: str) -> Entries:
        """The entries of a term's feed as it was last published; none when that is not what stands there."""
        if term.published_seq < 0 or not term.digest:
            return {}
        try:
            documents = [self._tree.read(f"{stem}.{format.extension}") or b"" for format in self._formats]
        except OutputError:  # it can be drawn without, and then perhaps put in place
            return {}
        if digest_of(documents) != term.digest:
            return {}
        found = [format.read_feed(document) for format, document in zip(self._formats, documents, strict=True)]
        everywhere = found[0].keys() if found else ()
        return {id_of_key(key): tuple(entries[key] for entries in found) for key in everywhere}
