"""Drawn entries are kept from one feed to the next, and not more of them than there is room for."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.cache import EntryCache
from feedsync.feeds import draw_entry
from feedsync.model import Entry
from tests.conftest import Desk, post


@given(
    st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50)), max_size=5),
    st.sampled_from([0, 5000, 900_000]),
)
def test_what_is_kept_is_what_was_drawn(entries: list[tuple[bytes, ...]], plain_bytes: int) -> None:
    cache = EntryCache(1_000_000, plain_bytes)
    for number, formats in enumerate(entries):
        cache.put((number, 7), formats)
    for number, formats in enumerate(entries):
        assert cache.get((number, 7)) == formats
        assert cache.get((number, 8)) is None


@pytest.mark.parametrize("plain_bytes", [0, 11_000, 35_000])
def test_the_entries_used_least_recently_make_room(plain_bytes: int) -> None:
    cache = EntryCache(35_000, plain_bytes)
    for number in range(3):
        cache.put((number, 1), (os.urandom(10_000),))
    assert cache.get((0, 1))
    cache.put((3, 1), (os.urandom(10_000),))
    assert [number for number in range(4) if cache.get((number, 1))] == [0, 2, 3]
    cache.clear()
    assert cache.get((0, 1)) is None


def test_an_entry_is_drawn_once_for_all_its_feeds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def counting(entry: Entry, *rest: object) -> tuple[bytes, ...]:
        drawn.append(entry.known.article.key)
        return draw_entry(entry, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("feedsync.drawing.draw_entry", counting)
    codes = [f"20250314260000000{number}" for number in range(3)]
    for code in codes:
        desk.put(f"{code}.md", post(code, body="<p>正文。</p><p>（文章来源：甲报）</p>"))
    desk.run()
    assert sorted(drawn) == codes
    assert {"all.atom", "category/emnews.rss"} <= desk.published().keys()
    assert any(path.startswith("outlet/") for path in desk.published())
