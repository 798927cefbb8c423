"""One run's way into the store: its transactions, and the deciding between what arrived and what is known."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from feedsync.errors import Interrupted
from feedsync.parse import key_from_user
from feedsync.plan import decide
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import ExitStack
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from feedsync.model import Arrival, Change
    from feedsync.store import Reader, Store, Writer


class Request(Struct, frozen=True):
    """What a run is asked to do; by default, look at everything and take what is new."""

    full: bool = False
    dry_run: bool = False
    codes: tuple[str, ...] = ()
    paths: dict[str, frozenset[bytes]] | None = None
    """Only these paths of these sources: what a watcher saw."""
    read: bool = True
    """Read files."""
    fetch: bool = True
    """Fetch what has to be fetched."""
    stopping: Callable[[], bool] = bool
    """Asked between batches and every second of waiting; a run that is to stop raises Interrupted."""
    give_way: Callable[[], object] = lambda: None
    """Called now and then by what others need not wait for, while it keeps nobody from the store."""


class Progress(Struct):
    """Told how far a run is; does nothing by default."""

    start: Callable[[str, int | None], None] = lambda _what, _total: None
    step: Callable[[int], None] = lambda _count: None


def stop_if_asked(request: Request) -> None:
    """Raises Interrupted."""
    if request.stopping():
        raise Interrupted("the run was stopped", remedy="the rest follows with the next run")


class Ingest:
    """What a run has at hand while it takes documents in."""

    def __init__(
        self,
        store: Store,
        zone: ZoneInfo,
        request: Request,
        now: datetime,
        progress: Progress,
        stack: ExitStack,
    ) -> None:
        self.store = store
        self.zone = zone
        self.request = request
        self.now = now
        self.progress = progress
        self.keys = {code: key_from_user(code) for code in request.codes}
        self.found_keys: set[str | None] = set()
        self._stack = stack
        self._shared: Writer | None = None
        self._started = time.monotonic()

    def clock(self) -> datetime:
        """The time, counted from the beginning of the run: `now` may be given, and the clock may jump."""
        return self.now + timedelta(seconds=time.monotonic() - self._started)

    def writer(self) -> Writer:
        """The one transaction of a dry run, rolled back at its end."""
        if self._shared is None:
            self._shared = self._stack.enter_context(self.store.writing(discard=True))
        return self._shared

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        if self.request.dry_run:
            yield self.writer()
        else:
            with self.store.writing() as writer:
                yield writer

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A snapshot; in a dry run that has stored something, with that in it."""
        if self._shared is not None:
            yield self._shared
        else:
            with self.store.reading() as reader:
                yield reader

    def take(self, writer: Writer, arrivals: Mapping[str, list[Arrival]], defaults: Mapping[str, str]) -> list[Change]:
        """Decide what these documents (by the key of their article) mean, and store it.

        `defaults` maps each source to its default category.
        """
        known = writer.known(list(arrivals)) if arrivals else {}
        words = writer.words(list(arrivals))
        changes = [
            decide(known.get(key), arrived, defaults, self.now, words.get(key)) for key, arrived in arrivals.items()
        ]
        writer.apply(changes, self.now)
        self.note_found(arrivals)
        return changes

    def note_found(self, keys: Iterable[str]) -> None:
        """Articles that were found; remembered of those that were asked for, for there may be a million others."""
        if self.keys:
            self.found_keys.update(set(self.keys.values()).intersection(keys))

    def stop_if_asked(self) -> None:
        """Raises Interrupted."""
        stop_if_asked(self.request)

    def missing(self) -> list[str]:
        """The codes asked for that no source has."""
        return sorted(code for code, key in self.keys.items() if key not in self.found_keys)
