"""The tables. All times are microseconds since 1970-01-01T00:00:00Z, in columns that end in `_us`.

An article's `id` follows from its key, so it is the same in every store and orders ties in every feed;
see `codec.id_of_key`. A change here needs a migration in `migrations/versions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.ext.compiler import compiles

from feedsync.store.codec import narrow, widen

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.sql.compiler import DDLCompiler

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Narrow(TypeDecorator[str]):
    """Long text, Chinese above all, stored as `codec.narrow` says; rows of before hold it as plain text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | bytes | None:  # noqa: ARG002
        return None if value is None else narrow(value)

    def process_result_value(self, value: str | bytes | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else widen(value)


@compiles(PrimaryKeyConstraint, "sqlite")
def _primary_key(constraint: PrimaryKeyConstraint, compiler: DDLCompiler, **options: Any) -> str:
    """A primary key, one column of which may be said to be in descending order."""
    sql = compiler.visit_primary_key_constraint(constraint, **options)
    name = constraint.info.get("descending")
    return sql.replace(name, f"{name} DESC") if name else sql


APPLICATION_ID = 0x46534E43
"""`FSNC`, in the header of every SQLite file of ours."""

state = Table(
    "state",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
    comment="change sequence, what was last published and how, how many revisions there are",
)

sources = Table(
    "sources",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("ran_us", BigInteger),
    Column("succeeded_us", BigInteger),
    Column("error", Text),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("requests", BigInteger, nullable=False, server_default="0"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("files", Integer, nullable=False, server_default="0"),
    Column("documents", Integer, nullable=False, server_default="0"),
    comment="every source ever read, how its last run ended, what its fetching cost, and how much there is of it",
)

files = Table(
    "files",
    metadata,
    Column("source_id", ForeignKey("sources.id"), primary_key=True),
    Column("path", LargeBinary, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("ctime_ns", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("settled", Boolean, nullable=False),
    sqlite_with_rowid=False,
    comment="what each file was when last read; unsettled ones are read again",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("source_id", ForeignKey("sources.id"), primary_key=True),
    Column("location", Text, primary_key=True),
    Column("code", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    comment="documents refused, until a good copy stands in their place",
)

fetches = Table(
    "fetches",
    metadata,
    Column("source_id", ForeignKey("sources.id"), primary_key=True),
    Column("location", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("last_modified", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("documents", Integer, nullable=False),
    Column("fetched_us", BigInteger),
    Column("due_us", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("fault", Text),
    sqlite_with_rowid=False,
    comment="what is known of each URL: its validators, when it may be asked again, what it failed with",
)

hosts = Table(
    "hosts",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("robots", Text),
    Column("robots_until_us", BigInteger),
    Column("failures", Integer, nullable=False),
    Column("due_us", BigInteger),
    sqlite_with_rowid=False,
    comment="of each host its rules for robots, and until when it is left alone after failures",
)

articles = Table(
    "articles",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("key", String(80), nullable=False),
    Column("published_us", BigInteger, nullable=False),
    Column("arrived_us", BigInteger, nullable=False),
    Column("revised_us", BigInteger),
    Column("held", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Column("seq", BigInteger, nullable=False, index=True),
    Column("withdrawn_us", BigInteger),
    Column("reason", Text),
    comment="the union of what its documents say (facts: JSON of model.Article)",
)

WITHOUT_TEXT = text("body = x'e3b0c44298fc1c149afbf4c8996fb924'")
"""The body is the digest of nothing: a literal, for a partial index serves only the very words it was made with."""

SHOWN = text("held = 0 AND withdrawn_us IS NULL")

Index("ix_articles_shown", articles.c.id, articles.c.published_us, sqlite_where=SHOWN)
Index("ix_articles_without_text", articles.c.id, sqlite_where=WITHOUT_TEXT)

HELD = text("held = 1")
WITHDRAWN = text("withdrawn_us IS NOT NULL")
"""Few articles are; whoever counts them does not look at the others."""

Index("ix_articles_held", articles.c.id, sqlite_where=HELD)
Index("ix_articles_withdrawn", articles.c.id, sqlite_where=WITHDRAWN)

bodies = Table(
    "bodies",
    metadata,
    Column("article_id", ForeignKey("articles.id"), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("html", Narrow, nullable=False),
    comment="clean HTML, once for all documents and revisions that share it",
)

revisions = Table(
    "revisions",
    metadata,
    Column("article_id", ForeignKey("articles.id"), primary_key=True),
    Column("at_us", BigInteger, primary_key=True),
    Column("title", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    comment="every meaning an article has had, with the time it was first seen",
)

documents = Table(
    "documents",
    metadata,
    Column("article_id", ForeignKey("articles.id"), primary_key=True),
    Column("source_id", ForeignKey("sources.id"), primary_key=True),
    Column("location", Text, primary_key=True),
    Column("read_us", BigInteger, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    comment="what each document says, kept when its file is gone",
)

aliases = Table(
    "aliases",
    metadata,
    Column("value", Text, primary_key=True),
    Column("article_id", ForeignKey("articles.id"), nullable=False, index=True),
    sqlite_with_rowid=False,
    comment="source URLs by which an article is known; never removed",
)

terms = Table(
    "terms",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("scheme", String(16), nullable=False),
    Column("value", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("articles", Integer, nullable=False),
    Column("changed_seq", BigInteger, nullable=False),
    Column("published_seq", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False, server_default=text("x''")),
    UniqueConstraint("scheme", "value"),
    comment="what articles can be filed under: everything (scheme `all`), categories, outlets, tags, symbols",
)
# There may be tens of thousands: nothing asks for all of them at each article.
Index("ix_terms_due", terms.c.scheme, terms.c.value, sqlite_where=text("changed_seq > published_seq"))
Index("ix_terms_changed", terms.c.scheme, terms.c.changed_seq)
Index("ix_terms_largest", terms.c.scheme, terms.c.articles.desc(), terms.c.value)

memberships = Table(
    "memberships",
    metadata,
    Column("term_id", ForeignKey("terms.id"), primary_key=True),
    Column("published_us", BigInteger, primary_key=True),
    Column("article_id", ForeignKey("articles.id"), primary_key=True),
    Column("arrived_us", BigInteger, nullable=False),
    Column("role", String(8), nullable=False),
    Column("label", Text, nullable=False),
    Column("revised_us", BigInteger),
    sqlite_with_rowid=False,
    comment="which article stands where, and since when; when it was revised, if it was",
)
memberships.primary_key.info["descending"] = "published_us"
# In the order of a feed itself, so that no index has to be: nothing is written at more places, and in each tree every
# place is a page. An article is found here by its `published_us`, which is the same there.
Index(
    "ix_memberships_arrived",
    memberships.c.term_id,
    memberships.c.arrived_us.desc(),
    memberships.c.published_us.desc(),
    memberships.c.article_id,
)

Index(
    "ix_memberships_revised",
    memberships.c.term_id,
    memberships.c.revised_us.desc(),
    memberships.c.article_id,
    sqlite_where=text("revised_us IS NOT NULL"),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("term_id", ForeignKey("terms.id"), primary_key=True),
    Column("article_id", ForeignKey("articles.id"), primary_key=True, index=True),
    Column("withdrawn_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    comment="which article stood where until it was withdrawn, and when that was",
)
Index("ix_tombstones_withdrawn", tombstones.c.term_id, tombstones.c.withdrawn_us.desc(), tombstones.c.article_id)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("withdrawn", Boolean, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
    comment="the operator's last word on articles, known or not: withdrawn or restored",
)

shifts = Table(
    "shifts",
    metadata,
    Column("term_id", ForeignKey("terms.id"), primary_key=True),
    Column("published_us", BigInteger, primary_key=True),
    Column("article_id", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
    comment="places in categories joined or left since the category was published",
)

term_labels = Table(
    "term_labels",
    metadata,
    Column("term_id", ForeignKey("terms.id"), primary_key=True),
    Column("label", Text, primary_key=True),
    Column("articles", Integer, nullable=False),
    comment="how many articles suggest each label; the most suggested is shown",
)

custom_feeds = Table(
    "custom_feeds",
    metadata,
    Column("term_id", ForeignKey("terms.id"), primary_key=True),
    Column("definition", Text, nullable=False),
    comment="the feeds of the configuration: what the memberships of each were decided by (JSON)",
)

search_numbers = Table(
    "search_numbers",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("article_id", ForeignKey("articles.id"), nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False),
    comment="under which number the search index has an article, and what of it; small numbers keep the index small",
)

# How many rows there are of what is asked for at each `status`, kept by the database itself. To count a million rows
# is to read megabytes of an index, which takes a minute where nothing of it is in memory. They are true to INSERT, with
# or without ON CONFLICT, and to DELETE; REPLACE, and another `source_id` in a row, would mislead them.
COUNTERS = (
    "CREATE TRIGGER count_files_more AFTER INSERT ON files BEGIN "
    "UPDATE sources SET files = files + 1 WHERE id = NEW.source_id; END",
    "CREATE TRIGGER count_files_fewer AFTER DELETE ON files BEGIN "
    "UPDATE sources SET files = files - 1 WHERE id = OLD.source_id; END",
    "CREATE TRIGGER count_documents_more AFTER INSERT ON documents BEGIN "
    "UPDATE sources SET documents = documents + 1 WHERE id = NEW.source_id; END",
    "CREATE TRIGGER count_documents_fewer AFTER DELETE ON documents BEGIN "
    "UPDATE sources SET documents = documents - 1 WHERE id = OLD.source_id; END",
    "CREATE TRIGGER count_revisions_more AFTER INSERT ON revisions BEGIN "
    "INSERT INTO state VALUES ('revisions', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1; END",
    "CREATE TRIGGER count_revisions_fewer AFTER DELETE ON revisions BEGIN "
    "UPDATE state SET value = value - 1 WHERE name = 'revisions'; END",
)

SEARCH_INDEX = (
    "CREATE VIRTUAL TABLE search_index USING fts5(tokens, content='', columnsize=0, detail=none, tokenize='ascii')",
    "INSERT INTO search_index (search_index, rank) VALUES ('hashsize', 16777216)",  # a batch becomes one segment
)
for _statement in (*COUNTERS, *SEARCH_INDEX):
    event.listen(metadata, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]
