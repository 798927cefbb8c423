"""What a feed said last: entries taken from its published files, for the next version says nearly all of it again.

To draw an entry takes several reads of the database; to take it from the file of before, none. It is taken
only where that file is, to the bit, what was published (docs/decisions/0033-former-entries.md).
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from feedsync import __version__
from feedsync.errors import OutputError
from feedsync.feeds import Piece
from feedsync.store import id_of_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feedsync.feeds import Format
    from feedsync.outputs import Tree
    from feedsync.store import Term

_LENGTH = 8
"""Bytes of a digest that say how long the documents are."""

Entries = dict[int, tuple[Piece, ...]]
"""By the ids of their articles, in each format."""


@cache
def drawn_by() -> bytes:
    """By which versions entries are drawn: others may write the same in other bytes."""
    found = [__version__]
    for name in ("feedgen", "lxml", "msgspec"):
        with suppress(PackageNotFoundError):  # installed by other means than a package of Python
            found.append(f"{name} {version(name)}")
    return " ".join(found).encode()


def digest_of(documents: Sequence[bytes]) -> bytes:
    """By what a feed is recognised: the documents of all its formats, in their order; b"" when it has none.

    It begins with how long they are together, so that of other files nobody has to read what may be large.
    """
    if not documents:
        return b""
    found = sha256(drawn_by())
    for document in documents:
        found.update(b"%d:" % len(document))
        found.update(document)
    return sum(map(len, documents)).to_bytes(_LENGTH, "big") + found.digest()


class Former:
    """Feeds as they stand in a tree."""

    def __init__(self, tree: Tree, formats: Sequence[Format]) -> None:
        self._tree = tree
        self._formats = formats

    def entries(self, term: Term, stem: str) -> Entries:
        """The entries of a term's feed as it was last published; none when that is not what stands there."""
        if term.published_seq < 0 or not term.digest:
            return {}
        paths = [f"{stem}.{format.extension}" for format in self._formats]
        try:
            if sum(map(self._tree.size, paths)) != int.from_bytes(term.digest[:_LENGTH], "big"):
                return {}
            documents = [self._tree.read(path) or b"" for path in paths]
        except OutputError:  # it can be drawn without, and then perhaps put in place
            return {}
        if digest_of(documents) != term.digest:
            return {}
        found = [format.layout.part(document) for format, document in zip(self._formats, documents, strict=True)]
        everywhere = set(found[0]).intersection(*found[1:])
        return {id_of_key(key): tuple(entries[key] for entries in found) for key in everywhere}
