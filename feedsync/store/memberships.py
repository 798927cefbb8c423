"""Where articles stand: kept in step with them, and with it how many stand where, by which label, and what is due."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from feedsync.model import CATEGORY, CUSTOM
from feedsync.store.bulk import execute_rows, put_rows
from feedsync.store.codec import id_of_key, to_us
from feedsync.store.custom import Custom
from feedsync.store.filing import LEARNT, filed
from feedsync.store.listed import among, rows_of
from feedsync.store.schema import articles, memberships, shifts, term_labels, terms, tombstones
from feedsync.values import Struct, field

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from feedsync.model import Change, Known
    from feedsync.store.bulk import Row, Values
    from feedsync.store.filing import Filed
    from feedsync.store.read import Reader

Term = tuple[str, str]

_FEW = 500


class Memberships:
    """The memberships of all articles, within the write transaction of a Reader."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._connection = reader.connection

    def file(self, filings: Sequence[tuple[int, Change]], now: datetime) -> None:
        """Put articles where they stand now; each change with its sequence, by which what it touches is marked."""
        wanted = [(seq, change, filed(change.before), filed(change.after)) for seq, change in filings]
        customs = Custom(self._connection).places([change for _, change in filings])
        for (_, _, before, after), (stood, stands) in zip(wanted, customs, strict=True):
            before |= {(CUSTOM, name): ("", "") for name in stood}
            after |= {(CUSTOM, name): ("", "") for name in stands}
        moves = _Moves(
            self._term_ids({term for _, _, before, after in wanted for term in (*before, *after)}), to_us(now)
        )
        for seq, change, before, after in wanted:
            if change.before is None:
                moves.add(seq, change.after, after)
            else:
                moves.touched |= self._disturb(change.before, change.after, seq)
                moves.compare(seq, change.before, change.after, before, after)
        put_rows(self._connection, tombstones, moves.buried)
        execute_rows(self._connection, _LEAVE, moves.left)
        put_rows(self._connection, memberships, moves.joined)
        execute_rows(self._connection, _MOVE, moves.moved)
        self._note_shifts(moves.shifted)
        execute_rows(self._connection, _COUNT, [{"b_id": i, "b_count": count} for i, count in moves.counts.items()])
        execute_rows(self._connection, _TOUCH, [{"b_id": i, "b_seq": seq} for i, seq in moves.touched.items()])
        self._relabel(
            {key: count for key, count in moves.labels.items() if count}, max(moves.touched.values(), default=0)
        )

    def _disturb(self, before: Known, after: Known, seq: int) -> dict[int, int]:
        """The feeds that told of a withdrawal which is told otherwise now, or not any more."""
        if before.withdrawal is None or before.withdrawal == after.withdrawal:
            return {}
        here = tombstones.c.article_id == id_of_key(after.article.key)
        told = self._connection.execute(select(tombstones.c.term_id).where(here)).scalars().all()
        if after.withdrawal is None:
            self._connection.execute(delete(tombstones).where(here))
        return dict.fromkeys(told, seq)

    def _note_shifts(self, shifted: list[Values]) -> None:
        """Remember where categories that are published were joined or left: pages about those places are due."""
        published = {row.id for row in rows_of(self._connection, _PUBLISHED, {row[0] for row in shifted})}
        put_rows(self._connection, shifts, [row for row in shifted if row[0] in published], keep=True)

    def _relabel(self, counts: dict[tuple[int, str], int], seq: int) -> None:
        """Count suggestions, and give each term the label most often suggested (of equals, the lesser)."""
        rows = [{"b_term": term, "b_label": label, "b_count": count} for (term, label), count in counts.items()]
        execute_rows(self._connection, _SUGGEST, rows)
        ids = sorted({term for term, _ in counts})
        drawn = self._reader.state("drawn") is not None  # else all is drawn anew by whoever publishes first
        best: dict[int, tuple[int, str]] = {}
        for row in rows_of(self._connection, _SUGGESTED, ids):
            best[row.term_id] = min(best.get(row.term_id, (0, "")), (-row.articles, row.label))
        for term in rows_of(self._connection, _TERMS, ids):
            label = best.get(term.id, (0, ""))[1]
            if label == term.label:
                continue
            self._connection.execute(update(terms).where(terms.c.id == term.id).values(label=label))
            if term.scheme in LEARNT and drawn:
                # Every entry of the term shows the label, in whatever feed it stands, or in somebody's memory.
                self._touch_members(term.id, seq)

    def _touch_members(self, term_id: int, seq: int) -> None:
        """Mark every article of a term, and every feed one of them stands in."""
        members = select(memberships.c.article_id).where(memberships.c.term_id == term_id)
        self._connection.execute(update(articles).where(articles.c.id.in_(members)).values(seq=seq))
        few = list(self._connection.execute(members.limit(_FEW + 1)).scalars())
        if len(few) <= _FEW:  # labels change while a term is young
            known = self._reader.heads(few).values()
            shared = list(self._term_ids({term for one in known for term in filed(one)}).values())
            shared += Custom(self._connection).holding(few)
        else:
            beside = memberships.alias("beside")
            among_them = select(beside.c.term_id).where(beside.c.article_id.in_(members)).distinct()
            shared = list(self._connection.execute(among_them).scalars())
        execute_rows(self._connection, _TOUCH, [{"b_id": shared_id, "b_seq": seq} for shared_id in shared])

    def _term_ids(self, wanted: set[Term]) -> dict[Term, int]:
        """The ids of terms, made for those that are new."""
        found: dict[Term, int] = {}
        for scheme in {scheme for scheme, _ in wanted}:
            values = [value for s, value in wanted if s == scheme]
            rows = rows_of(self._connection, _TERM_IDS, values, scheme=scheme)
            found |= {(scheme, value): term_id for term_id, value in rows}
        missing = sorted(wanted - found.keys())
        if missing:
            first = 1 + (self._connection.execute(select(func.max(terms.c.id))).scalar() or 0)
            found |= {term: first + offset for offset, term in enumerate(missing)}
            as_new = {"label": "", "articles": 0, "changed_seq": 0, "published_seq": -1}
            rows = [{"id": found[term], "scheme": term[0], "value": term[1], **as_new} for term in missing]
            self._connection.execute(insert(terms), rows)
        return found


