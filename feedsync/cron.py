"""Cron expressions: `minute hour day-of-month month day-of-week`, as crontab(5) has them.

Numbers of days of the week mean Monday to some programs and Sunday to others, so they are refused: names only.
When both kinds of day are restricted, a day of either kind will do, as everywhere.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_DAYS = "mon tue wed thu fri sat sun".split()
_DAY_LIMIT = 366 * 9
"""29 February stays away for eight years at most."""

_LONGEST_MONTH = {month: calendar.monthrange(2024, month)[1] for month in range(1, 13)}


class Cron(Struct, frozen=True):
    """The times a cron expression names."""

    expression: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """Monday is 0."""
    either_day: bool
    zone: tzinfo = UTC

    def __str__(self) -> str:
        return f"{self.expression} ({self.zone})"

    def next(self, after: datetime) -> datetime:
        """The first time later than `after`, in UTC.

        A time of day that a change to summer time leaves out comes as much later; one that it repeats comes once.
        """
        first = after.astimezone(self.zone).date()
        for offset in range(-1, _DAY_LIMIT):
            day = first + timedelta(days=offset)
            if self._names(day.month, day.day, day.weekday()):
                # Around a change of the clock the order of local times is not that of instants.
                later = [moment for moment in self._moments(datetime.combine(day, time())) if moment > after]
                if later:
                    return min(later)
        raise AssertionError("parse() refuses what never comes")

    def _names(self, month: int, day: int, weekday: int) -> bool:
        if month not in self.months:
            return False
        if self.either_day:
            return day in self.days or weekday in self.weekdays
        return day in self.days and weekday in self.weekdays

    def _moments(self, midnight: datetime) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                yield midnight.replace(hour=hour, minute=minute, tzinfo=self.zone, fold=0).astimezone(UTC)


def parse(expression: str, zone: tzinfo = UTC) -> Cron:
    """Read a cron expression. Raises ValueError, which says what to write instead."""
    fields = expression.lower().split()
    if len(fields) != 5:
        raise ValueError(
            f"write five fields, minute hour day month weekday, such as '30 6 * * mon-fri', not {len(fields)}"
        )
    minute, hour, day, month, weekday = fields
    if re.search(r"(?<!/)\b\d", weekday):
        raise ValueError("write days of the week by name (mon-fri): numbers mean other days elsewhere")
    cron = Cron(
        expression,
        _field("minute", minute, range(60)),
        _field("hour", hour, range(24)),
        _field("day", day, range(1, 32)),
        _field("month", month, range(1, 13), _MONTHS),
        _field("weekday", weekday, range(7), _DAYS),
        either_day=not day.startswith("*") and not weekday.startswith("*"),
        zone=zone,
    )
    if not cron.either_day and min(cron.days) > max(_LONGEST_MONTH[month] for month in cron.months):
        raise ValueError("no such day ever comes")
    return cron


def _field(name: str, text: str, allowed: range, names: list[str] | None = None) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d{1,4}))?", part, re.ASCII)
        if not match:
            raise ValueError(f"{name}: cannot read {part!r}; write '*', '5', '1-5', '*/10' or a list of these")
        star, first, last, step = match.groups()
        start = allowed.start if star else _number(name, first, allowed, names)
        end = allowed.stop - 1 if star or step else start
        if last:
            end = _number(name, last, allowed, names)
        if end < start:
            raise ValueError(f"{name}: {part!r} runs backwards; write it as two, such as 'fri-sun,mon'")
        if step and not int(step):
            raise ValueError(f"{name}: a step of 0 goes nowhere")
        values.update(range(start, end + 1, int(step or 1)))
    return frozenset(values)


def _number(name: str, text: str, allowed: range, names: list[str] | None) -> int:
    if names and text in names:
        return names.index(text) + allowed.start
    number = int(text) if re.fullmatch(r"\d{1,2}", text) else -1
    if number not in allowed:
        known = f"{names[0]} to {names[-1]}" if names else f"{allowed.start} to {allowed.stop - 1}"
        raise ValueError(f"{name}: write {known}, not {text!r}")
    return number
