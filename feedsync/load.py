"""Read and parse files: here while there are few, in worker processes when there are many.

A worker process imports this module, the sources and the parser, and nothing else.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import threading
from collections import deque
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING

import msgspec

from feedsync.errors import Refused
from feedsync.model import Document, Parsed
from feedsync.parse import looks_unfinished, parse
from feedsync.sources import FileSource, Found, Stat, StillBeingWritten, printable, read
from feedsync.text import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from zoneinfo import ZoneInfo

log = logging.getLogger("feedsync.load")

_BATCH = 250
_WORKERS_FROM = 1500
"""Documents to read from which on worker processes pay for their start."""

_AHEAD = 8
"""Batches a worker process has before it, so that it never waits for the database."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a document was refused; see errors.Refused."""

    code: str
    reason: str
    remedy: str

    @classmethod
    def of(cls, refused: Refused) -> Refusal:
        return cls(refused.code, refused.message, refused.remedy)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What reading one file gave: an article, a refusal, neither when it is the same as before or not whole."""

    path: bytes
    stat: Stat | None
    digest: bytes
    parsed: Parsed | None = None
    refused: Refusal | None = None
    unfinished: bool = False
    gone: bool = False

    @property
    def location(self) -> str:
        return printable(self.path)


_packed = msgspec.msgpack.Encoder()
_unpacked = msgspec.msgpack.Decoder(list[Loaded])


@dataclass(frozen=True, slots=True)
class Task:
    """A file to read, and what it was when last read: its state, and the digest of its content.

    The digest is empty when it looked unfinished then, None when it was never read.
    """

    found: Found
    stat: Stat | None = None
    digest: bytes | None = None


def load_all(
    source: FileSource, zone: ZoneInfo, tasks: Iterator[Task], *, force: bool, patient: bool
) -> Iterator[list[Loaded]]:
    """Read and parse all of these files, in batches, in no order; see `load`."""
    work = partial(load_batch, source, zone, force=force, patient=patient)
    first = list(itertools.islice(tasks, _WORKERS_FROM))
    if len(first) < _WORKERS_FROM:
        for batch in _batched(first):
            yield work(batch)
        return
    batches = _batched(itertools.chain(first, tasks))
    workers = max(1, (os.cpu_count() or 1) - 1)
    with ProcessPoolExecutor(workers, get_context("spawn"), prepare_worker) as pool:
        waiting: deque[tuple[list[Task], Future[bytes]]] = deque()
        while True:
            for batch in itertools.islice(batches, _AHEAD * workers - len(waiting)):
                waiting.append((batch, _submitted(pool, work, batch)))
            if not waiting:
                return
            if not waiting[0][1].done() and (own := next(batches, [])):
                yield work(own)  # nothing is ready: this process takes a share, too
            else:
                yield _result(work, *waiting.popleft())


def load_batch(
    source: FileSource, zone: ZoneInfo, tasks: Sequence[Task], *, force: bool, patient: bool
) -> list[Loaded]:
    """Read and parse some files; see `load`."""
    return [load(source, zone, task, force=force, patient=patient) for task in tasks]


def _submitted(
    pool: ProcessPoolExecutor, work: Callable[[Sequence[Task]], list[Loaded]], batch: list[Task]
) -> Future[bytes]:
    try:
        return pool.submit(_load_packed, work, batch)
    except BrokenExecutor as error:
        broken: Future[bytes] = Future()
        broken.set_exception(error)
        return broken


def _result(work: Callable[[Sequence[Task]], list[Loaded]], batch: list[Task], future: Future[bytes]) -> list[Loaded]:
    try:
        return _unpacked.decode(future.result())
    except BrokenExecutor:  # the worker was killed: its share is done here
        return work(batch)


def _load_packed(work: Callable[[Sequence[Task]], list[Loaded]], tasks: Sequence[Task]) -> bytes:
    """What a worker process runs: its result is packed, for pickling it would cost as much as parsing."""
    return _packed.encode(work(tasks))


def load(source: FileSource, zone: ZoneInfo, task: Task, *, force: bool, patient: bool) -> Loaded:
    """Read and parse one file. Raises nothing that concerns the file alone.

    With `force`, also a file that did not change. A file that looks unfinished is taken when it stood still
    since the last pass; not when `patient`, for a watcher comes too often to conclude that.
    """
    found = task.found
    try:
        content, stat = read(source, found)
    except FileNotFoundError:
        return Loaded(found.path, None, b"", gone=True)
    except StillBeingWritten:
        return Loaded(found.path, None, b"", unfinished=True)
    except Refused as refused:
        # Not remembered by its stat: what is wrong may be the permissions, the disk or our own limit.
        return Loaded(found.path, None, b"", refused=Refusal.of(refused))
    hashed = digest(content)
    if task.digest == hashed and not force:
        return Loaded(found.path, stat, hashed)
    stood_still = not patient and task.digest == b"" and task.stat == stat
    if not stood_still and looks_unfinished(content):
        return Loaded(found.path, stat, b"", unfinished=True)
    location = found.location
    document = Document(source.name, location, location.rpartition("/")[2], content)
    try:
        return Loaded(found.path, stat, hashed, parsed=parse(document, zone))
    except Refused as refused:
        return Loaded(found.path, stat, hashed, refused=Refusal.of(refused))
    except (
        RecursionError,
        MemoryError,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        # A fault of ours, on input nobody thought of: it must not cost the other articles anything.
        log.exception("parser failed", extra={"fields": {"source": source.name, "file": location}})
        reason = f"the parser failed on it: {type(error).__name__}: {error}"
        return Loaded(
            found.path,
            stat,
            hashed,
            refused=Refusal("parser", reason[:300], "report this as a bug, with the file"),
        )


def prepare_worker() -> None:
    """What a worker process does first."""
    relax_collector()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker waits for work for ever when the process that gave it some was killed."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def relax_collector() -> None:
    """A pass makes many small values and no cycles: looking for cycles as often as usual costs a tenth of it."""
    gc.set_threshold(50_000, 20, 50)


def _batched(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    iterator = iter(tasks)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
