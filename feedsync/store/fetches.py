"""What the store remembers of URLs and hosts, so that a restart neither forgets nor hammers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from feedsync.store.bulk import execute_rows
from feedsync.store.codec import from_us, to_us
from feedsync.store.schema import fetches, hosts, sources
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection


class FetchRow(Struct, frozen=True):
    """A URL as it was when last asked. `location` names it within its source; `fault` is why it failed, if it did.

    `digest` is that of the last body that was taken; `documents` how many articles that body named.
    """

    location: str
    url: str
    due: datetime
    etag: str = ""
    last_modified: str = ""
    digest: bytes = b""
    documents: int = 0
    fetched: datetime | None = None
    failures: int = 0
    fault: str | None = None


class HostRow(Struct, frozen=True):
    """A host: its robots.txt and how long that holds, its failures in a row and until when it is left alone."""

    origin: str
    robots: str | None
    robots_until: datetime | None
    failures: int
    due: datetime | None


class FetchSummary(Struct, frozen=True):
    """The state of a fetched source: when something of it is due next, and how many of its URLs fail."""

    urls: int
    failing: int
    next_due: datetime | None


class Fetches:
    """Queries and changes, within the transaction of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, source_id: int) -> dict[str, FetchRow]:
        """All rows of a source by location."""
        found = self._connection.execute(select(fetches).where(fetches.c.source_id == source_id))
        return {
            row.location: FetchRow(
                location=row.location,
                url=row.url,
                due=from_us(row.due_us),
                etag=row.etag,
                last_modified=row.last_modified,
                digest=row.digest,
                documents=row.documents,
                fetched=from_us(row.fetched_us) if row.fetched_us is not None else None,
                failures=row.failures,
                fault=row.fault,
            )
            for row in found
        }

    def failing(self, source_id: int, limit: int) -> list[FetchRow]:
        """URLs that failed when last asked, those that failed longest first."""
        rows = [row for row in self.rows(source_id).values() if row.failures]
        return sorted(rows, key=lambda row: (-row.failures, row.location))[:limit]

    def summary(self, source_id: int) -> FetchSummary:
        here = fetches.c.source_id == source_id
        urls, due = self._connection.execute(select(func.count(), func.min(fetches.c.due_us)).where(here)).one()
        failing = self._connection.execute(select(func.count()).where(here, fetches.c.failures > 0)).scalar() or 0
        return FetchSummary(urls, failing, from_us(due) if due is not None else None)

    def put(self, source_id: int, rows: Iterable[FetchRow]) -> None:
        values = [
            {
                "source_id": source_id,
                "location": row.location,
                "url": row.url,
                "etag": row.etag,
                "last_modified": row.last_modified,
                "digest": row.digest,
                "documents": row.documents,
                "fetched_us": to_us(row.fetched) if row.fetched else None,
                "due_us": to_us(row.due),
                "failures": row.failures,
                "fault": row.fault,
            }
            for row in rows
        ]
        if values:
            statement = upsert(fetches)
            others = {c.name: statement.excluded[c.name] for c in fetches.columns if not c.primary_key}
            self._connection.execute(
                statement.on_conflict_do_update(index_elements=["source_id", "location"], set_=others), values
            )

    def forget(self, source_id: int, locations: Sequence[str]) -> None:
        execute_rows(self._connection, _FORGET, [{"b_source": source_id, "b_location": one} for one in locations])

    def hosts(self) -> list[HostRow]:
        return [
            HostRow(
                row.origin,
                row.robots,
                from_us(row.robots_until_us) if row.robots_until_us is not None else None,
                row.failures,
                from_us(row.due_us) if row.due_us is not None else None,
            )
            for row in self._connection.execute(select(hosts))
        ]

    def put_hosts(self, rows: Iterable[HostRow]) -> None:
        values = [
            {
                "origin": row.origin,
                "robots": row.robots,
                "robots_until_us": to_us(row.robots_until) if row.robots_until else None,
                "failures": row.failures,
                "due_us": to_us(row.due) if row.due else None,
            }
            for row in rows
        ]
        if values:
            statement = upsert(hosts)
            others = {c.name: statement.excluded[c.name] for c in hosts.columns if not c.primary_key}
            self._connection.execute(statement.on_conflict_do_update(index_elements=["origin"], set_=others), values)

    def spend(self, source_id: int, requests: int, received: int) -> None:
        """Count what fetching cost."""
        self._connection.execute(
            update(sources)
            .where(sources.c.id == source_id)
            .values(requests=sources.c.requests + requests, bytes=sources.c.bytes + received)
        )


_FORGET = delete(fetches).where(
    fetches.c.source_id == bindparam("b_source"), fetches.c.location == bindparam("b_location")
)
