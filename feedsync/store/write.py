"""Writing: what a run decides, inside one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from feedsync.store.bulk import execute_rows, put_rows
from feedsync.store.codec import encode, id_of_key, narrow, to_us
from feedsync.store.custom import Custom
from feedsync.store.memberships import Memberships
from feedsync.store.read import Reader
from feedsync.store.schema import (
    aliases,
    articles,
    bodies,
    documents,
    files,
    quarantine,
    revisions,
    shifts,
    sources,
    state,
    terms,
    withdrawals,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from feedsync.model import Change, CustomFeed, Known, Word
    from feedsync.store.bulk import Row, Values
    from feedsync.store.sources import FileRow
    from feedsync.store.terms import Term


class Writer(Reader):
    """Reads and writes within a write transaction; nothing is visible to others until it commits."""

    def source_id(self, name: str) -> int:
        """The id of a source, made when it is new."""
        found = self.find_source(name)
        if found is None:
            found = 1 + (self.connection.execute(select(func.max(sources.c.id))).scalar() or 0)
            self.connection.execute(insert(sources), {"id": found, "name": name})
        return found

    def set_state(self, name: str, value: str) -> None:
        execute_rows(self.connection, _SET_STATE, [{"b_name": name, "b_value": value}])

    def record_run(self, source: str, now: datetime, error: str | None, *, succeeded: bool | None = None) -> None:
        """How the last run of a source ended; it may have succeeded in spite of an error worth telling."""
        values: Row = {"ran_us": to_us(now), "error": error, "failures": sources.c.failures + 1}
        if error is None if succeeded is None else succeeded:
            values |= {"succeeded_us": to_us(now), "failures": 0}
        self.connection.execute(update(sources).where(sources.c.id == self.source_id(source)).values(**values))

    def put_word(self, key: str, word: Word | None) -> None:
        """Remember the operator's word on an article, or that there is none any more."""
        if word is None:
            self.connection.execute(delete(withdrawals).where(withdrawals.c.key == key))
        else:
            put_rows(self.connection, withdrawals, [(key, word.withdrawn, to_us(word.at), word.reason)])

    def put_files(self, source_id: int, rows: Iterable[FileRow]) -> None:
        put_rows(
            self.connection,
            files,
            [(source_id, row.path, row.size, row.mtime_ns, row.ctime_ns, row.digest, row.settled) for row in rows],
        )

    def forget_files(self, source_id: int, paths: Sequence[bytes]) -> None:
        """Drop the cache of files that are gone; what they said stays."""
        for start in range(0, len(paths), 500):
            self.connection.execute(
                delete(files).where(files.c.source_id == source_id, files.c.path.in_(paths[start : start + 500]))
            )

    def forget_document(self, source_id: int, location: str, key: str) -> None:
        """Drop what a document said of an article, because the same document says it elsewhere now."""
        self.connection.execute(
            delete(documents).where(
                documents.c.article_id == id_of_key(key),
                documents.c.source_id == source_id,
                documents.c.location == location,
            )
        )

    def refuse(self, source_id: int, refused: Sequence[tuple[str, str, str, str]], now: datetime) -> None:
        """Quarantine documents: (location, code, reason, remedy) each; the first time of a refusal stays."""
        if refused:
            statement = upsert(quarantine)
            self.connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["source_id", "location"],
                    set_={name: statement.excluded[name] for name in ("code", "reason", "remedy")},
                ),
                [
                    {
                        "source_id": source_id,
                        "location": location,
                        "code": code,
                        "reason": reason,
                        "remedy": remedy,
                        "since_us": to_us(now),
                    }
                    for location, code, reason, remedy in refused
                ],
            )

    def release(self, source_id: int, locations: Sequence[str]) -> None:
        """Take documents out of quarantine."""
        rows = [{"b_source": source_id, "b_location": location} for location in locations]
        execute_rows(self.connection, _RELEASE, rows)

    def apply(self, changes: Sequence[Change], now: datetime) -> None:
        """Store what `plan.decide` decided, and mark all feeds it touches."""
        seq = int(self.state("seq") or 0)
        now_us = to_us(now)
        names = {origin.source for change in changes for origin in change.outcomes}
        source_ids = {name: self.source_id(name) for name in names}
        rows: dict[Table, list[Values]] = {table: [] for table in (articles, bodies, documents, revisions, aliases)}
        filings: list[tuple[int, Change]] = []
        for change in changes:
            before, after, article = change.before, change.after, change.after.article
            row_id = id_of_key(article.key)
            facts = encode(article)
            body = article.body.digest
            if before is None or _shown(before) != _shown(after):
                seq += 1
                filings.append((seq, change))
                revised_us = to_us(after.revised) if after.revised else None
                times = to_us(after.published), to_us(after.arrived), revised_us
                gone = (to_us(after.withdrawal.at), after.withdrawal.reason) if after.withdrawal else (None, None)
                rows[articles].append((row_id, article.key, *times, article.held, body, facts, seq, *gone))
            rows[bodies] += [(row_id, digest, narrow(html)) for digest, html in change.bodies.items()]
            for origin in change.outcomes:
                said = after.documents[origin]
                said_facts = facts if said is article else encode(said)  # most articles have one document
                rows[documents].append((row_id, source_ids[origin.source], origin.location, now_us, said_facts))
            known_urls = before.article.urls if before else ()
            rows[aliases] += [(url, row_id) for url in article.urls if url not in known_urls]
            shown_first = before and (before.article.held or before.unseen)
            if not article.held and not after.unseen and (change.revision or shown_first):
                rows[revisions].append((row_id, to_us(after.revised or after.arrived), article.title.text, body))
            if change.overruled:
                self.put_word(article.key, None)
        for table, values in rows.items():
            put_rows(self.connection, table, values, keep=table in (bodies, aliases))
        Memberships(self).file(filings, now)
        self.set_state("seq", str(seq))

    def adopt(self, feeds: Sequence[CustomFeed], timezone: str) -> None:
        """Make these the custom feeds; those that are new, changed or removed are due."""
        seq = int(self.state("seq") or 0) + 1
        Custom(self.connection).adopt(feeds, timezone, seq)
        self.set_state("seq", str(seq))

    def mark_published(self, due: Iterable[Term], digests: Mapping[int, bytes]) -> None:
        """Record that the feeds of these terms are published as they were read here, and the digests of the feeds."""
        rows = [{"b_id": t.id, "b_seq": t.changed_seq, "b_digest": digests.get(t.id, b"")} for t in due]
        execute_rows(self.connection, _MARK, rows)
        execute_rows(self.connection, _SETTLE, [{"b_term": row["b_id"]} for row in rows])

    def mark_all(self) -> None:
        """Mark every feed and page as due, for what changed is how they are drawn."""
        self.connection.execute(update(terms).values(published_seq=-1))
        self.connection.execute(delete(shifts))
        self.set_state("pages_seq", "-1")
        self.set_state("archives_seq", "-1")


_RELEASE = delete(quarantine).where(
    quarantine.c.source_id == bindparam("b_source"), quarantine.c.location == bindparam("b_location")
)
_SETTLE = delete(shifts).where(shifts.c.term_id == bindparam("b_term"))
_MARK = (
    update(terms)
    .where(terms.c.id == bindparam("b_id"))
    .values(published_seq=bindparam("b_seq"), digest=bindparam("b_digest"))
)
_STATE = upsert(state).values(name=bindparam("b_name"), value=bindparam("b_value"))
_SET_STATE = _STATE.on_conflict_do_update(index_elements=["name"], set_={"value": _STATE.excluded.value})


def _shown(known: Known) -> object:
    """All that readers and operators see of an article."""
    return known.article, known.published, known.updated, known.withdrawal, known.documents.keys()
