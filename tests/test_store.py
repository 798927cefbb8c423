"""The database: its settings, its migrations, and what it refuses to touch."""

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, inspect, select

from feedsync.errors import ConfigError, LockError, StoreError
from feedsync.model import Article, Attribution, Body, Category, Credit, Moment, Role, Symbol, Title
from feedsync.publish import Publisher
from feedsync.store import Store, database, exclusive
from feedsync.store.codec import decode, encode, narrow, widen
from feedsync.store.listed import among, rows_of
from feedsync.store.schema import APPLICATION_ID, metadata, sources, terms
from tests.conftest import Desk, post


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def make_old(path: Path) -> None:
    """A database as the first migration left it, with a row in it."""
    config = Config()
    config.set_main_option("script_location", "feedsync:store/migrations")
    engine = database.open_engine(path, writable=True)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO state VALUES ('seq', '7')")
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql("PRAGMA user_version = 1")
    engine.dispose()


def test_every_connection_is_durable(tmp_path: Path) -> None:
    with Store.open(url(tmp_path / "db")) as store:
        for scope in (store.writing, store.reading):
            with scope() as tx:
                pragmas = {
                    name: tx.connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                    for name in ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")
                }
                assert pragmas == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30000}


def test_migrations_and_a_new_database_come_to_the_same(tmp_path: Path) -> None:
    make_old(tmp_path / "old")
    schemas = []
    for name in ("old", "new"):
        with Store.open(url(tmp_path / name)) as store, store.writing() as writer:
            options = {"include_name": lambda name, *_: name is None or not name.startswith("search_index")}
            context = MigrationContext.configure(writer.connection, opts=options)
            assert compare_metadata(context, metadata) == []
            assert context.get_current_revision() == f"{database.SCHEMA:04d}"
            tables = inspect(writer.connection).get_table_names()
            shadows = {"search_index", "search_index_config", "search_index_data", "search_index_idx"}
            assert set(tables) == set(metadata.tables) | shadows | {"alembic_version"}
            statement = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
            made = writer.connection.exec_driver_sql(statement).all()
            # Of tables, columns added later stand last; what `compare_metadata` does not see is compared word for word.
            exact = {"memberships"} | {name for kind, name, *_ in made if kind in ("trigger", "index")}
            words = {name: "".join((sql or "").replace('"', "").split()) for _, name, _, sql in made if name in exact}
            schemas.append(([row[:3] for row in made], words))
    assert schemas[0] == schemas[1]


def test_an_older_database_is_copied_and_migrated(tmp_path: Path) -> None:
    path = tmp_path / "db"
    make_old(path)
    with pytest.raises(StoreError, match="old schema 1"):
        Store.open_readonly(url(path))
    with Store.open(url(path)) as store, store.reading() as reader:
        assert reader.state("seq") == "7"
    with closing(sqlite3.connect(path)) as now, closing(sqlite3.connect(tmp_path / "db.schema-1.bak")) as copy:
        assert now.execute("PRAGMA user_version").fetchone() == (database.SCHEMA,)
        assert copy.execute("PRAGMA user_version").fetchone() == (1,)
        assert copy.execute("SELECT value FROM state").fetchone() == ("7",)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_newer_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "db"
    Store.open(url(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema 999, newer"):
        Store.open(url(path))
    assert path.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} <= {"db", "db.lock", "db-wal", "db-shm"}


@pytest.mark.parametrize("content", [b"just a text file, long enough to be looked at" * 20, b"\0" * 4096])
def test_other_files_are_refused_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="db"):
        Store.open(url(path))
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE x (y)")
    with pytest.raises(StoreError, match="not a feedsync database"):
        Store.open(url(path))


