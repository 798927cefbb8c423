"""The feeds of the configuration: which articles stand in them.

Their definitions are kept in the store, so whoever stores an article decides about it in the same transaction, whatever
configuration it knows. Publishing compares them with the configuration, and what differs is decided anew, once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert

from feedsync.model import CUSTOM, CustomFeed
from feedsync.parse import text_of
from feedsync.query import selection_of, subject_of
from feedsync.store.codec import id_of_key, to_us
from feedsync.store.listed import among, listed, rows_of
from feedsync.store.places import standing
from feedsync.store.schema import articles, bodies, custom_feeds, memberships, terms, tombstones
from feedsync.store.search import Index
from feedsync.values import Struct, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from feedsync.model import Change
    from feedsync.query import Selection

# An article stands where it stood before the change that is being stored.
_STANDING = text(
    "SELECT m.term_id, m.article_id FROM json_each(:spots) AS spot CROSS JOIN custom_feeds AS feed "
    "CROSS JOIN memberships AS m ON m.term_id = feed.term_id AND m.article_id = json_extract(spot.value, '$[0]') "
    "AND m.published_us = json_extract(spot.value, '$[1]')"
)


# An outer join, so that SQLite begins with the articles of the list: it would rather go through every feed.
_HOLDING = (
    select(memberships.c.term_id)
    .select_from(
        articles.outerjoin(
            memberships,
            standing(memberships.c) & memberships.c.term_id.in_(select(custom_feeds.c.term_id)),
        )
    )
    .where(among(articles.c.id))
    .distinct()
)


class Definition(Struct, frozen=True):
    """What a feed is to hold, and the zone of the times in its query."""

    feed: CustomFeed
    timezone: str

    @property
    def decides(self) -> object:
        """All of it that decides about articles."""
        return replace(self.feed, title=""), self.timezone


class Custom:
    """The custom feeds within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def definitions(self) -> dict[int, str]:
        """What each feed was decided by, by its term."""
        return dict(self._connection.execute(select(custom_feeds.c.term_id, custom_feeds.c.definition)).all())

    def stale(self, feeds: Iterable[CustomFeed], timezone: str) -> list[str]:
        """The names of feeds that are to come, to go, or to hold something else."""
        wanted = {feed.name: _encoded(feed, timezone) for feed in feeds}
        known = {_decoded(said).feed.name: said for said in self.definitions().values()}
        return sorted(name for name in wanted.keys() | known.keys() if wanted.get(name) != known.get(name))

    def adopt(self, feeds: Iterable[CustomFeed], timezone: str, seq: int) -> None:
        """Make these the custom feeds. `seq` marks those that changed.

        An article that a new query means stands there since it arrived, as if the feed had always been.
        """
        wanted = {feed.name: feed for feed in feeds}
        known = {_decoded(said).feed.name: (term_id, _decoded(said)) for term_id, said in self.definitions().items()}
        for name in self.stale(wanted.values(), timezone):
            term_id, former = known.get(name, (0, None))
            if name not in wanted:
                self._drop(term_id, seq)
                continue
            definition = Definition(wanted[name], timezone)
            term_id = term_id or self._term_id(name)
            statement = upsert(custom_feeds).values(term_id=term_id, definition=_encoded(wanted[name], timezone))
            replaced = {"definition": statement.excluded.definition}
            self._connection.execute(statement.on_conflict_do_update(index_elements=["term_id"], set_=replaced))
            if former is None or former.decides != definition.decides:
                self._decide(term_id, _selection(_encoded(wanted[name], timezone)))
            label = update(terms).where(terms.c.id == term_id)
            self._connection.execute(label.values(label=wanted[name].title, changed_seq=seq))

    def places(self, changes: Sequence[Change]) -> list[tuple[set[str], set[str]]]:
        """For each change the names of the feeds its article stands in, and of those it is to stand in."""
        found: list[tuple[set[str], set[str]]] = [(set(), set()) for _ in changes]
        definitions = self.definitions()
        if not definitions:
            return found
        name = {term_id: _decoded(said).feed.name for term_id, said in definitions.items()}
        ids = [id_of_key(change.after.article.key) for change in changes]
        position = {article_id: number for number, article_id in enumerate(ids)}
        stood = [
            (article_id, to_us(change.before.published))
            for article_id, change in zip(ids, changes, strict=True)
            if change.before
        ]
        for term_id, article_id in self._connection.execute(_STANDING, {"spots": listed(stood)}):
            found[position[article_id]][0].add(name[term_id])
        for number, change in enumerate(changes):
            if change.after.hidden:
                continue
            body = change.after.article.body
            html = change.bodies.get(body.digest)
            if html is None:
                stored = select(bodies.c.html).where(bodies.c.article_id == ids[number], bodies.c.digest == body.digest)
                html = self._connection.execute(stored).scalar() or ""
            subject = subject_of(change.after, text_of(html))
            meant = (i for i, said in definitions.items() if _selection(said).admits(subject, body.length))
            found[number][1].update(name[term_id] for term_id in meant)
        return found

    def holding(self, article_ids: Sequence[int]) -> list[int]:
        """The terms of the feeds in which some of these articles stand."""
        return [row.term_id for row in rows_of(self._connection, _HOLDING, article_ids) if row.term_id is not None]

    def _term_id(self, name: str) -> int:
        """The term of a feed, made when there never was one of that name."""
        here = terms.c.scheme == CUSTOM, terms.c.value == name
        found = self._connection.execute(select(terms.c.id).where(*here)).scalar()
        if found is None:
            found = 1 + (self._connection.execute(select(func.max(terms.c.id))).scalar() or 0)
            row = {"id": found, "scheme": CUSTOM, "value": name, "label": ""}
            self._connection.execute(insert(terms), {**row, "articles": 0, "changed_seq": 0, "published_seq": -1})
        return int(found)

    def _drop(self, term_id: int, seq: int) -> None:
        """Forget a feed; its term stays, and tells that there was one."""
        for table in (memberships, tombstones, custom_feeds):
            self._connection.execute(delete(table).where(table.c.term_id == term_id))
        self._connection.execute(update(terms).where(terms.c.id == term_id).values(articles=0, changed_seq=seq))

    def _decide(self, term_id: int, selection: Selection) -> None:
        """Hold every article that may be meant against a selection."""
        m = memberships.c
        meant: dict[int, dict[str, object]] = {}
        for entry, _ in Index(self._connection).matching(selection.expression):
            known = entry.known
            if known.article.body.length >= selection.min_characters:
                article_id = id_of_key(known.article.key)
                meant[article_id] = {
                    "term_id": term_id,
                    "article_id": article_id,
                    "published_us": to_us(known.published),
                    "arrived_us": to_us(known.arrived),
                    "role": "",
                    "label": "",
                    "revised_us": to_us(known.updated) if known.revised else None,
                }
        held = set(self._connection.execute(select(m.article_id).where(m.term_id == term_id)).scalars())
        if gone := held - meant.keys():
            here = m.term_id == term_id, among(m.article_id)
            self._connection.execute(delete(memberships).where(*here), {"listed": gone})
        if joined := [row for article_id, row in meant.items() if article_id not in held]:
            self._connection.execute(insert(memberships), joined)
        self._connection.execute(update(terms).where(terms.c.id == term_id).values(articles=len(meant)))


def _encoded(feed: CustomFeed, timezone: str) -> str:
    return msgspec.json.encode(Definition(feed, timezone)).decode()


@lru_cache(maxsize=256)
def _decoded(said: str) -> Definition:
    return msgspec.json.decode(said, type=Definition)


@lru_cache(maxsize=256)
def _selection(said: str) -> Selection:
    definition = _decoded(said)
    return selection_of(definition.feed, ZoneInfo(definition.timezone))
