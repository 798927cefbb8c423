"""The query language: what people may write, what it means, what they are told."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedsync.errors import FeedsyncError
from feedsync.query import (
    And,
    Before,
    Field,
    Not,
    Or,
    QueryError,
    Since,
    Text,
    fold,
    marked,
    parse_query,
    quoted,
    snippet,
    words_of,
)
from feedsync.text import strip_illegal

SHANGHAI = ZoneInfo("Asia/Shanghai")


def parse(query: str) -> object:
    return parse_query(query, SHANGHAI)


a, b, c = Text("a"), Text("b"), Text("c")


@pytest.mark.parametrize(
    ("query", "meaning"),
    [
        ("股", Text("股")),
        ("ＧＤＰ", Text("gdp")),
        ("a b", And((a, b))),
        ("a AND b", And((a, b))),
        ("a b OR c", Or((And((a, b)), c))),
        ("a (b OR c)", And((a, Or((b, c))))),
        ("a（b OR c）", And((a, Or((b, c))))),
        ("a -b", And((a, Not(b)))),
        ("a NOT b", And((a, Not(b)))),
        ("NOT -a", Not(Not(a))),
        ("-(a b)", Not(And((a, b)))),
        ("a-b", Text("a-b")),
        ("a - b", And((a, Text("-"), b))),
        ("and or not", And((Text("and"), Text("or"), Text("not")))),
        ('"AND"', Text("and")),
        ('"a b" c', And((Text("ab"), c))),
        ("“a，b”", Text("a,b")),
        (r'"a\"b\\"', Text('a"b\\')),
        ("category:emnews", Field("category", "emnews")),
        ("CATEGORY：Emnews", Field("category", "emnews")),
        ('outlet:"证券 时报"', Field("outlet", "证券时报")),
        ("-tag:x", Not(Field("tag", "x"))),
        ("symbol:1.601628", Field("symbol", "1.601628")),
        ("http://x", Text("http://x")),
        ("3:2", Text("3:2")),
        ("after:2026-03-01", Since(datetime(2026, 2, 28, 16, tzinfo=UTC))),
        ("before:2026-03-01T10:30", Before(datetime(2026, 3, 1, 2, 30, tzinfo=UTC))),
        ("before:2026-03-01T10：30:05Z", Before(datetime(2026, 3, 1, 10, 30, 5, tzinfo=UTC))),
        ('after:"2026-03-01 10:30"', Since(datetime(2026, 3, 1, 2, 30, tzinfo=UTC))),
    ],
)
def test_meaning(query: str, meaning: object) -> None:
    assert parse(query) == meaning


@pytest.mark.parametrize(
    ("query", "said", "remedy"),
    [
        ("", "empty", "give a word"),
        (" 　", "empty", "give a word"),
        ("a (b", "( at character 3 is never closed", "close it"),
        ("a) b", ") at character 2 closes nothing", "quote it"),
        ("()", "before ) at character 2", "quote it"),
        ("a AND", "before the end at character 6", "quote it"),
        ("OR a", "before OR at character 1", '"AND"'),
        ('a "b', "begins at character 3 does not end", 'close it with "'),
        ('a ""', "nothing at character 3", "give a word"),
        ("a category:", "nothing after category: at character 3", "give a word"),
        ("categroy:x", "categroy: at character 1", "write category:"),
        ('x:"y"', "x: at character 1", "category, outlet"),
        ("after:tomorrow", "after:tomorrow at character 1 names no time", "2026-01-31"),
        ("before:2026-02-30", "names no time", "2026-01-31"),
        ("after:0001-01-01", "names no time", "2026-01-31"),
        ("a\0b", "U+0000 at character 2", "remove it"),
        ("a\ud800", "U+D800 at character 2", "remove it"),
        ("a" * 1001, "1001 characters", "1000"),
        ("a " * 65, "too many words", "64"),
        ("(" * 17 + "a" + ")" * 17, "too deeply at character 17", "simpler"),
        ("-" * 500 + "a", "too deeply at character 17", "simpler"),
    ],
)
def test_faults_name_their_place_and_what_to_do(query: str, said: str, remedy: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query)
    assert said in caught.value.message
    assert remedy in caught.value.remedy


@given(
    st.text(alphabet=st.one_of(st.sampled_from('()"-: ANDORcategory:after:2026-01股票“”（）\\\x00'), st.characters()))
)
@example('"' * 999)
@example("NOT " * 250)
@example("after:9999-12-31T23:59-23:59")
def test_any_text_is_a_query_or_a_fault_that_says_what_to_do(query: str) -> None:
    try:
        parse(query)
    except FeedsyncError as error:
        assert isinstance(error, QueryError)
        assert error.remedy


@given(st.text(min_size=1, max_size=100))
def test_any_text_can_be_quoted(text: str) -> None:
    if strip_illegal(text) == text and fold(text):
        assert parse(quoted(text)) == Text(fold(text))


@given(st.text(), st.text())
def test_folding_forgets_where_parts_met(first: str, second: str) -> None:
    assert fold(first) + fold(second) == fold(first + second)


def test_words_are_those_a_hit_may_show() -> None:
    assert words_of(parse_query("a (b OR c) -d category:e a", SHANGHAI)) == ("a", "b", "c")


@given(
    st.text(alphabet="甲乙 丙ßＡa，,\n", max_size=200), st.lists(st.text(alphabet="甲乙丙sa,", min_size=1), max_size=3)
)
def test_marks_are_exactly_where_the_words_are(text: str, words: list[str]) -> None:
    pieces = marked(text, words)
    assert "".join(piece.text for piece in pieces) == " ".join(text.split())
    for piece in pieces:
        if piece.hit:
            assert any(word in fold(piece.text) for word in words)
        else:
            assert not any(word in fold(piece.text) for word in words)
    assert any(piece.hit for piece in pieces) == any(word in fold(text) for word in words)


def test_a_snippet_surrounds_the_first_hit() -> None:
    pieces = snippet("前" * 100 + "保险\n  业" + "后" * 200, ["保险业"], 60)
    assert pieces[0] == ("…", False)
    assert pieces[1] == ("前" * 30, False)
    assert pieces[2] == ("保险 业", True)
    assert pieces[3] == ("后" * 26, False)
    assert pieces[4] == ("…", False)
    assert snippet("短", ["无"]) == (("短", False),)
    assert snippet("", ["无"]) == ()
