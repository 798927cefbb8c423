"""Read and parse files: here while there are few, in worker processes when there are many.

This module needs the sources and the parser, and nothing else: it is the first that a worker process imports.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
import time
from collections import deque
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from feedsync.errors import Refused, SourceError
from feedsync.model import Document, Parsed
from feedsync.parse import looks_unfinished, parse
from feedsync.sources import FileSource, Found, Stat, StillBeingWritten, printable, read, scan
from feedsync.text import digest
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from zoneinfo import ZoneInfo

    from feedsync.patience import Patience
    from feedsync.workers import Workers

log = logging.getLogger("feedsync.load")

_T = TypeVar("_T")

_BATCH = 250
_PART = 50
"""Documents read ahead between two looks whether to stop."""

_AHEAD_BYTES = 16_000_000
"""So much is read ahead at most, for it is in memory at once when it is taken."""

_WORKERS_FROM = 1500
"""Documents to read from which on worker processes pay for their start."""

_POOL_TIMEOUTS = 10
"""A whole batch in a worker process may take so many times as long as a file."""

_AHEAD = 4
"""Batches a worker process has before it: it does not wait for the database, nor we much for it at the end.

What no worker has begun cannot be taken back: in Python 3.11, a cancelled future and a killed worker together
leave the other futures unanswered for ever.
"""


FAULTS = (RecursionError, MemoryError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError)
"""What a fault of ours may raise on input nobody thought of."""


class Refusal(Struct, frozen=True):
    """Why a document was refused; see errors.Refused."""

    code: str
    reason: str
    remedy: str

    @classmethod
    def of(cls, refused: Refused) -> Refusal:
        return cls(refused.code, refused.message, refused.remedy)


class Loaded(Struct, frozen=True):
    """What reading one file gave: an article, a refusal, neither when it is the same as before or not whole."""

    path: bytes
    stat: Stat | None
    digest: bytes
    parsed: Parsed | None = None
    refused: Refusal | None = None
    unfinished: bool = False
    gone: bool = False
    same: bool = False
    """Whether it was read though its content had not changed."""
    settled: bool = False
    """Whether a later change is sure to show in its stat: judged when it was read, which may be a while ago."""

    @property
    def location(self) -> str:
        return printable(self.path)


class Task(Struct, frozen=True):
    """A file to read, and what it was when last read: its state, and the digest of its content.

    The digest is empty when it looked unfinished then, None when it was never read.
    """

    found: Found
    stat: Stat | None = None
    digest: bytes | None = None


_packed = msgspec.msgpack.Encoder()
_unpacked = msgspec.msgpack.Decoder(list[Loaded])
_unpacked_tasks = msgspec.msgpack.Decoder(list[Task])


def load_all(
    source: FileSource,
    zone: ZoneInfo,
    tasks: Iterator[Task],
    patience: Patience,
    workers: Workers,
    *,
    force: bool,
    patient: bool,
) -> Iterator[list[Loaded]]:
    """Read and parse all of these files, in batches, in no order; see `load`. Raises SourceError when one hangs."""
    work = partial(load_batch, source, zone, force=force, patient=patient)

    def here(batch: list[Task]) -> list[Loaded]:
        return patience.call(partial(work, batch, tell=patience.tell))

    first = list(itertools.islice(tasks, _WORKERS_FROM))
    ahead = workers.begun(source.name)
    if len(first) < _WORKERS_FROM:
        for batch in _batched(first):
            yield here(batch)
        return
    workers.start()
    ready, first = _taken([] if force or patient else ahead, first)
    batches = _batched(itertools.chain(first, tasks))
    waiting: deque[tuple[list[Task], Future[str]]] = deque()
    all_given = False
    while True:
        for batch in itertools.islice(batches, _AHEAD * workers.count - len(waiting)):
            waiting.append((batch, workers.submit(_load_aside, workers.folder, work, _packed.encode(batch))))
        if not all_given and len(waiting) < _AHEAD * workers.count:
            all_given = True
            workers.make_ready()
        if ready:
            yield ready.pop()
            continue
        if not waiting:
            return
        own = [] if waiting[0][1].done() else next(batches, [])
        try:
            if own:  # nothing is ready: this process takes a share, too
                loaded = here(own)
            else:
                loaded = _result(here, *waiting.popleft(), patience, _POOL_TIMEOUTS * source.timeout_s)
        except SourceError:
            workers.kill()  # they hang as well, and nobody is to wait for them when it comes to drawing
            raise
        yield loaded


def is_much(found: Sequence[Found]) -> bool:
    """Whether a folder of which these are the first files holds so many that worker processes read them sooner."""
    return len(found) >= _WORKERS_FROM


def first_files(source: FileSource) -> list[Found]:
    """As many of the files of a folder as it takes to be many, in their order; none when it cannot be read."""
    try:
        return list(itertools.islice(scan(source), _WORKERS_FROM))
    except SourceError:
        return []


def load_ahead(source: FileSource, zone: ZoneInfo, found: Iterable[Found]) -> Iterator[bytes]:
    """Read and parse files as if nothing was known of them, in parts for `load_all`, if indeed nothing is."""
    size = 0
    for batch in _batched((Task(one) for one in found if one.stat), _PART):
        size += sum(task.found.stat.size for task in batch if task.found.stat)
        if size > _AHEAD_BYTES:
            return
        yield _packed.encode(load_batch(source, zone, batch, force=False, patient=False))


def _taken(parts: Iterable[bytes], tasks: Sequence[Task]) -> tuple[list[list[Loaded]], list[Task]]:
    """What was read ahead, in batches, of those files of which nothing is known and that did not change; the others."""
    done = {loaded.path: loaded for part in parts for loaded in _unpacked.decode(part)}
    ready: list[Loaded] = []
    others: list[Task] = []
    for task in tasks:
        loaded = done.get(task.found.path)
        if loaded and (loaded.parsed or loaded.refused) and task.digest is None and loaded.stat == task.found.stat:
            ready.append(loaded)
        else:
            others.append(task)
    return list(_batched(ready)), others


def load_batch(
    source: FileSource,
    zone: ZoneInfo,
    tasks: Sequence[Task],
    *,
    force: bool,
    patient: bool,
    tell: Callable[[str], None] = lambda _location: None,
) -> list[Loaded]:
    """Read and parse some files, of each of which `tell` is told before; see `load`."""
    loaded = []
    for task in tasks:
        tell(task.found.location)
        loaded.append(load(source, zone, task, force=force, patient=patient))
    return loaded


def _result(
    here: Callable[[list[Task]], list[Loaded]],
    batch: list[Task],
    future: Future[str],
    patience: Patience,
    timeout_s: float,
) -> list[Loaded]:
    try:
        patience.tell(f"one of {len(batch)} files from {batch[0].found.location} on")
        aside = Path(patience.wait(future, timeout_s))
        packed = aside.read_bytes()
        aside.unlink()
    except (BrokenExecutor, OSError):  # the worker was killed, or the disk is full: its share is done here
        return here(batch)
    return _unpacked.decode(packed)


def _load_aside(folder: str, work: Callable[[Sequence[Task]], list[Loaded]], tasks: bytes) -> str:
    """What a worker process runs: the path of its result.

    Tasks and result are packed, for pickling the result would cost as much as parsing; and it is left in a file, for
    in a pipe, which holds little, the worker would wait until we have time to read.
    """
    descriptor, path = tempfile.mkstemp(dir=folder)
    with open(descriptor, "wb") as aside:
        aside.write(_packed.encode(work(_unpacked_tasks.decode(tasks))))
    return path


def load(source: FileSource, zone: ZoneInfo, task: Task, *, force: bool, patient: bool) -> Loaded:
    """Read and parse one file. Raises nothing that concerns the file alone.

    With `force`, also a file that did not change. A file that looks unfinished is taken when it stood still
    since the last pass; not when `patient`, for a watcher comes too often to conclude that.
    """
    found = task.found
    began_ns = time.time_ns()
    try:
        content, stat = read(source, found)
    except FileNotFoundError:
        return Loaded(found.path, None, b"", gone=True)
    except StillBeingWritten:
        return Loaded(found.path, None, b"", unfinished=True)
    except Refused as refused:
        # Not remembered by its stat: what is wrong may be the permissions, the disk or our own limit.
        return Loaded(found.path, None, b"", refused=Refusal.of(refused))
    hashed, settled = digest(content), stat.settled(began_ns)
    if task.digest == hashed and not force:
        return Loaded(found.path, stat, hashed, settled=settled)
    stood_still = not patient and task.digest == b"" and task.stat == stat
    if not stood_still and looks_unfinished(content):
        return Loaded(found.path, stat, b"", unfinished=True)
    location = found.location
    document = Document(source.name, location, location.rpartition("/")[2], content)
    try:
        parsed = parse(document, zone)
        return Loaded(found.path, stat, hashed, parsed, same=task.digest == hashed, settled=settled)
    except Refused as refused:
        return Loaded(found.path, stat, hashed, refused=Refusal.of(refused), settled=settled)
    except FAULTS as error:
        # A fault of ours, on input nobody thought of: it must not cost the other articles anything.
        log.exception("parser failed", extra={"fields": {"source": source.name, "file": location}})
        reason = f"the parser failed on it: {type(error).__name__}: {error}"
        return Loaded(
            found.path,
            stat,
            hashed,
            refused=Refusal("parser", reason[:300], "report this as a bug, with the file"),
            settled=settled,
        )


def _batched(items: Iterable[_T], size: int = 0) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size or _BATCH)):
        yield batch
