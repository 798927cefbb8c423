"""Times as documents write them. All results are in UTC; naive input means the site's zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from unicodedata import normalize
from warnings import catch_warnings, simplefilter

from dateutil import parser as dateutil_parser
from dateutil import tz

from feedsync.errors import Refused
from feedsync.model import Moment

# What the old pipeline wrote, and ISO 8601: read without the general parser, with the same result.
_PLAIN = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(?: ?[+-]\d{2}:?\d{2})?", re.ASCII)
_ZONE_ONLY = re.compile(r"[+-]\d{2}:?\d{2}|Z|UTC", re.ASCII)
_CHINESE = re.compile(r"(\d{4})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日?", re.ASCII)
_CHINESE_TIME = re.compile(r"(\d{1,2})\s*[时点]\s*(?:(\d{1,2})\s*分?)?\s*(?:(\d{1,2})\s*秒)?", re.ASCII)
_HALF_DAY = re.compile(r"(上午|凌晨|中午|下午|晚上?)\s*(\d{1,2})(?=\s*[:：时点])", re.ASCII)
WEEKDAY = re.compile(r"[(（]?(?:星期|周)[一二三四五六日天][)）]?")
_COMMENT = re.compile(r"(?<=\d)\s+#.*")
_MIDNIGHT_24 = re.compile(r"(?<![:\d.])24:00(?::00(?:\.0+)?)?(?![:\d])")
_NAMED_OFFSET = re.compile(r"\b(?:GMT|UTC)\s?([+-])(\d{1,2}):?(\d{2})?\b", re.ASCII)
_HAS_YEAR = re.compile(r"\d{4}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2}", re.ASCII)
_DATE_AND_TIME = (
    r"(?:19|20)\d{2}\s*[-/.年]\s*\d{1,2}\s*[-/.月]\s*\d{1,2}(?:\s*日)?"
    r"(?:(?:\s+|\s*[T,，]\s*|(?<=日))(?:[上下中]午\s*|凌晨\s*|晚上?\s*)?\d{1,2}[:：]\d{2}(?:[:：]\d{2})?"
    r"(?:\s?(?:Z|[+-]\d{2}:?\d{2}))?"
    r"|\s*(?:[上下中]午\s*|凌晨\s*|晚上?\s*)?\d{1,2}\s*[时点]\s*(?:\d{1,2}\s*分?)?)?"
)
_IN_LINE = re.compile(r"(?<!\d)" + _DATE_AND_TIME + r"(?!\d)", re.ASCII)

_NAME_DAY = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_.]?(\d{2})[-_.]?(\d{2})(?!\d)", re.ASCII)

_ZONES = {"CST": 8 * 3600, "BJT": 8 * 3600, "HKT": 8 * 3600, "GMT": 0, "UTC": 0, "Z": 0}
_DEFAULTS = (datetime(2001, 1, 1, 0, 0, 0), datetime(2004, 12, 31, 23, 59, 58))  # noqa: DTZ001
_YEARS = range(1900, 10000)
_NUMBERED = range(1990, 2100)


def read_moment(text: str, zone: tzinfo) -> Moment | None:
    """The moment a field names; None when it names none (blank, or a zone alone).

    Raises Refused (`bad-time`) for a time that does not exist or cannot be read.
    """
    text = text.strip().strip("\"'").strip()
    if not text or _ZONE_ONLY.fullmatch(text) or text in ("~", "null", "None"):
        return None
    if len(text) > 80:
        raise _refuse(text[:80] + "...", "it is far too long")
    try:
        return _read(text, zone)
    except (ValueError, ArithmeticError) as error:
        raise _refuse(text, str(error).split(":")[0]) from error


def read_web_moment(text: str, zone: tzinfo) -> Moment | None:
    """As `read_moment`, and Unix time too: ten digits are seconds, thirteen milliseconds."""
    text = text.strip()
    if len(text) not in (10, 13) or not (text.isascii() and text.isdigit()):
        return read_moment(text, zone)
    moment = datetime.fromtimestamp(int(text[:10]), UTC)
    if moment.year not in _NUMBERED:
        raise _refuse(text, "the year is out of range")
    return Moment(moment, exact=True)


def find_moment(line: str) -> str | None:
    """The part of a line of text that is a date, with or without a time of day."""
    match = _IN_LINE.search(line)
    return match.group(0) if match else None


def day_of_name(name: str) -> date | None:
    """The first day written in a file name."""
    for match in _NAME_DAY.finditer(name):
        try:
            return date(*map(int, match.groups()))
        except ValueError:
            continue
    return None


def moment_of_day(day: date, zone: tzinfo) -> Moment:
    """Midnight in the site's zone, known to the day only."""
    return Moment(datetime.combine(day, time(), zone).astimezone(UTC), exact=False)


