"""The archive of a category: all its articles on pages that stay as they are.

A page holds a hundred articles of one year of the site's zone, counted from the oldest: the newest article
only ever fills the last page of its year, and a late one moves others within its own year alone
(docs/decisions/0007-formats-and-pages.md).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from feedsync.feeds import SCHEMES, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from zoneinfo import ZoneInfo

    from feedsync.store import Reader, Spot, Term

PER_PAGE = 100

Page = tuple[int, int]
"""A year and the number of a page in it, from 1."""


class Archive:
    """The archive of one category as one reader sees it."""

    def __init__(self, reader: Reader, term: Term, zone: ZoneInfo) -> None:
        self._reader = reader
        self._term = term
        self._zone = zone
        self._sizes: dict[int, int] = {}

    def years(self) -> list[int]:
        """The years in which something was published, newest first."""
        found: list[int] = []
        year = self._older_year(9999)
        while year is not None:
            found.append(year)
            year = self._older_year(year)
        return found

    def pages(self) -> Iterator[Page]:
        """All pages there are."""
        for year in self.years():
            yield from ((year, number) for number in range(1, self.last(year) + 1))

    def last(self, year: int) -> int:
        """The number of pages of a year."""
        if year not in self._sizes:
            self._sizes[year] = self._reader.count(self._term.id, *self._span(year))
        return -(-self._sizes[year] // PER_PAGE)

    def due(self, changed: Iterable[Spot]) -> tuple[set[Page], set[int]]:
        """The pages to draw anew since the category was published, and the years whose pages may have become fewer.

        `changed` are the places of its articles that changed since.
        """
        first: dict[int, Spot] = {}
        for spot in self._reader.shifts(self._term.id):
            year = self._year(spot)
            first[year] = min(first.get(year, spot), spot, key=_age)
        positions = {year: self._position(spot)[1] for year, spot in first.items()}
        # Those newer than the oldest that moved are on pages drawn anew because of it: in a busy pass, hundreds.
        due = {
            self.page_of(spot)
            for spot in changed
            if (moved := first.get(self._year(spot))) is None or _age(spot) < _age(moved)
        }
        for year, position in positions.items():
            # The page before a new one gets a link to it.
            start = position // PER_PAGE + (1 if position % PER_PAGE else 0)
            due |= {(year, number) for number in range(max(1, start), self.last(year) + 1)}
            if position == 0 and (older := self._older_year(year)) is not None:
                due.add((older, self.last(older)))
            if (newer := self._newer_year(year)) is not None:
                due.add((newer, 1))
        return due, set(positions)

    def page_of(self, spot: Spot) -> Page:
        """The page on which a place is found."""
        year, position = self._position(spot)
        return year, position // PER_PAGE + 1

    def ids(self, page: Page) -> list[int]:
        """The articles of a page, newest first."""
        year, number = page
        found = self._reader.stretch(self._term.id, *self._span(year), (number - 1) * PER_PAGE, PER_PAGE)
        return found[::-1]

    def newer(self, page: Page) -> Page | None:
        year, number = page
        if number < self.last(year):
            return year, number + 1
        following = self._newer_year(year)
        return None if following is None else (following, 1)

    def older(self, page: Page) -> Page | None:
        year, number = page
        if number > 1:
            return year, number - 1
        former = self._older_year(year)
        return None if former is None else (former, self.last(former))

    def path(self, page: Page | None) -> str:
        """Where a page is published; "" for none."""
        return names.archive_path(SCHEMES[self._term.scheme].stem(self._term.value), *page) if page else ""

    def _position(self, spot: Spot) -> tuple[int, int]:
        year = self._year(spot)
        return year, self._reader.position(self._term.id, self._span(year)[0], spot)

    def _year(self, spot: Spot) -> int:
        return spot.published.astimezone(self._zone).year

    def _span(self, year: int) -> tuple[datetime, datetime]:
        return datetime(year, 1, 1, tzinfo=self._zone), datetime(year + 1, 1, 1, tzinfo=self._zone)

    def _older_year(self, year: int) -> int | None:
        last = self._reader.last_published(self._term.id, datetime(year, 1, 1, tzinfo=self._zone))
        return None if last is None else last.astimezone(self._zone).year

    def _newer_year(self, year: int) -> int | None:
        first = self._reader.first_published(self._term.id, self._span(year)[1])
        return None if first is None else first.astimezone(self._zone).year


def _age(spot: Spot) -> tuple[datetime, int]:
    """Orders places as `Places.position` counts them: the one behind all others first."""
    return spot.published, -spot.article_id
