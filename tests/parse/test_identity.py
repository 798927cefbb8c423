"""One article, one key, in whatever spelling."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.errors import Refused
from feedsync.model import Article, Attribution, Moment
from feedsync.parse.identity import (
    day_of_key,
    key_from_user,
    key_of_code,
    key_of_entry,
    key_of_name,
    key_of_text,
    key_of_url,
)
from feedsync.store.codec import decode, encode, id_of_key
from tests.conftest import post, read

CODE = "202503142600000001"
SPELLINGS = [
    f"NW{CODE}",
    CODE,
    f"2025-03-14-NW{CODE}.md",
    f"-{CODE}.md",
    f"http://choice.example.com/html_News/NewsShare.html?infoCode=NW{CODE}",
    f"http://choice.example.com/NewsData/GetNewsText.do?id=NW{CODE}",
    f"http://finance.example.com/news/1354,{CODE}.html",
    f"https://finance.example.com/a/{CODE}.html",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_means_the_same_article(spelling: str) -> None:
    assert key_from_user(spelling) == CODE


@pytest.mark.parametrize(
    ("code", "key"),
    [
        (" nw202503142600000001\n", CODE),
        ("ＮＷ２０２５０３１４２６０００００００１", CODE),
        ("0123456", "x-0123456"),
        ("123456", "x-123456"),
        ("1e5", "x-1e5"),
        ("2026-01-01", "x-2026-01-01"),
        ("no", "x-no"),
        ("AP１", "x-ap1"),
        ("", None),
        ("~", None),
    ],
)
def test_explicit_codes_are_text(code: str, key: str | None) -> None:
    assert key_of_code(code) == key


@pytest.mark.parametrize("code", ["a b", "a\nb", "x" * 65, "../x", "é", "[a]"])
def test_an_unusable_code_is_refused(code: str) -> None:
    with pytest.raises(Refused) as refused:
        key_of_code(code)
    assert refused.value.code == "info-code"


@pytest.mark.parametrize("name", ["000_40f7db2d1fb67a95.txt", "a.md", "123456789012345678.md", "1" * 19 + ".md"])
def test_other_digits_in_a_name_are_no_code(name: str) -> None:
    assert key_of_name(name) is None


def test_a_link_in_the_text_is_no_identity() -> None:
    body = '<p>见（<a href="https://finance.example.com/a/202503142600000009.html">全文</a>）。</p>'
    assert read(f"2025-03-14-{CODE}.md", post(CODE, body=body)).article.key == CODE


def test_a_url_beats_the_file_name_and_the_conflict_is_remarked() -> None:
    parsed = read("2025-03-14-202503142600000002.md", post(CODE))
    assert parsed.article.key == CODE
    assert "202503142600000002" in parsed.remarks[0]


def test_a_key_without_code_follows_title_and_time_not_body() -> None:
    first = read("a.txt", "某公司公告\n2025/3/14 13:42\n正文一。")
    second = read("b.md", '---\ntitle: "某公司 公告"\ndate: 2025-03-14 13:42:00 +0800\n---\n<p>正文二</p>\n')
    assert first.article.key == second.article.key
    assert first.article.key.startswith("t-")
    other = read("a.txt", "某公司公告\n2025/3/14 13:43\n正文一。")
    assert other.article.key != first.article.key


def test_the_day_of_a_code() -> None:
    assert str(day_of_key(CODE)) == "2025-03-14"
    assert day_of_key("202513142600000001") is None
    assert key_of_url("http://example.com/a?b=1") is None


@given(st.lists(st.sampled_from(SPELLINGS) | st.text(max_size=12), min_size=2, unique=True))
def test_row_ids_are_distinct_and_positive(names: list[str]) -> None:
    keys = {key for name in names if (key := key_from_user(name))}
    keys |= {key_of_text(name, datetime(2025, 1, 1, tzinfo=UTC)) for name in names}
    ids = {id_of_key(key) for key in keys}
    assert len(ids) == len(keys)
    assert all(0 < row_id < 2**63 for row_id in ids)


@given(st.text(), st.text(max_size=30), st.text(), st.datetimes(timezones=st.just(UTC)))
def test_keys_of_entries_never_meet_others(entry_id: str, host: str, title: str, at: datetime) -> None:
    key = key_of_entry(entry_id, host)
    assert key_from_user(key) == key
    assert 5 * 10**18 <= id_of_key(key) < 2**63
    assert id_of_key(key_of_text(title, at)) < 4 * 10**18
    assert id_of_key("x-" + "a" * 9) < 5 * 10**18


def test_ids_that_are_no_iris_belong_to_their_site() -> None:
    assert key_of_entry("17", "www.A.example") == key_of_entry("17", "a.example") != key_of_entry("17", "b.example")
    assert key_of_entry("urn:x:17", "a.example") == key_of_entry("urn:x:17", "b.example")
    assert key_of_entry("https://a.example/17", "") == key_of_entry("https://a.example/17", "b.example")


def test_facts_written_before_there_were_attributions_are_read() -> None:
    article = read("a.md", post()).article
    new = encode(article)
    old = new.replace(b',"attribution":null', b"")
    assert old != new
    assert decode(old) == decode(new) == article
    attributed = Article(
        article.key, article.title, article.body, article.published,
        attribution=Attribution("urn:a", "甲", Moment(datetime(2025, 1, 1, tzinfo=UTC), exact=True), "http://a.example/"),
    )  # fmt: skip
    assert decode(encode(attributed)) == attributed
