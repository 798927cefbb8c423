"""Reading what is known of sources: their files, what they refused, how their runs went."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, func, select

from feedsync.model import Origin
from feedsync.store.codec import decode, from_us, id_of_key
from feedsync.store.listed import among, rows_of
from feedsync.store.schema import WITHOUT_TEXT, articles, documents, files, quarantine, sources
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from feedsync.model import Article

_CHUNK = 500


class FileRow(NamedTuple):
    """A file as it was when last read; unsettled when it must be read again whatever its stat says.

    The digest is empty when the file looked unfinished and nothing was taken from it.
    """

    path: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    digest: bytes
    settled: bool


class Quarantined(Struct, frozen=True):
    """A refused document and why."""

    origin: Origin
    code: str
    reason: str
    remedy: str
    since: datetime


class SourceRow(Struct, frozen=True):
    """How the last run of a source ended, how many failed in a row, and what its fetching cost in all."""

    name: str
    ran: datetime | None
    succeeded: datetime | None
    error: str | None
    failures: int
    requests: int
    bytes: int
    files: int
    documents: int
    quarantined: int


class Sources:
    """Queries about sources, within the transaction of a Reader."""

    connection: Connection

    def file_rows(self, source_id: int, after: bytes, limit: int) -> list[FileRow]:
        """What is known of a source's files whose paths come after one, in the order of their bytes."""
        statement = (
            select(
                files.c.path,
                files.c.size,
                files.c.mtime_ns,
                files.c.ctime_ns,
                files.c.digest,
                files.c.settled,
            )
            .where(files.c.source_id == source_id, files.c.path > after)
            .order_by(files.c.path)
            .limit(limit)
        )
        return [FileRow._make(row) for row in self.connection.execute(statement)]

    def rows_of(self, source_id: int, paths: Sequence[bytes]) -> dict[bytes, FileRow]:
        """What is known of these files of a source."""
        found: dict[bytes, FileRow] = {}
        for start in range(0, len(paths), _CHUNK):
            chunk = files.c.path.in_(paths[start : start + _CHUNK])
            for row in self.connection.execute(select(files).where(files.c.source_id == source_id, chunk)):
                found[row.path] = FileRow(*row[1:])
        return found

    def file_stats(self, source_id: int, after: bytes, limit: int) -> list[tuple[bytes, int, int, int]]:
        """Path, size, mtime and ctime of a source's files whose paths come after one, in the order of their bytes.

        The size of an unsettled one is -1, so that no file is like it. Tuples straight from the driver: there may be
        a million.
        """
        sql = (
            "SELECT path, CASE WHEN settled THEN size ELSE -1 END, mtime_ns, ctime_ns FROM files "
            "WHERE source_id = ? AND path > ? ORDER BY path LIMIT ?"
        )
        with closing(self.connection.connection.cursor()) as cursor:
            cursor.execute(sql, (source_id, after, limit))
            return list(cursor.fetchall())

    def find_source(self, name: str) -> int | None:
        return self.connection.execute(_ID, {"name": name}).scalar()

    def last_error(self, source_id: int) -> str | None:
        """What the last recorded run of a source failed with."""
        return self.connection.execute(_ERROR, {"source": source_id}).scalar()

    def has_documents(self, source_id: int) -> bool:
        """Whether a source ever gave an article."""
        return any(
            self.connection.execute(select(table.c.source_id).where(table.c.source_id == source_id).limit(1)).first()
            for table in (files, documents)
        )

    def locations(self, source: str, key: str) -> list[str]:
        """Where a source has documents of an article."""
        statement = (
            select(documents.c.location)
            .join(sources, sources.c.id == documents.c.source_id)
            .where(documents.c.article_id == id_of_key(key), sources.c.name == source)
        )
        return list(self.connection.execute(statement).scalars())

    def without_text(self, source_id: int) -> list[Article]:
        """Articles a source knows of whose text nobody has."""
        here = select(documents.c.article_id).where(documents.c.source_id == source_id)
        statement = select(articles.c.facts).where(WITHOUT_TEXT, articles.c.id.in_(here))
        statement = statement.where(articles.c.withdrawn_us.is_(None))
        return [decode(facts) for facts in self.connection.execute(statement.order_by(articles.c.id)).scalars()]

    def fetched_documents(self, source_id: int) -> dict[str, str]:
        """The URLs from which a source of files completed articles, each with the key of its article."""
        statement = (
            select(documents.c.location, articles.c.key)
            .join(articles, articles.c.id == documents.c.article_id)
            .where(documents.c.source_id == source_id, documents.c.location.op("GLOB")("http*://*"))
        )
        return dict(self.connection.execute(statement).all())

    def quarantined(self, source_id: int | None = None) -> list[Quarantined]:
        """Refused documents, by source and location."""
        here = () if source_id is None else (quarantine.c.source_id == source_id,)
        return list(map(_quarantined, self.connection.execute(_REFUSED.where(*here))))

    def quarantined_among(self, source_id: int, locations: Iterable[str]) -> list[Quarantined]:
        """Those of these documents of a source that are refused."""
        return list(map(_quarantined, rows_of(self.connection, _REFUSED_AMONG, locations, source=source_id)))

    def source_rows(self) -> list[SourceRow]:
        """Every source; see SourceRow."""
        refused = select(func.count()).select_from(quarantine).where(quarantine.c.source_id == sources.c.id)
        statement = select(sources, refused.scalar_subquery().label("refused")).order_by(sources.c.name)
        return [
            SourceRow(
                row.name,
                from_us(row.ran_us) if row.ran_us is not None else None,
                from_us(row.succeeded_us) if row.succeeded_us is not None else None,
                row.error,
                row.failures,
                row.requests,
                row.bytes,
                row.files,
                row.documents,
                row.refused,
            )
            for row in self.connection.execute(statement)
        ]


def _quarantined(row: Row[Any]) -> Quarantined:
    return Quarantined(Origin(row.name, row.location), row.code, row.reason, row.remedy, from_us(row.since_us))


# Asked for each article: to make a statement anew takes longer than to execute it.
_ID = select(sources.c.id).where(sources.c.name == bindparam("name"))
_ERROR = select(sources.c.error).where(sources.c.id == bindparam("source"))
_REFUSED = (
    select(sources.c.name, quarantine)
    .join(sources, sources.c.id == quarantine.c.source_id)
    .order_by(sources.c.name, quarantine.c.location)
)
_REFUSED_AMONG = _REFUSED.where(quarantine.c.source_id == bindparam("source"), among(quarantine.c.location))
