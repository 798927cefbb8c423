"""Search: the index against a scan of what is stored; the command; the page."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsync.parse import text_of
from feedsync.query import (
    And,
    Before,
    Expression,
    Field,
    Not,
    Or,
    Since,
    Subject,
    Text,
    matches,
    parse_query,
    quoted,
    subject_of,
)
from feedsync.query.match import fold
from feedsync.store import Index, Store
from feedsync.text import normalise
from tests.conftest import SHANGHAI, Desk, post

ALPHABET = (
    "中国人寿股票上涨的，。、：《》！？；“”（）,.%!\"'-_()0123456789abcXYZ ＡＢＣ１２𠮷𡃁😀ßİé\u0301\u2821\ue000\u3000"
)


def words(chance: random.Random, length: int) -> str:
    return "".join(chance.choices(ALPHABET, k=length)).replace("<", "")


class Library(Desk):
    """A store whose articles are partly indexed, partly revised since, partly new; one is held."""

    subjects: dict[str, Subject]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        chance = random.Random(7)
        for number in range(40):
            self.write(number, chance)
        self.run()
        self.index()
        for number in (*range(5), *range(40, 55)):
            self.write(number, chance)
        held = "---\nlayout: post\n---\n<p>" + words(chance, 80) + "</p>\n"
        self.put("2025-03-14-NW202503142600000999.md", held)
        self.run()

    def write(self, number: int, chance: random.Random) -> None:
        title = "题" + words(chance, 10).replace('"', "").replace("\\", "").replace("“", "").replace("”", "")
        body = "".join(f"<p>字{words(chance, 40)}</p>" for _ in range(3))
        self.put(
            f"{number}.md",
            post(
                f"2025031426000001{number:02d}",
                title,
                body,
                f"2025-03-{1 + number % 28:02d} 10:00:00 +0800",
                chance.choice(["emnews", "yicai"]),
            ),
        )

    def index(self, limit: int = 1000) -> int:
        with self.store.lock(), self.store.writing() as writer:
            return Index(writer.connection).catch_up(limit)

    def found(self, query: Expression | str) -> list[str]:
        expression = parse_query(query, SHANGHAI) if isinstance(query, str) else query
        with self.store.reading() as reader:
            return [entry.known.article.key for entry, _ in Index(reader.connection).matching(expression)]

    def texts(self) -> dict[str, tuple[str, str]]:
        """Title and text of every published article, newest first, read without a word of the store's code."""
        statement = """SELECT a.key, json_extract(CAST(a.facts AS TEXT), '$.title.text'), b.html FROM articles a
            JOIN bodies b ON b.article_id = a.id AND b.digest = a.body WHERE NOT a.held
            ORDER BY a.published_us DESC, a.id"""
        with closing(sqlite3.connect(self.store.path)) as connection:
            rows = [(key, title, html) for key, title, html in connection.execute(statement)]
        return {
            key: (title, text_of(html if isinstance(html, str) else html.decode("utf-16-le")))
            for key, title, html in rows
        }


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    library = Library(tmp_path_factory.mktemp("library"))
    texts = library.texts()
    library.texts = lambda: texts  # type: ignore[method-assign]
    with library.store.reading() as reader:
        known = reader.known(list(texts))
    library.subjects = {key: subject_of(known[key], text) for key, (_, text) in texts.items()}
    with library.store.reading() as reader:
        assert reader.totals()["held"] == 1
        assert Index(reader.connection).pending() == 20
    yield library
    library.close()


def scan(library: Library, words: str) -> list[str]:
    wanted = normalise(words).casefold()
    return [
        key for key, texts in library.texts().items() if any(wanted in normalise(text).casefold() for text in texts)
    ]


@given(st.data())
@settings(max_examples=150)
def test_any_part_of_a_text_is_found_where_a_scan_finds_it(library: Library, data: st.DataObject) -> None:
    texts = [text for pair in library.texts().values() for text in pair if fold(text)]
    text = data.draw(st.sampled_from(texts))
    start = data.draw(st.integers(0, len(text) - 1))
    part = text[start : start + data.draw(st.sampled_from([1, 1, 2, 2, 3, 4, 7, 20, 60]))]
    if not fold(part):
        return
    found = library.found(quoted(part))
    assert found
    assert found == scan(library, part)


@given(st.text(alphabet=ALPHABET, min_size=1, max_size=3).filter(fold))
def test_anything_else_is_found_where_a_scan_finds_it(library: Library, words: str) -> None:
    assert library.found(quoted(words)) == scan(library, words)


