"""Writing: what a run decides, inside one transaction."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from feedsync.model import CATEGORY, CUSTOM
from feedsync.store.codec import encode, id_of_key, narrow, to_us
from feedsync.store.custom import Custom
from feedsync.store.filing import LEARNT, Filed, filed
from feedsync.store.listed import among, rows_of
from feedsync.store.read import Reader
from feedsync.store.schema import (
    aliases,
    articles,
    bodies,
    documents,
    files,
    memberships,
    quarantine,
    revisions,
    shifts,
    sources,
    state,
    term_labels,
    terms,
    tombstones,
    withdrawals,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Dialect
    from sqlalchemy.sql.dml import UpdateBase

    from feedsync.model import Change, CustomFeed, Known, Word
    from feedsync.store.sources import FileRow

_FEW = 500

Row = dict[str, Any]
Values = tuple[Any, ...]
Term = tuple[str, str]


class Writer(Reader):
    """Reads and writes within a write transaction; nothing is visible to others until it commits."""

    def source_id(self, name: str) -> int:
        """The id of a source, made when it is new."""
        found = self.connection.execute(select(sources.c.id).where(sources.c.name == name)).scalar()
        if found is None:
            found = 1 + (self.connection.execute(select(func.max(sources.c.id))).scalar() or 0)
            self.connection.execute(insert(sources), {"id": found, "name": name})
        return int(found)

    def set_state(self, name: str, value: str) -> None:
        statement = upsert(state).values(name=name, value=value)
        self.connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))

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
            self._upsert(withdrawals, [(key, word.withdrawn, to_us(word.at), word.reason)])

    def put_files(self, source_id: int, rows: Iterable[FileRow]) -> None:
        self._upsert(
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
        if locations:
            here = quarantine.c.source_id == source_id, among(quarantine.c.location)
            self.connection.execute(delete(quarantine).where(*here), {"listed": locations})

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
            if _shown(before) != _shown(after):
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
            self._upsert(table, values, keep=table in (bodies, aliases))
        self._file(filings, now)
        self.set_state("seq", str(seq))

    def adopt(self, feeds: Sequence[CustomFeed], timezone: str) -> None:
        """Make these the custom feeds; those that are new, changed or removed are due."""
        seq = int(self.state("seq") or 0) + 1
        Custom(self.connection).adopt(feeds, timezone, seq)
        self.set_state("seq", str(seq))

    def mark_published(self, published: dict[int, int]) -> None:
        """Record up to which change each term's feed is published."""
        self._many(_MARK, [{"b_id": term_id, "b_seq": seq} for term_id, seq in published.items()])
        self._many(_SETTLE, [{"b_term": term_id} for term_id in published])

    def mark_all(self) -> None:
        """Mark every feed and page as due, for what changed is how they are drawn."""
        self.connection.execute(update(terms).values(published_seq=-1))
        self.connection.execute(delete(shifts))
        self.set_state("pages_seq", "-1")
        self.set_state("archives_seq", "-1")

    def _file(self, filings: Sequence[tuple[int, Change]], now: datetime) -> None:
        """Keep memberships, label counts and the marks of touched feeds in step with the articles."""
        wanted: list[tuple[int, Change, Filed, Filed]] = [
            (seq, change, filed(change.before), filed(change.after)) for seq, change in filings
        ]
        customs = Custom(self.connection).places([change for _, change in filings])
        for (_, _, before, after), (stood, stands) in zip(wanted, customs, strict=True):
            before |= {(CUSTOM, name): ("", "") for name in stood}
            after |= {(CUSTOM, name): ("", "") for name in stands}
        ids = self._term_ids({term for _, _, before, after in wanted for term in (*before, *after)})
        now_us = to_us(now)
        buried: list[Values] = []
        joined: list[Values] = []
        left: list[Row] = []
        moved: list[Row] = []
        shifted: list[Values] = []
        touched: dict[int, int] = {}
        labels: Counter[tuple[int, str]] = Counter()
        counts: Counter[int] = Counter()
        for seq, change, before, after in wanted:
            row_id = id_of_key(change.after.article.key)
            published_us = to_us(change.after.published)
            stood_us = to_us(change.before.published) if change.before else published_us
            touched |= self._disturb(change, seq)
            revised_us = to_us(change.after.updated) if change.after.revised else None
            rescheduled = change.before is not None and change.before.published != change.after.published
            revised = change.before is not None and change.before.revised != change.after.revised
            for term in before.keys() | after.keys():
                term_id = ids[term]
                touched[term_id] = seq
                if term[0] == CATEGORY and (rescheduled or not (term in before and term in after)):
                    for known in filter(None, (change.before, change.after)):
                        shifted.append((term_id, to_us(known.published), row_id))
                place = {"b_term": term_id, "b_stood": stood_us, "b_article": row_id}
                if term not in after:
                    left.append(place)
                    counts[term_id] -= 1
                    if change.after.withdrawal and not change.after.unseen:
                        buried.append((term_id, row_id, to_us(change.after.withdrawal.at)))
                elif term not in before:
                    counts[term_id] += 1
                    role, label = after[term]
                    joined.append((term_id, published_us, row_id, now_us, role, label, revised_us))
                elif rescheduled or revised or before[term] != after[term]:
                    role, label = after[term]
                    times = {"b_published": published_us, "b_revised": revised_us}
                    moved.append({**place, **times, "b_role": role, "b_label": label})
                if term in before and before[term][1]:
                    labels[term_id, before[term][1]] -= 1
                if term in after and after[term][1]:
                    labels[term_id, after[term][1]] += 1
        self._upsert(tombstones, buried)
        self._many(_LEAVE, left)
        self._upsert(memberships, joined)
        self._many(_MOVE, moved)
        self._note_shifts(shifted)
        self._many(_COUNT, [{"b_id": term_id, "b_count": count} for term_id, count in counts.items()])
        self._many(_TOUCH, [{"b_id": term_id, "b_seq": seq} for term_id, seq in touched.items()])
        self._relabel({key: count for key, count in labels.items() if count}, max(touched.values(), default=0))

    def _disturb(self, change: Change, seq: int) -> dict[int, int]:
        """The feeds that told of a withdrawal which is told otherwise now, or not any more."""
        before, after = change.before, change.after
        if before is None or before.withdrawal is None or before.withdrawal == after.withdrawal:
            return {}
        here = tombstones.c.article_id == id_of_key(after.article.key)
        told = self.connection.execute(select(tombstones.c.term_id).where(here)).scalars().all()
        if after.withdrawal is None:
            self.connection.execute(delete(tombstones).where(here))
        return dict.fromkeys(told, seq)

    def _note_shifts(self, shifted: list[Values]) -> None:
        """Remember where categories that are published were joined or left: pages about those places are due."""
        published = {row.id for row in rows_of(self.connection, _PUBLISHED, {row[0] for row in shifted})}
        self._upsert(shifts, [row for row in shifted if row[0] in published], keep=True)

    def _relabel(self, counts: dict[tuple[int, str], int], seq: int) -> None:
        """Count suggestions, and give each term the label most often suggested (of equals, the lesser)."""
        if not counts:
            return
        rows = [{"b_term": term, "b_label": label, "b_count": count} for (term, label), count in counts.items()]
        self._many(_SUGGEST, rows)
        ids = sorted({term for term, _ in counts})
        best: dict[int, tuple[int, str]] = {}
        for row in rows_of(self.connection, _SUGGESTED, ids):
            best[row.term_id] = min(best.get(row.term_id, (0, "")), (-row.articles, row.label))
        current = {row.id: row for row in rows_of(self.connection, _TERMS, ids)}
        for term_id in ids:
            label = best.get(term_id, (0, ""))[1]
            term = current[term_id]
            if label == term.label:
                continue
            self.connection.execute(update(terms).where(terms.c.id == term_id).values(label=label))
            if term.scheme in LEARNT and term.published_seq >= 0:
                # Every entry of the term shows the label, in whatever feed it stands.
                self._touch_members(term_id, seq)

    def _touch_members(self, term_id: int, seq: int) -> None:
        """Mark every article of a term, and every feed one of them stands in."""
        members = select(memberships.c.article_id).where(memberships.c.term_id == term_id)
        self.connection.execute(update(articles).where(articles.c.id.in_(members)).values(seq=seq))
        few = list(self.connection.execute(members.limit(_FEW + 1)).scalars())
        if len(few) <= _FEW:  # labels change while a term is young
            known = self.heads(few).values()
            shared = list(self._term_ids({term for one in known for term in filed(one)}).values())
            shared += Custom(self.connection).holding(few)
        else:
            beside = memberships.alias("beside")
            among = select(beside.c.term_id).where(beside.c.article_id.in_(members)).distinct()
            shared = list(self.connection.execute(among).scalars())
        self._many(_TOUCH, [{"b_id": shared_id, "b_seq": seq} for shared_id in shared])

    def _term_ids(self, wanted: set[Term]) -> dict[Term, int]:
        found: dict[Term, int] = {}
        for scheme in {scheme for scheme, _ in wanted}:
            values = [value for s, value in wanted if s == scheme]
            rows = rows_of(self.connection, _TERM_IDS, values, scheme=scheme)
            found |= {(scheme, value): term_id for term_id, value in rows}
        missing = sorted(wanted - found.keys())
        if missing:
            first = 1 + (self.connection.execute(select(func.max(terms.c.id))).scalar() or 0)
            found |= {term: first + offset for offset, term in enumerate(missing)}
            self.connection.execute(
                insert(terms),
                [
                    {
                        "id": found[term],
                        "scheme": term[0],
                        "value": term[1],
                        "label": "",
                        "articles": 0,
                        "changed_seq": 0,
                        "published_seq": -1,
                    }
                    for term in missing
                ],
            )
        return found

    def _upsert(self, table: Table, rows: Sequence[Values], *, keep: bool = False) -> None:
        """Insert rows in the order of the table's columns; one that exists is overwritten, or kept as it is.

        The driver gets plain tuples and SQL that is compiled once: half the cost of naming every parameter.
        """
        if rows:
            sql, names = _compiled(_upsert_statement(table, keep), self.connection.dialect)
            assert names == tuple(table.columns.keys())
            self.connection.exec_driver_sql(sql, list(rows))

    def _many(self, statement: UpdateBase, rows: Sequence[Row]) -> None:
        """Execute a statement of this module for each row of its parameters."""
        if rows:
            sql, names = _compiled(statement, self.connection.dialect)
            self.connection.exec_driver_sql(sql, [tuple([row[name] for name in names]) for row in rows])


