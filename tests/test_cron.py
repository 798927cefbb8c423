"""Cron expressions: read, refused, and when they come next."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given
from hypothesis import strategies as st

from feedsync.cron import parse

MONDAY = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def times(expression: str, start: datetime, count: int, zone: str = "UTC") -> list[str]:
    cron = parse(expression, ZoneInfo(zone))
    found = []
    for _ in range(count):
        start = cron.next(start)
        found.append(start.strftime("%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 6 * * mon-fri", ["03-03 06:30", "03-04 06:30", "03-05 06:30", "03-06 06:30", "03-09 06:30"]),
        ("*/20 * * * *", ["03-02 12:20", "03-02 12:40", "03-02 13:00"]),
        ("0 0 * * MON", ["03-09 00:00", "03-16 00:00"]),
        ("0 9-17/4,23 * * *", ["03-02 13:00", "03-02 17:00", "03-02 23:00", "03-03 09:00"]),
        ("5/25 0 1 jan,jul *", ["07-01 00:05", "07-01 00:30", "07-01 00:55", "01-01 00:05"]),
        ("0 0 29 2 *", ["02-29 00:00", "02-29 00:00"]),
        ("0 0 13 * fri", ["03-06 00:00", "03-13 00:00", "03-20 00:00", "03-27 00:00", "04-03 00:00", "04-10 00:00", "04-13 00:00"]),
        ("0 0 * * sat-sun", ["03-07 00:00", "03-08 00:00", "03-14 00:00"]),
    ],
)  # fmt: skip
def test_it_comes_when_it_says(expression: str, expected: list[str]) -> None:
    assert times(expression, MONDAY, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("0 0 * * 1", "by name (mon-fri)"),
        ("0 0 * * mon-5", "by name (mon-fri)"),
        ("0 0 * *", "five fields"),
        ("", "five fields"),
        ("@daily", "five fields"),
        ("60 0 * * *", "minute: write 0 to 59, not '60'"),
        ("0 24 * * *", "hour: write 0 to 23"),
        ("0 0 0 * *", "day: write 1 to 31"),
        ("0 0 * 13 *", "month: write jan to dec"),
        ("0 0 * * fri-mon", "runs backwards"),
        ("*/0 * * * *", "step of 0"),
        ("0 0 31 feb,apr *", "no such day"),
        ("0 0 * * montag", "weekday: write mon to sun"),
        ("a,b 0 * * *", "minute: write"),
        ("0 0 L * *", "day: write"),
        ("-1 0 * * *", "minute: cannot read"),
        ("1,,2 0 * * *", "minute: cannot read ''"),
        ("٣ 0 * * *", "minute: cannot read"),
    ],
)
def test_what_cannot_be_meant_is_refused(expression: str, word: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(expression)
    assert word in str(caught.value)


def test_a_change_of_the_clock_neither_doubles_nor_drops_a_time() -> None:
    """In Berlin, 02:30 does not exist on 2026-03-29 and comes twice on 2026-10-25."""
    assert times("30 2 * * *", datetime(2026, 3, 28, 0, 0, tzinfo=UTC), 3, "Europe/Berlin") == [
        "03-28 01:30", "03-29 01:30", "03-30 00:30",
    ]  # fmt: skip
    assert times("30 2 * * *", datetime(2026, 10, 24, 0, 0, tzinfo=UTC), 3, "Europe/Berlin") == [
        "10-24 00:30", "10-25 00:30", "10-26 01:30",
    ]  # fmt: skip
    # In UTC, and in Shanghai, nothing ever changes.
    assert times("30 2 * * *", datetime(2026, 3, 28, 0, 0, tzinfo=UTC), 3, "Asia/Shanghai") == [
        "03-28 18:30", "03-29 18:30", "03-30 18:30",
    ]  # fmt: skip


spans = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12)}


@st.composite
def fields(draw: st.DrawFn, name: str) -> str:
    low, high = spans[name]
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, 9))
    forms = ["*", str(first), f"{first}-{last}", f"*/{step}"]
    if step <= last - first:  # APScheduler refuses others
        forms.append(f"{first}-{last}/{step}")
    return draw(st.sampled_from(forms))


@given(
    fields("minute"), fields("hour"), fields("day"), fields("month"),
    st.sampled_from(["*", "mon", "tue-thu", "sat,sun"]),
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)  # fmt: skip
def test_it_agrees_with_another_reading(
    minute: str, hour: str, day: str, month: str, weekday: str, after: datetime
) -> None:
    """APScheduler reads the same fields; only where both days are restricted it wants both, where crontab(5) wants either."""
    try:
        cron = parse(f"{minute} {hour} {day} {month} {weekday}")
    except ValueError:
        return
    if cron.either_day:
        return
    other = CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone=UTC)
    assert cron.next(after) == other.get_next_fire_time(None, after + timedelta(microseconds=1))