def test_a_database_that_another_process_makes_meanwhile_is_no_foreign_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # all that the other has done so far
    connect = sqlite3.connect

    def watched(*arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
        connection.set_trace_callback(the_other_goes_on)
        return connection

    def the_other_goes_on(statement: str) -> None:
        if statement == "PRAGMA user_version":
            monkeypatch.undo()
            Store.open(url(path)).close()

    monkeypatch.setattr(sqlite3, "connect", watched)
    assert database.inspect(path) in (0, database.SCHEMA)
    assert database.inspect(path) == database.SCHEMA


@pytest.mark.parametrize("bad", ["nonsense", "sqlite://", "sqlite:///:memory:", "mysql://h/db"])
def test_urls_that_are_no_sqlite_file(bad: str) -> None:
    with pytest.raises(ConfigError):
        Store.open(bad)


def test_reading_and_then_writing_waits_for_its_turn(tmp_path: Path) -> None:
    """BEGIN IMMEDIATE: of two writers that read first, the second waits; none fails, no update is lost."""
    with Store.open(url(tmp_path / "db")) as store, Store.open(url(tmp_path / "db")) as other:

        def count(shop: Store) -> None:
            for _ in range(30):
                with shop.writing() as writer:
                    writer.set_state("n", str(int(writer.state("n") or 0) + 1))

        threads = [threading.Thread(target=count, args=(shop,)) for shop in (store, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with store.reading() as reader:
            assert reader.state("n") == "60"


def test_the_lock_is_exclusive_tells_its_holder_and_times_out(tmp_path: Path) -> None:
    told: list[str] = []
    with exclusive(tmp_path / "lock", timeout_s=0):
        with pytest.raises(LockError, match="pid"), exclusive(tmp_path / "lock", timeout_s=0.2, waiting=told.append):
            pass
    assert len(told) == 1
    with exclusive(tmp_path / "lock", timeout_s=0):
        pass


def test_a_discarded_transaction_leaves_nothing(tmp_path: Path) -> None:
    with Store.open(url(tmp_path / "db")) as store:
        with store.writing(discard=True) as writer:
            writer.set_state("x", "1")
        with store.reading() as reader:
            assert reader.state("x") is None


def test_labels_follow_the_majority_of_articles(desk: Desk) -> None:
    for number, tag in enumerate(["乙报新闻", "甲报新闻新闻", "甲报新闻新闻"]):
        code = f"20250314260000000{number}"
        desk.put(f"{code}.md", post(code, f"标题{number}", category="x", tag=tag))
        desk.run()
        entry = desk.atom("category/x.atom")
        assert f'label="{"乙报" if number == 0 else None or ("乙报" if number == 1 else "甲报新闻")}"' in entry
    assert "<title>甲报新闻 - 测试站</title>" in desk.atom("category/x.atom")
    assert 'label="乙报"' not in desk.atom()


def test_another_label_redraws_only_the_feeds_that_show_it(desk: Desk) -> None:
    desk.put("old.md", post("202503142600000009", "别的", category="elsewhere", tag="丙报新闻"))
    for number, tag in enumerate(["乙报新闻", "甲报新闻", "甲报新闻"]):
        code = f"20250314260000000{number}"
        desk.put(f"{code}.md", post(code, f"标题{number}", category="x", tag=tag))
        report = desk.run()
    assert (report.feeds.written, report.feeds.unchanged) == (4, 2)  # all, x and the outlets of its articles
    with desk.store.reading() as reader:
        seqs = {term.value: term.changed_seq for term in reader.terms("category")}
    assert seqs["elsewhere"] < seqs["x"]


def test_sources_of_all_times_are_told(tmp_path: Path) -> None:
    with Store.open(url(tmp_path / "db")) as store:
        with store.writing() as writer:
            rows = [{"id": number, "name": f"s{number:04d}"} for number in range(1, 2002)]
            writer.connection.execute(insert(sources), rows)
        with store.reading() as reader:
            told = reader.source_rows()
    assert [row.name for row in told] == [row["name"] for row in rows]
    assert {(row.files, row.documents, row.quarantined) for row in told} == {(0, 0, 0)}


def test_the_facts_of_an_article_are_written_as_ever() -> None:
    moment = Moment(datetime(2025, 3, 14, 5, 42, tzinfo=UTC), True)
    article = Article(
        key="202503142600000001",
        title=Title(True, "青禾动力：产线正常"),
        body=Body(2, 1, 30, b"\x00\xff", b"\x01"),
        published=moment,
        credit=Credit(Credit.LINE, "新程证券报"),
        summary="摘要",
        urls=("http://finews.example.org/a",),
        categories=(Category("emnews", "东财滚动"),),
        tags=("保险",),
        symbols=(Symbol("1", "601628", Role.SUBJECT, "甲"),),
        attribution=Attribution("urn:x", "源", moment, "http://e.org/f"),
    )
    facts = (
        '{"key":"202503142600000001","title":{"given":true,"text":"青禾动力：产线正常"},'
        '"body":{"length":2,"images":1,"size":30,"digest":"AP8=","text_digest":"AQ=="},'
        '"published":{"at":"2025-03-14T05:42:00Z","exact":true},"credit":{"rank":3,"outlet":"新程证券报"},'
        '"summary":"摘要","urls":["http://finews.example.org/a"],'
        '"categories":[{"term":"emnews","label":"东财滚动"}],"tags":["保险"],'
        '"symbols":[{"market":"1","code":"601628","role":"subject","name":"甲"}],'
        '"attribution":{"id":"urn:x","title":"源","updated":{"at":"2025-03-14T05:42:00Z","exact":true},'
        '"url":"http://e.org/f"},"withdrawn":false}'
    )
    assert encode(article).decode() == facts
    assert decode(facts.encode()) == article


@given(st.text(), st.integers(0, 40))
def test_text_is_stored_as_briefly_as_two_encodings_allow_and_comes_back(text: str, times: int) -> None:
    stored = narrow(text * times)
    assert widen(stored) == text * times
    size = len(stored if isinstance(stored, bytes) else stored.encode())
    assert size == min(len((text * times).encode(encoding)) for encoding in ("utf-8", "utf-16-le"))


def test_chinese_html_takes_two_bytes_a_character_and_that_of_before_is_read_all_the_same(desk: Desk) -> None:
    texts = {"202503142600000001": "青禾动力：产线正常。" * 30, "202503142600000002": "in plain English " * 30}
    for code, text in texts.items():
        desk.put(f"{code}.md", post(code, body=f"<p>{text.strip()}</p>"))
    desk.run()
    sizes = "SELECT typeof(html), length(CAST(html AS BLOB)) FROM bodies ORDER BY article_id"
    with closing(sqlite3.connect(desk.store.path)) as connection:
        assert connection.execute(sizes).fetchall() == [("blob", 2 * 307), ("text", 516)]
    published = desk.published()
    with closing(sqlite3.connect(desk.store.path)) as connection:
        plain = [(f"<p>{text.strip()}</p>", int(code)) for code, text in texts.items()]
        connection.executemany("UPDATE bodies SET html = ? WHERE article_id = ?", plain)
        connection.commit()
    Publisher(desk.tree, desk.presentation).publish(desk.store, everything=True)
    assert desk.published() == published


@pytest.mark.parametrize("damaged", [b"N", b"\x00\xd8"])
def test_a_damaged_text_is_told_with_a_remedy(desk: Desk, damaged: bytes) -> None:
    desk.put("a.md", post())
    desk.run()
    with closing(sqlite3.connect(desk.store.path)) as connection:
        connection.execute("UPDATE bodies SET html = ?", (damaged,))
        connection.commit()
    with pytest.raises(StoreError, match="damaged") as caught:
        Publisher(desk.tree, desk.presentation).publish(desk.store, everything=True)
    assert "restore" in caught.value.remedy


def test_a_list_of_whatever_length_is_one_parameter(tmp_path: Path) -> None:
    """More than SQLite takes as parameters of their own; numbers of 63 bits and Chinese, too."""
    values = [*(f"名{number}" for number in range(40_000)), 'it\'s "quoted"\\', "", "\U0001f4c8"]
    ids = range(2**62, 2**62 + len(values))
    rows = [
        {"id": i, "scheme": "tag", "value": value, "label": "", "articles": 0, "changed_seq": 0, "published_seq": 0}
        for i, value in zip(ids, values, strict=True)
    ]
    texts = select(terms.c.id).where(among(terms.c.value))
    numbers = select(terms.c.value).where(among(terms.c.id))
    with Store.open(url(tmp_path / "db")) as store, store.writing() as writer:
        writer.connection.execute(insert(terms), rows)
        assert sorted(rows_of(writer.connection, texts, values)) == [(i,) for i in ids]
        assert sorted(rows_of(writer.connection, numbers, ids)) == sorted((value,) for value in values)
        assert rows_of(writer.connection, numbers, iter(())) == []
        assert rows_of(writer.connection, numbers, {-1, ids[3]}) == [("名3",)]
