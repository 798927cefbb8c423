"""When sources are scanned: one APScheduler job each, on an interval or by a cron expression, in UTC.

Each job runs in a thread of its own, so that one which takes its time holds up no other; the store gives them
their turns. A job is never run twice at once, and what was missed is made up for by one run.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from feedsync.cron import Cron

    class Scheduled(Protocol):
        """What the schedule has to know of a source."""

        @property
        def name(self) -> str: ...
        @property
        def every_s(self) -> float: ...
        @property
        def cron(self) -> Cron | None: ...


log = logging.getLogger("feedsync.schedule")

_THREADS = 32
_PULSE = " pulse"
_PULSE_S = 5.0
_AGAIN_S = 0.05
_CLOCK_JUMP_S = 30.0

# What jobs raise, and that they were skipped, is told by us, once.
logging.getLogger("apscheduler.executors").setLevel(logging.CRITICAL)
logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)


class Schedule:
    """Calls `scan` with the name of a source whenever it is due, and `failed` with what that raised.

    `skipped` is called with the name of a source that is due while it is still being scanned.
    """

    def __init__(
        self,
        scan: Callable[[str], object],
        failed: Callable[[str, BaseException], None],
        skipped: Callable[[str], None],
    ) -> None:
        self._scan = scan
        self._failed = failed
        self._skipped = skipped
        self._planned: dict[str, Scheduled] = {}
        self._turns = threading.Lock()
        self._scanning: set[str] = set()
        self._again: set[str] = set()
        self._pulse = time.monotonic()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={
                "default": ThreadPoolExecutor(_THREADS),
                "soon": ThreadPoolExecutor(1),
                "pulse": ThreadPoolExecutor(1),
            },
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._on_trouble, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)

    def start(self) -> None:
        self._pulse = time.monotonic()  # what came before this is not its silence
        self._scheduler.add_job(
            self._beat, "interval", seconds=_PULSE_S, id=_PULSE, executor="pulse", replace_existing=True
        )
        self._scheduler.start()

    def stop(self) -> None:
        """Wait for what runs; nothing starts any more."""
        # Once no job is due, the scheduler's thread cannot stumble over its own shutdown.
        self._scheduler.remove_all_jobs()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def plan(self, sources: Iterable[Scheduled]) -> None:
        """These sources from now on. One that is new or changed is scanned now, unless cron says when."""
        planned = {source.name: source for source in sources}
        for name in self._planned.keys() - planned.keys():
            self._scheduler.remove_job(name)
        for name, source in planned.items():
            if self._planned.get(name) != source:
                self._arm(source)
        self._planned = planned

    def rearm(self) -> None:
        """After the wall clock was set: everything that waits for a time waits for another one now."""
        now = datetime.now(UTC)
        for job in self._scheduler.get_jobs():
            source = self._planned.get(job.id)
            cron = source.cron if source and job.next_run_time > now else None
            with contextlib.suppress(JobLookupError):  # it has just been done
                job.modify(next_run_time=cron.next(now) if cron else now)

    def soon(self, work: Callable[[], object], after_s: float = 0.0) -> None:
        """Do this once, in the order asked for, apart from the scans."""
        self._scheduler.add_job(
            work, "date", run_date=datetime.now(UTC) + timedelta(seconds=after_s), name="soon", executor="soon"
        )

    def often(self, work: Callable[[], object], every_s: float) -> None:
        """Do this again and again, in a thread of its own, at low urgency."""
        self._scheduler.add_job(work, "interval", seconds=every_s)

    def scan_now(self, name: str) -> None:
        """Let a source be scanned now, in a thread of its own; once more when it is just being scanned."""
        with self._turns:
            self._again.add(name)
            running = name in self._scanning
        if not running and (job := self._scheduler.get_job(name)):
            with contextlib.suppress(JobLookupError):  # it has just been taken out of the configuration
                job.modify(next_run_time=datetime.now(UTC))

    def _scan_until_done(self, name: str) -> None:
        """A scan, and another one if that was asked for while it ran."""
        with self._turns:
            self._scanning.add(name)
        try:
            while True:
                with self._turns:
                    self._again.discard(name)
                self._scan(name)
                with self._turns:
                    if name not in self._again:
                        self._scanning.discard(name)
                        return
        finally:
            with self._turns:
                self._scanning.discard(name)

    def due(self) -> dict[str, datetime]:
        """When each source is scanned next."""
        return {
            job.id: job.next_run_time
            for job in self._scheduler.get_jobs()
            if job.id in self._planned and job.next_run_time
        }

    def silent_s(self) -> float:
        """For how long the scheduler has not shown that it runs; a few seconds are usual."""
        return time.monotonic() - self._pulse

    def _arm(self, source: Scheduled) -> None:
        now = datetime.now(UTC)
        trigger = _CronTrigger(source.cron) if source.cron else IntervalTrigger(seconds=source.every_s, timezone=UTC)
        self._scheduler.add_job(
            self._scan_until_done,
            trigger,
            args=[source.name],
            id=source.name,
            next_run_time=source.cron.next(now) if source.cron else now,
            replace_existing=True,
        )

    def _beat(self) -> None:
        self._pulse = time.monotonic()

    def _on_trouble(self, event: JobExecutionEvent) -> None:
        name = event.job_id if event.job_id in self._planned else ""
        if event.code == EVENT_JOB_ERROR:
            self._failed(name, event.exception)
        elif name and not self._asked_too_soon(name):
            self._skipped(name)

    def _asked_too_soon(self, name: str) -> bool:
        """Whether a scan was asked for when one had ended and still counted; if so, it is asked for again."""
        with self._turns:
            lost = name in self._again and name not in self._scanning
        if lost and (job := self._scheduler.get_job(name)):
            with contextlib.suppress(JobLookupError):
                job.modify(next_run_time=datetime.now(UTC) + timedelta(seconds=_AGAIN_S))
        return lost


class _CronTrigger(BaseTrigger):  # type: ignore[misc]
    def __init__(self, cron: Cron) -> None:
        self._cron = cron

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return self._cron.next(now)


class Clock:
    """Notices when the wall clock was set, or the machine slept: it goes its way, the steady clock does not."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()

    def jump_s(self) -> int:
        """By how much the wall clock jumped since this was asked last; 0 for the small change of everyday."""
        jump = self._wall() - self._steady() - self._offset
        if abs(jump) < _CLOCK_JUMP_S:
            return 0
        self._offset += jump
        return round(jump)
