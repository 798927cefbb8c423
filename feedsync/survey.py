"""A look at a folder beside what is known of it: which of its files are worth a pass.

It asks for no right to run one, for of a million files it takes seconds in which others are to be published. So what
it finds are hints: the walk looks at them again, and at what changed in the meantime, once it has that right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedsync.sources import Stretch, paths_told_as, printable, stretches
from feedsync.values import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from feedsync.patience import Patience
    from feedsync.sources import FileSource
    from feedsync.store import Store

_MANY = 1500
"""With more that is new, the walk had better go through the whole folder."""

_ROWS = 5000
_STRETCHES = 25
"""Made in one thread."""

_File = tuple[bytes, int, int, int]


class Survey(Struct):
    """What a folder looked like."""

    unchanged: int = 0
    """Files as they were when last read, without those refused then."""

    standing: set[str] = field(default_factory=set)
    """Where documents were refused before, and are as they were."""

    paths: list[bytes] = field(default_factory=list)
    """New, changed, refused otherwise than before or while they were read, or gone."""


def survey(store: Store, source: FileSource, patience: Patience, check: Callable[[], object]) -> Survey | None:
    """A survey of one source; None when there is so much new that it makes no sense.

    `check` is called every now and then; it may raise. Raises SourceError, StoreError.
    """
    with store.reading() as reader:
        source_id = reader.find_source(source.name)
        if source_id is None:
            return None
        refused = {item.origin.location: (item.code, item.reason) for item in reader.quarantined(source_id)}
    told = [paths_told_as(location) for location in refused]
    if not all(told):
        return None
    suspected = set().union(*told)
    found, news = Survey(), 0
    rows = _Rows(store, source_id)
    for stretch in patience.each(stretches(source), _place, _STRETCHES):
        check()
        stats: dict[bytes, _File] = {}
        if not stretch.refused and rows.pass_over(stretch.files):
            found.unchanged += len(stretch.files)
        else:
            stats = {row[0]: row for row in rows.through(stretch.last)}
            for file in stretch.files:
                if stats.pop(file[0], None) == file:
                    found.unchanged += 1
                else:
                    found.paths.append(file[0])
                    news += file[0] not in suspected
                    suspected.discard(file[0])
            found.paths += stats
            news += len(stats)
        if suspected:
            again = suspected.intersection([file[0] for file in stretch.files])
            standing = refused.keys() & map(printable, again)
            found.unchanged -= len(standing)
            found.standing |= standing
        for name in stretch.refused:
            why = name.refused and (name.refused.code, name.refused.message)
            if refused.get(name.location) == why and name.path not in stats:
                found.standing.add(name.location)
            else:
                found.paths.append(name.path)
                news += name.location not in refused
        if news > _MANY:
            return None
    gone = [path for path, *_ in rows.rest(_MANY + 1)]
    found.paths += gone
    return found if news + len(gone) <= _MANY else None


class _Rows:
    """The cache of a source's files, read a part at a time, so that no snapshot outlives its use."""

    def __init__(self, store: Store, source_id: int) -> None:
        self._store = store
        self._source_id = source_id
        self._rows: list[_File] = []
        self._at = 0
        self._after: bytes | None = b""
        """The last path that was read; None after all of them."""

    def pass_over(self, files: list[_File]) -> bool:
        """Whether the next rows are just these, and were passed over."""
        same = self._next(len(files)) == files
        if same:
            self._at += len(files)
        return same

    def through(self, last: bytes) -> list[_File]:
        """The next rows up to a path."""
        self._read(lambda: self._rows[-1][0] <= last)
        start = end = self._at
        while end < len(self._rows) and self._rows[end][0] <= last:
            end += 1
        self._at = end
        return self._rows[start:end]

    def rest(self, limit: int) -> list[_File]:
        """The rows after those, so many at the most."""
        return self._next(limit)

    def _next(self, limit: int) -> list[_File]:
        self._read(lambda: len(self._rows) - self._at < limit)
        return self._rows[self._at : self._at + limit]

    def _read(self, wanted: Callable[[], bool]) -> None:
        """Read on while more is wanted."""
        while self._after is not None and (len(self._rows) == self._at or wanted()):
            with self._store.reading() as reader:
                more = reader.file_stats(self._source_id, self._after, _ROWS)
            self._rows = self._rows[self._at :] + more
            self._at = 0
            self._after = more[-1][0] if len(more) == _ROWS else None


def _place(stretch: Stretch) -> str:
    return f"the folder after {printable(stretch.last)}"
