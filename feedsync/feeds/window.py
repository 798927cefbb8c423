"""Which entries a feed document holds: wide enough that no reader who polls now and then loses one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feedsync.model import Place


class Window(Struct, frozen=True):
    """The N newest by publication, and all that arrived within H hours before the newest arrival, up to M."""

    min_entries: int = 50
    window_hours: int = 48
    max_entries: int = 500
    reannounce_revisions: bool = False
    """A revision counts as a publication and an arrival: the article climbs to the top, under its old id."""

    @property
    def span(self) -> timedelta:
        return timedelta(hours=self.window_hours)


def select(newest: Sequence[Place], latest: Sequence[Place], window: Window) -> list[Place]:
    """The places of a feed document, newest publication first, ties by article id.

    `newest` is sorted by publication, `latest` by arrival, both newest first and already bounded by the
    window. When the cap bites, the newest N stay, and of the rest those that arrived last: a late article
    with an old date is exactly what a reader has not seen yet.
    """
    chosen = {place.article_id: place for place in newest[: min(window.min_entries, window.max_entries)]}
    for place in latest:
        if len(chosen) >= window.max_entries:
            break
        chosen.setdefault(place.article_id, place)
    by_id = sorted(chosen.values(), key=lambda place: place.article_id)
    return sorted(by_id, key=lambda place: place.published, reverse=True)
