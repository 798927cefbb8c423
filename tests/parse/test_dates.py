"""Times as documents write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from dateutil import parser as dateutil_parser
from hypothesis import given
from hypothesis import strategies as st

from feedsync.errors import Refused
from feedsync.parse.dates import find_moment, read_moment
from tests.conftest import SHANGHAI


@pytest.mark.parametrize(
    ("written", "utc", "exact"),
    [
        ("2022-04-21 18:36:14 +0800", "2022-04-21T10:36:14", True),
        ("2021-12-08 12:41:23", "2021-12-08T04:41:23", True),
        ("2021-12-08 13:00:00", "2021-12-08T05:00:00", True),
        ("2021-12-08T12:00:00Z", "2021-12-08T12:00:00", True),
        ("2021-12-08 12:00:00 -05:00", "2021-12-08T17:00:00", True),
        ("2021/7/14 13:42", "2021-07-14T05:42:00", True),
        ("2021年7月14日 13:42", "2021-07-14T05:42:00", True),
        ("2021年7月14日13时42分", "2021-07-14T05:42:00", True),
        ("2021年7月14日", "2021-07-13T16:00:00", False),
        ("2021-07-14", "2021-07-13T16:00:00", False),
        ("2021-12-08 24:00:00", "2021-12-08T16:00:00", True),
        ("2021-12-08 24:00", "2021-12-08T16:00:00", True),
        ("2021-12-08 15:24:00 +0800", "2021-12-08T07:24:00", True),
        ("2021/12/8 15:24", "2021-12-08T07:24:00", True),
        ("Wed, 08 Dec 2021 10:00:00 GMT", "2021-12-08T10:00:00", True),
        ("2021-12-08 12:00 CST", "2021-12-08T04:00:00", True),
        ("2021-12-08 中午12:30", "2021-12-08T04:30:00", True),
        ("2021-12-08 晚8点", "2021-12-08T12:00:00", True),
        ("2021-12-08 下午15:20", "2021-12-08T07:20:00", True),
        ("2021-12-08 上午9:05", "2021-12-08T01:05:00", True),
        ("2021-12-08 12:41:23 +0800 # 北京", "2021-12-08T04:41:23", True),
        ("2021-12-08 12:00:00.75 +0800", "2021-12-08T04:00:00", True),
        ("２０２１-１２-０８ １８：３６：１４", "2021-12-08T10:36:14", True),
        ("２０２１年１２月８日", "2021-12-07T16:00:00", False),
    ],
)
def test_written_times(written: str, utc: str, exact: bool) -> None:
    moment = read_moment(written, SHANGHAI)
    assert moment is not None
    assert moment.at == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert moment.exact is exact


@pytest.mark.parametrize("written", ["", " +0800", "+0800", "+08:00", "Z", '""', "~", "null"])
def test_no_time_is_no_error(written: str) -> None:
    assert read_moment(written, SHANGHAI) is None


@pytest.mark.parametrize(
    "written",
    ["2026-02-30", "2026-02-30 10:00:00", "2021-12-08 25:00", "2021-12-08 12:00 +25:00", "13:42", "2021-7", "明天",
     "2021-12-08 12:00 XYZ", "0000-00-00 00:00:00", "9" * 200, "1899-01-01 00:00:00"],
)  # fmt: skip
def test_times_that_do_not_exist_are_refused(written: str) -> None:
    with pytest.raises(Refused) as refused:
        read_moment(written, SHANGHAI)
    assert refused.value.code == "bad-time"


def test_an_hour_the_clocks_skipped_is_refused() -> None:
    with pytest.raises(Refused, match="skipped"):
        read_moment("2026-03-29 02:30:00", ZoneInfo("Europe/Berlin"))


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1))
    | st.builds(datetime, st.just(2025), st.just(3), st.integers(1, 31), st.integers(0, 23), st.integers(0, 59)),
    st.sampled_from(["", " +0800", "+0800", " +08:00", " -0330"]),
)
def test_the_short_way_agrees_with_dateutil(moment: datetime, offset: str) -> None:
    written = moment.strftime("%Y-%m-%d %H:%M:%S") + offset
    expected = dateutil_parser.parse(written)
    expected = expected if expected.tzinfo else expected.replace(tzinfo=SHANGHAI)
    try:
        read = read_moment(written, SHANGHAI)
    except Refused:
        assert not offset  # Shanghai had summer time until 1991
        return
    assert read is not None
    assert read.at == expected


@given(st.text(max_size=60))
def test_any_text_gives_a_moment_nothing_or_a_refusal(text: str) -> None:
    try:
        moment = read_moment(text, SHANGHAI)
    except Refused:
        return
    assert moment is None or moment.at.tzinfo is UTC


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("2021/7/14 13:42", "2021/7/14 13:42"),
        ("发布时间：2021-07-14 13:42:05", "2021-07-14 13:42:05"),
        ("无日期", None),
    ],
)
def test_finding_a_date_in_a_line(line: str, found: str | None) -> None:
    assert find_moment(line) == found
