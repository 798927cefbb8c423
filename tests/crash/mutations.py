"""Seeded bugs, by which the harness is itself tested: each is one a program of this kind is likely to have.

They are put into a child process only, at its start, when `FEEDSYNC_CRASH_MUTATION` names one.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import update

VARIABLE = "FEEDSYNC_CRASH_MUTATION"


def _replace(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def write_in_place() -> None:
    """Feeds are written over their former selves."""
    from feedsync.outputs import Batch

    def put(batch: Batch, path: str, content: bytes) -> bool:
        target = Path(batch._root) / path
        if target.exists() and target.read_bytes() == content:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for start in range(0, len(content), 1024):
            os.write(descriptor, content[start : start + 1024])
        os.close(descriptor)
        return True

    _replace(Batch, "put", put)


def acknowledge_before_commit() -> None:
    """The report is printed before anything is stored."""
    from feedsync import sync
    from feedsync.cli import passes
    from feedsync.values import replace

    honest = sync.run

    def hasty(store: Any, publisher: Any, sources: Any, request: Any, **rest: Any) -> Any:
        promised = honest(store, publisher, sources, replace(request, dry_run=True), **rest)
        sys.stdout.write(json.dumps(promised.to_json()))
        sys.stdout.flush()
        return honest(store, publisher, sources, request, **rest)

    _replace(sync, "run", hasty)
    _replace(passes, "print_json", lambda _value: None)


def no_dirty_mark() -> None:
    """Which feeds are due is known to the running process only."""
    from feedsync.store import terms as terms_room
    from feedsync.store import write
    from feedsync.store.schema import terms

    due: set[int] = set()
    honest = write.Writer.apply

    def apply(writer: write.Writer, changes: Any, now: Any) -> None:
        honest(writer, changes, now)
        due.update(term.id for term in writer.terms("all", "category") if term.changed_seq > term.published_seq)
        writer.connection.execute(update(terms).values(published_seq=terms.c.changed_seq))

    _replace(write.Writer, "apply", apply)
    _replace(
        terms_room.Terms,
        "due",
        lambda reader, *schemes: [term for term in reader.terms(*schemes) if term.id in due],
    )


def no_unique_key() -> None:
    """Each process stores an article under a number of its own."""
    from feedsync.store import read, write
    from feedsync.store.codec import id_of_key

    def own(key: str) -> int:
        return id_of_key(key) + os.getpid()

    _replace(read, "id_of_key", own)
    _replace(write, "id_of_key", own)


def no_sweeping() -> None:
    """Temporary files of a killed process stay."""
    from feedsync.outputs import Tree

    _replace(Tree, "sweep", lambda _tree: 0)


def passing_ids() -> None:
    """An id holds on something that passes."""
    from feedsync.feeds import names

    honest = names.article_id

    def changing(site: Any, key: str) -> str:
        return f"{honest(site, key)}-{os.getpid()}"

    _replace(names, "article_id", changing)


def marks_before_files() -> None:
    """A feed counts as published before it is in place."""
    from feedsync.outputs import Tree
    from feedsync.publish import Publisher
    from feedsync.store import Store

    honest = Publisher._publish_due

    def publish_due(publisher: Publisher, store: Store, *rest: Any) -> None:
        with store.writing() as writer:
            due = writer.due("all", "category")
            files = [file for term in due for file in publisher._drawing.feed(writer, term)]
            files += publisher._drawing.front(writer)
            writer.mark_published(due, {})
        with Tree.batch(publisher.tree) as batch:
            for path, content in files:
                batch.put(path, content)
        honest(publisher, store, *rest)

    _replace(Publisher, "_publish_due", publish_due)


def no_sync() -> None:
    """Nothing is made durable. No kill shows it; the trace of system calls does."""
    from feedsync.outputs import batch

    _replace(batch, "_fsync", lambda _path: None)
    _replace(batch, "_syncfs", lambda _root: True)


def no_lock() -> None:
    """Passes of several processes run side by side."""
    from feedsync import store

    @contextlib.contextmanager
    def unlocked(*_arguments: Any, **_options: Any) -> Iterator[None]:
        yield

    _replace(store, "exclusive", unlocked)


def sync_normal() -> None:
    """The database promises less than it should. No kill shows it either."""
    from feedsync.store import database

    honest = database.open_engine

    def weaker(path: Path, *, writable: bool) -> Any:
        from sqlalchemy import event

        engine = honest(path, writable=writable)
        event.listen(engine, "connect", lambda raw, _record: raw.execute("PRAGMA synchronous = NORMAL"))
        return engine

    _replace(database, "open_engine", weaker)


MUTATIONS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        write_in_place,
        acknowledge_before_commit,
        no_dirty_mark,
        no_unique_key,
        no_sweeping,
        passing_ids,
        marks_before_files,
    )
}
"""Those a kill must show."""

UNSEEN: dict[str, Callable[[], None]] = {f.__name__: f for f in (no_sync, sync_normal, no_lock)}
"""Those that other tests must show."""


def apply(name: str) -> None:
    if name:
        (MUTATIONS | UNSEEN)[name]()