class _Moves(Struct):
    """What changes where articles stand, collected over many of them, for as few statements."""

    ids: dict[Term, int]
    now_us: int
    buried: list[Values] = field(default_factory=list)
    joined: list[Values] = field(default_factory=list)
    left: list[Row] = field(default_factory=list)
    moved: list[Row] = field(default_factory=list)
    shifted: list[Values] = field(default_factory=list)
    touched: dict[int, int] = field(default_factory=dict)
    labels: Counter[tuple[int, str]] = field(default_factory=Counter)
    counts: Counter[int] = field(default_factory=Counter)

    def add(self, seq: int, known: Known, places: Filed) -> None:
        """A new article: as `compare` would say of one that stood nowhere, in half the time."""
        row_id, published_us = id_of_key(known.article.key), to_us(known.published)
        revised_us = to_us(known.updated) if known.revised else None
        for term, (role, label) in places.items():
            term_id = self.ids[term]
            self.touched[term_id] = seq
            self.counts[term_id] += 1
            self.joined.append((term_id, published_us, row_id, self.now_us, role, label, revised_us))
            if term[0] == CATEGORY:
                self.shifted.append((term_id, published_us, row_id))
            if label:
                self.labels[term_id, label] += 1

    def compare(self, seq: int, then: Known, now: Known, before: Filed, after: Filed) -> None:
        """An article that was known, and where it stood before and stands after."""
        row_id = id_of_key(now.article.key)
        stood_us, published_us = to_us(then.published), to_us(now.published)
        revised_us = to_us(now.updated) if now.revised else None
        rescheduled, revised = then.published != now.published, then.revised != now.revised
        for term in before.keys() | after.keys():
            term_id = self.ids[term]
            self.touched[term_id] = seq
            if term[0] == CATEGORY and (rescheduled or not (term in before and term in after)):
                self.shifted += [(term_id, stood_us, row_id), (term_id, published_us, row_id)]
            place = {"b_term": term_id, "b_stood": stood_us, "b_article": row_id}
            if term not in after:
                self.left.append(place)
                self.counts[term_id] -= 1
                if now.withdrawal and not now.unseen:
                    self.buried.append((term_id, row_id, to_us(now.withdrawal.at)))
            elif term not in before:
                self.counts[term_id] += 1
                role, label = after[term]
                self.joined.append((term_id, published_us, row_id, self.now_us, role, label, revised_us))
            elif rescheduled or revised or before[term] != after[term]:
                role, label = after[term]
                times = {"b_published": published_us, "b_revised": revised_us}
                self.moved.append({**place, **times, "b_role": role, "b_label": label})
            if term in before and before[term][1]:
                self.labels[term_id, before[term][1]] -= 1
            if term in after and after[term][1]:
                self.labels[term_id, after[term][1]] += 1


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
_TERM_IDS = select(terms.c.id, terms.c.value).where(terms.c.scheme == bindparam("scheme"), among(terms.c.value))
_TERMS = select(terms).where(among(terms.c.id)).order_by(terms.c.id)
_PUBLISHED = select(terms.c.id).where(among(terms.c.id), terms.c.published_seq >= 0)
_SUGGESTED = select(term_labels).where(among(term_labels.c.term_id), term_labels.c.articles > 0)
_SUGGESTION = upsert(term_labels).values(
    term_id=bindparam("b_term"), label=bindparam("b_label"), articles=bindparam("b_count")
)
_SUGGEST = _SUGGESTION.on_conflict_do_update(
    index_elements=["term_id", "label"],
    set_={"articles": term_labels.c.articles + _SUGGESTION.excluded.articles},
)
