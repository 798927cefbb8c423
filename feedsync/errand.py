"""One source's fetching in one run: what is due, what was asked, what came, and what has to be remembered of it."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING

from feedsync.model import Arrival, Origin
from feedsync.plan import revise
from feedsync.report import Fault
from feedsync.sources.address import shown
from feedsync.sources.client import Client, Host
from feedsync.sources.exchange import Answer, Ask, Spent
from feedsync.sources.freshness import back_off
from feedsync.store import Fetches, FetchRow, HostRow
from feedsync.text import digest
from feedsync.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from feedsync.errors import Refused
    from feedsync.ingest import Ingest
    from feedsync.model import Known, Parsed
    from feedsync.report import SourceReport
    from feedsync.sources import FetchPolicy
    from feedsync.sources.fault import FetchFault
    from feedsync.store import Writer

log = logging.getLogger("feedsync.fetch")

_BATCH = 200
_FLUSH_S = 0.5
"""What came is stored this soon, or when there is this much of it."""

_GONE = timedelta(days=30)
"""A URL that is gone for good (410) is asked again this late, for even servers err."""


class Errand:
    """Sent out for one source; brings documents, keeps the books."""

    def __init__(
        self,
        ingest: Ingest,
        name: str,
        policy: FetchPolicy,
        default_category: str,
        report: SourceReport,
        *,
        lock: Callable[[], AbstractContextManager[None]],
        stored: Callable[[], None],
    ) -> None:
        """`lock` gives the right to store; `stored` is called after something was."""
        self.ingest = ingest
        self.name = name
        self.report = report
        self.spent = Spent()
        self._policy = policy
        self._default_category = default_category
        self._lock = nullcontext if ingest.request.dry_run else lock
        self._stored = stored
        with ingest.reading() as reader:
            self.source_id = reader.find_source(name)
            self.rows = Fetches(reader.connection).rows(self.source_id) if self.source_id is not None else {}
            self._hosts = {
                row.origin: Host(row.robots, row.robots_until, row.failures, row.due)
                for row in Fetches(reader.connection).hosts()
            }
        self._arrivals: dict[str, list[Arrival]] = defaultdict(list)
        self._rows: dict[str, FetchRow] = {}
        self._forgotten: set[str] = set()
        self._flushed = time.monotonic()
        self._succeeded = False

    @property
    def forced(self) -> bool:
        """Whether back-off and former answers are to be ignored, because somebody asked for that."""
        return self.ingest.request.full or bool(self.ingest.request.codes)

    def due(self, location: str) -> bool:
        """Whether a URL may be asked now. One that failed and has to wait counts as failed."""
        row = self.rows.get(location)
        if row is None or self.forced or row.due <= self.ingest.clock():
            return True
        if row.failures:
            self.report.failed += 1
            self.report.faults.append(Fault(row.url, "waiting", row.fault or "", row.due))
        return False

    def ask(self, location: str, url: str, *, conditional: bool = True) -> Ask:
        """A request for a URL, conditional on what is known of it."""
        row = self.rows.get(location)
        if row is None or not conditional or self.forced or row.url != shown(url):
            return Ask(location, url, forced=self.forced)
        return Ask(location, url, row.etag, row.last_modified)

    def answers(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Send them all; yields what is good (a body, or word that nothing changed) and books what is not."""
        if not asks:
            return
        self.ingest.progress.start(self.name, len(asks))
        with Client(self.name, self._policy, self._hosts, self.ingest.clock) as client:
            try:
                for answer in client.answers(asks):
                    if answer is not None:
                        self.ingest.progress.step(1)
                        if answer.fault or answer.deferred:
                            self._troubled(answer)
                        else:
                            yield answer
                    self._flush_sometimes()
                    self.ingest.stop_if_asked()
            finally:
                self._hosts = dict(client.hosts)
                self.spent.requests += client.spent.requests
                self.spent.bytes += client.spent.bytes

    def same(self, answer: Answer) -> bool:
        """Whether a body is the one that was taken last time."""
        row = self.rows.get(answer.ask.name)
        return row is not None and not self.forced and row.digest == digest(answer.content)

    def succeed(self, answer: Answer, again: timedelta, documents: int | None = None) -> None:
        """Book an answer that was taken: its validators, and when to ask again at the earliest."""
        self._succeeded = True
        now = self.ingest.clock()
        former = self.rows.get(answer.ask.name)
        self._keep(
            FetchRow(
                answer.ask.name,
                shown(answer.ask.url),
                now + max(again, answer.fresh_for),
                answer.etag,
                answer.last_modified,
                former.digest if answer.unchanged and former else digest(answer.content),
                documents if documents is not None else former.documents if former else 0,
                now,
            )
        )

    def fail(self, location: str, url: str, code: str, reason: str, fault: FetchFault | None = None) -> None:
        """Book a URL that brought nothing: leave it alone for a while, longer with each failure in a row."""
        now = self.ingest.clock()
        former = self.rows.get(location)
        failures = (former.failures if former else 0) + 1
        pause = back_off(failures, int.from_bytes(digest(url)[:4], "big"))
        if fault and fault.status == 410:
            pause = _GONE
        elif fault and fault.retry_after:
            pause = max(pause, fault.retry_after)
        row = replace(former or FetchRow(location, shown(url), now), due=now + pause, failures=failures, fault=reason)
        # What failed is asked for whole next time: the former copy it could be compared with was not taken.
        self._keep(replace(row, etag="", last_modified="", digest=b"") if not fault else row)
        self.tell(shown(url), code, reason, row.due)

    def refuse(self, location: str, url: str, refused: Refused) -> None:
        """Book a body that cannot become an article."""
        self.fail(location, url, refused.code, str(refused))

    def forget(self, location: str) -> None:
        """Nothing needs to be remembered of this URL any more."""
        if location in self.rows:
            self._forgotten.add(location)

    def arrive(self, location: str, parsed: Parsed) -> None:
        """A document has come."""
        for remark in parsed.remarks:
            log.warning("remark", extra={"fields": {"source": self.name, "url": location, "remark": remark}})
        self._succeeded = True
        self._arrivals[parsed.article.key].append(Arrival(Origin(self.name, location), parsed))

    def flush(self) -> None:
        """Store what has come, and what has to be remembered."""
        self._flushed = time.monotonic()
        if not (self._arrivals or self._rows or self._forgotten):
            return
        arrivals, self._arrivals = self._arrivals, defaultdict(list)
        rows, self._rows = self._rows, {}
        forgotten, self._forgotten = self._forgotten, set()
        with self._lock(), self.ingest.writing() as writer:
            source_id = self._id(writer)
            news = self._news(writer.known(list(arrivals)) if arrivals else {}, arrivals)
            changes = self.ingest.take(writer, news, {self.name: self._default_category}) if news else []
            fetches = Fetches(writer.connection)
            fetches.put(source_id, rows.values())
            fetches.forget(source_id, sorted(forgotten))
        self.ingest.note_found(arrivals)
        for change in changes:
            for outcome in change.outcomes.values():
                self.report.count(outcome)
        self._stored()

    def close(self, error: str | None) -> None:
        """Store the rest, what is known of hosts, what it cost, and how it ended.

        A source of which some URLs failed and others did not has succeeded, with an error worth telling.
        """
        self.flush()
        hosts = [
            HostRow(origin, host.robots, host.robots_until, host.failures, host.due)
            for origin, host in self._hosts.items()
            if host.changed
        ]
        with self._lock(), self.ingest.writing() as writer:
            source_id = self._id(writer)
            Fetches(writer.connection).put_hosts(hosts)
            Fetches(writer.connection).spend(source_id, self.spent.requests, self.spent.bytes)
            if self.spent.requests or error:
                writer.record_run(self.name, self.ingest.now, error, succeeded=error is None or self._succeeded)
        self.report.requests, self.report.bytes = self.spent.requests, self.spent.bytes

    def _id(self, writer: Writer) -> int:
        if self.source_id is None:
            self.source_id = writer.source_id(self.name)
        return self.source_id

    def _news(self, known: Mapping[str, Known], arrivals: Mapping[str, list[Arrival]]) -> dict[str, list[Arrival]]:
        """The documents that say something else than they did; the others are counted as unchanged."""
        news: dict[str, list[Arrival]] = {}
        for key, arrived in arrivals.items():
            said = known[key].documents if key in known else {}
            for arrival in arrived:
                old = said.get(arrival.origin)
                if old is not None and revise(old, arrival.parsed.article, self._default_category) == old:
                    self.report.unchanged += 1
                else:
                    news.setdefault(key, []).append(arrival)
        return news

    def _flush_sometimes(self) -> None:
        if self.ingest.request.dry_run:
            return  # its transaction must not stand open while others wait for servers
        waiting = len(self._rows) + len(self._arrivals)
        if waiting >= _BATCH or (waiting and time.monotonic() - self._flushed > _FLUSH_S):
            self.flush()

    def _troubled(self, answer: Answer) -> None:
        if answer.fault:
            self.fail(answer.ask.name, answer.ask.url, answer.fault.code, str(answer.fault), answer.fault)
        elif answer.deferred:
            row = self.rows.get(answer.ask.name)
            reason = (
                f"its host is left alone after failures ({row.fault})"
                if row and row.fault
                else ("its host is left alone after failures")
            )
            self.tell(shown(answer.ask.url), "waiting", reason, answer.deferred)

    def tell(self, url: str, code: str, reason: str, due: datetime | None = None) -> None:
        """Report something that brought nothing, without a row of its own."""
        due = due or self.ingest.clock()
        self.report.failed += 1
        self.report.faults.append(Fault(url, code, reason, due))
        fields = {"source": self.name, "url": url, "code": code, "reason": reason, "due": f"{due:%Y-%m-%dT%H:%M:%SZ}"}
        log.warning("fetch failed", extra={"fields": fields})

    def _keep(self, row: FetchRow) -> None:
        self.rows[row.location] = self._rows[row.location] = row
        self._forgotten.discard(row.location)