def _read(text: str, zone: tzinfo) -> Moment:
    if _PLAIN.fullmatch(text) and not _MIDNIGHT_24.search(text):
        return Moment(_to_utc(datetime.fromisoformat(_join_zone(text)), zone), exact=True)
    text = normalize("NFKC", text.replace("，", " "))  # digits, colons and dashes of full width
    text = _HALF_DAY.sub(_hour_of_day, WEEKDAY.sub(" ", _COMMENT.sub("", text)))
    text = _CHINESE.sub(r"\1-\2-\3 ", text)
    text = _CHINESE_TIME.sub(_clock, text)
    # dateutil reads GMT+8 as POSIX does, west of Greenwich; nobody who writes a date means that.
    text = _NAMED_OFFSET.sub(lambda m: f"{m.group(1)}{int(m.group(2)):02d}:{m.group(3) or '00'}", text)
    text, midnights = _MIDNIGHT_24.subn("00:00:00", text)
    if not _HAS_YEAR.search(text):
        raise ValueError("it names no year")
    with catch_warnings():
        simplefilter("error", dateutil_parser.UnknownTimezoneWarning)
        try:
            first, second = (
                dateutil_parser.parse(text, default=default, tzinfos=_ZONES, yearfirst=True) for default in _DEFAULTS
            )
        except dateutil_parser.UnknownTimezoneWarning as warning:
            raise ValueError("its time zone is unknown") from warning
    if first.date() != second.date():
        raise ValueError("it names no full date")
    exact = (first.hour, first.minute) == (second.hour, second.minute)
    if not exact:
        first = first.replace(hour=0, minute=0)
    moment = _to_utc(first.replace(second=0 if first.second != second.second else first.second), zone)
    return Moment(moment + timedelta(days=midnights), exact=exact)


def _join_zone(text: str) -> str:
    return text[:19] + text[19:].lstrip()


def _hour_of_day(match: re.Match[str]) -> str:
    """The hour of 24 for 下午1, 晚8, 中午12; as it is when the words already count to 24."""
    hour = int(match.group(2))
    afternoon = match.group(1) in ("下午", "晚", "晚上") or (match.group(1) == "中午" and hour < 11)
    return f" {hour + 12 if afternoon and hour < 12 else hour}"


def _clock(match: re.Match[str]) -> str:
    hour, minute, second = (int(group or 0) for group in match.groups())
    return f"{hour:02d}:{minute:02d}:{second:02d}"


def _to_utc(moment: datetime, zone: tzinfo) -> datetime:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
        if not tz.datetime_exists(moment):
            raise ValueError("the clocks skipped that time")
    if moment.year not in _YEARS:
        raise ValueError("the year is out of range")
    return moment.astimezone(UTC).replace(microsecond=0)


def _refuse(text: str, why: str) -> Refused:
    return Refused(
        "bad-time",
        f"the date {text!r} cannot be read: {why}",
        remedy="write it as 2022-04-21 18:36:14 +0800",
    )