leaves = st.one_of(
    st.text(alphabet=ALPHABET, min_size=1, max_size=2).map(fold).filter(bool).map(Text),
    st.builds(Field, st.just("category"), st.sampled_from(["emnews", "yicai", "none"])),
    st.builds(Field, st.just("tag"), st.just("东财滚动新闻")),
    st.integers(1, 28).map(lambda day: Since(datetime(2025, 3, day, tzinfo=UTC))),
    st.integers(1, 28).map(lambda day: Before(datetime(2025, 3, day, tzinfo=UTC))),
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=8,
)


@given(expressions)
@settings(max_examples=100)
def test_the_index_and_the_predicate_agree(library: Library, expression: Expression) -> None:
    assert library.found(expression) == [
        key for key, subject in library.subjects.items() if matches(expression, subject)
    ]


def test_a_search_sees_what_its_transaction_sees(desk: Desk) -> None:
    """What is stored is found at once, and what was discarded is not."""
    with desk.store.reading() as reader:
        assert list(Index(reader.connection).matching(Text("正文"))) == []
    desk.put("a.md", post())
    desk.run(dry_run=True)
    with desk.store.reading() as reader:
        assert list(Index(reader.connection).matching(Text("正文"))) == []
    desk.run()
    with desk.store.reading() as reader:
        assert len(list(Index(reader.connection).matching(Text("正文")))) == 1


def test_a_revised_article_loses_its_former_words(tmp_path: Path) -> None:
    with closing(Library(tmp_path)) as library:
        library.put("x.md", post("202503152600000001", "旧题", "<p>旧文独一</p>"))
        library.run()
        library.index()
        assert library.found("旧文独一") == ["202503152600000001"]
        library.put("x.md", post("202503152600000001", "新题", "<p>新文无二，而且更长一些</p>"))
        library.run()
        for _ in range(2):
            assert library.found("旧文独一") == []
            assert library.found("新文无二") == ["202503152600000001"]
            library.index()


def test_the_index_can_be_rebuilt_in_any_portions(tmp_path: Path) -> None:
    with closing(Library(tmp_path)) as library:
        before = library.found("中")
        for portion in (1, 7, 1000):
            with library.store.writing() as writer:
                Index(writer.connection).clear()
            assert library.found("中") == before
            while library.index(portion):
                pass
            assert library.found("中") == before
            with library.store.reading() as reader:
                assert Index(reader.connection).pending() == 0
        with library.store.writing() as writer:  # the index alone finds them, too
            writer.connection.exec_driver_sql("INSERT INTO search_index (search_index) VALUES ('integrity-check')")


def test_labels_that_change_are_not_indexed_anew(desk: Desk) -> None:
    desk.put("a.md", post())
    desk.run()
    with desk.store.writing() as writer:
        assert Index(writer.connection).catch_up(10) == 1
    with desk.store.writing() as writer:
        writer.connection.exec_driver_sql("UPDATE articles SET seq = 99")
    with desk.store.writing() as writer:
        index = Index(writer.connection)
        assert (index.pending(), index.catch_up(10), index.pending()) == (1, 1, 0)
        assert writer.connection.exec_driver_sql("SELECT max(number) FROM search_numbers").scalar() == 1


def steps(store: Store, query: str) -> int:
    """How much SQLite works for a search, in tens of steps of its machine."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    with store.reading() as reader:
        driver = reader.connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_progress_handler(count, 10)
        list(Index(reader.connection).matching(parse_query(query, ZoneInfo("UTC"))))
        driver.set_progress_handler(None, 0)
    return counted


def test_the_work_grows_with_the_hits_and_not_with_the_store(desk: Desk) -> None:
    chance = random.Random(3)
    found = {}
    numbers = iter(range(10_000))
    for size in (100, 400):
        for _ in range(size):
            number = next(numbers)
            rare = "罕见" if number in (5, 50) else ""
            half = "常见" if number % 2 else ""
            body = f"<p>{rare}{half}{''.join(chance.choices('中国人寿股票上涨的', k=30))}</p>"
            desk.put(f"{number}.md", post(f"202503142600{number:06d}", f"第{number}", body))
        desk.run()
        with desk.store.writing() as writer:
            Index(writer.connection).catch_up(10_000)
        found[number + 1] = steps(desk.store, "罕见"), steps(desk.store, "常见")
    assert found[500][0] <= found[100][0] * 1.5
    assert found[500][1] > found[100][1] * 4