@cache
def _upsert_statement(table: Table, keep: bool) -> UpdateBase:
    statement = upsert(table).values({column.name: bindparam(column.name) for column in table.columns})
    if keep:
        return statement.on_conflict_do_nothing()
    keys = [column.name for column in table.primary_key]
    others = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


@cache
def _compiled(statement: UpdateBase, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """The SQL of a statement and its parameters in order. Statements are constants of this module."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), tuple(compiled.positiontup or ())


_HERE = (
    memberships.c.term_id == bindparam("b_term"),
    memberships.c.published_us == bindparam("b_stood"),
    memberships.c.article_id == bindparam("b_article"),
)
_LEAVE = delete(memberships).where(*_HERE)
_MOVE = (
    update(memberships)
    .where(*_HERE)
    .values(
        published_us=bindparam("b_published"),
        revised_us=bindparam("b_revised"),
        role=bindparam("b_role"),
        label=bindparam("b_label"),
    )
)
_COUNT = update(terms).where(terms.c.id == bindparam("b_id")).values(articles=terms.c.articles + bindparam("b_count"))
_TOUCH = update(terms).where(terms.c.id == bindparam("b_id")).values(changed_seq=bindparam("b_seq"))
_SETTLE = delete(shifts).where(shifts.c.term_id == bindparam("b_term"))
_TERM_IDS = select(terms.c.id, terms.c.value).where(terms.c.scheme == bindparam("scheme"), among(terms.c.value))
_TERMS = select(terms).where(among(terms.c.id))
_PUBLISHED = select(terms.c.id).where(among(terms.c.id), terms.c.published_seq >= 0)
_SUGGESTED = select(term_labels).where(among(term_labels.c.term_id), term_labels.c.articles > 0)
_SUGGESTION = upsert(term_labels).values(
    term_id=bindparam("b_term"), label=bindparam("b_label"), articles=bindparam("b_count")
)
_SUGGEST = _SUGGESTION.on_conflict_do_update(
    index_elements=["term_id", "label"],
    set_={"articles": term_labels.c.articles + _SUGGESTION.excluded.articles},
)
_MARK = update(terms).where(terms.c.id == bindparam("b_id")).values(published_seq=bindparam("b_seq"))


def _shown(known: Known | None) -> object:
    """All that readers and operators see of an article."""
    if known is None:
        return None
    return known.article, known.published, known.updated, known.withdrawal, known.documents.keys()
