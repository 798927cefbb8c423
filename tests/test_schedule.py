"""The schedule, with jobs that misbehave and clocks that jump."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent

from feedsync.cron import Cron, parse
from feedsync.schedule import Clock, Schedule


@dataclass(frozen=True)
class Source:
    name: str
    every_s: float = 0.05
    cron: Cron | None = None


class Bench:
    """A schedule whose scans are ours, and what it told."""

    def __init__(self) -> None:
        self.scans: dict[str, Callable[[], object]] = {}
        self.ran: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.failures: list[tuple[str, BaseException]] = []
        self.told = threading.Condition()
        self.schedule = Schedule(self._scan, self._fail, self._skip)

    def _scan(self, name: str) -> None:
        with self.told:
            self.ran[name] += 1
            self.told.notify_all()
        self.scans.get(name, int)()

    def _fail(self, name: str, error: BaseException) -> None:
        with self.told:
            self.failures.append((name, error))
            self.told.notify_all()

    def _skip(self, name: str) -> None:
        with self.told:
            self.skipped[name] += 1
            self.told.notify_all()

    def until(self, true: Callable[[], bool]) -> None:
        with self.told:
            assert self.told.wait_for(true, 20)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.schedule.stop()


@pytest.mark.parametrize(
    "kind", [RuntimeError, SystemExit, KeyboardInterrupt, MemoryError, RecursionError, GeneratorExit]
)
def test_a_scan_that_raises_is_told_and_runs_again(bench: Bench, kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind("出错了")

    bench.scans["bad"] = fail
    bench.schedule.plan([Source("bad"), Source("good")])
    bench.schedule.start()
    bench.until(lambda: len(bench.failures) >= 2 and bench.ran["good"] >= 3)
    assert {name for name, _ in bench.failures} == {"bad"}
    assert all(isinstance(error, kind) for _, error in bench.failures)


def test_a_scan_that_hangs_is_skipped_and_holds_up_no_other(bench: Bench) -> None:
    hanging = threading.Event()
    bench.scans["bad"] = lambda: hanging.wait(60)
    bench.schedule.plan([Source("bad"), *(Source(f"good{number}") for number in range(5))])
    bench.schedule.start()
    bench.until(lambda: bench.skipped["bad"] >= 3 and all(bench.ran[f"good{number}"] >= 3 for number in range(5)))
    assert bench.ran["bad"] == 1
    hanging.set()
    bench.until(lambda: bench.ran["bad"] >= 3)
    assert not bench.failures


def test_a_hundred_reloads_leave_one_job_a_source(bench: Bench) -> None:
    bench.schedule.plan([])
    bench.schedule.start()
    for number in range(100):
        bench.schedule.plan([Source("a", 3600), Source("b", 3600 + number), Source(f"c{number}", 3600)])
    assert set(bench.schedule.due()) == {"a", "b", "c99"}
    bench.until(lambda: bench.ran["b"] >= 1 and bench.ran["c99"] >= 1)
    bench.schedule.plan([Source("a", 3600)])
    assert set(bench.schedule.due()) == {"a"}
    assert bench.ran["a"] == 1  # what did not change is not scanned anew


def test_cron_says_when_and_not_before(bench: Bench) -> None:
    cron = parse("30 6 * * mon-fri")
    bench.schedule.plan([Source("timed", cron=cron), Source("other", 3600)])
    bench.schedule.start()
    bench.until(lambda: bench.ran["other"] == 1)
    assert bench.schedule.due()["timed"] == cron.next(datetime.now(UTC))
    bench.schedule.rearm()
    bench.until(lambda: bench.ran["other"] == 2)
    assert bench.ran["timed"] == 0


def test_a_clock_set_back_silences_nothing(bench: Bench) -> None:
    """As APScheduler sees it: after a clock was set back an hour, the next run is an hour away."""
    bench.schedule.plan([Source("a", 3600)])
    done = threading.Event()
    bench.schedule.start()
    bench.until(lambda: bench.ran["a"] == 1)
    bench.schedule.soon(done.set, after_s=3600)
    assert bench.schedule.due()["a"] > datetime.now(UTC) + timedelta(minutes=59)
    bench.schedule.rearm()
    bench.until(lambda: bench.ran["a"] == 2)
    assert done.wait(20)


def test_clocks_may_jump_while_work_is_being_done(bench: Bench) -> None:
    """What was to be put off no longer may be done, and gone, by then."""
    done = threading.Semaphore(0)
    bench.schedule.plan([Source("a", 3600)])
    bench.schedule.start()
    for _ in range(300):
        bench.schedule.soon(done.release)
        bench.schedule.rearm()
    for _ in range(300):
        assert done.acquire(timeout=20)
    bench.until(lambda: bench.ran["a"] >= 1)


def test_work_out_of_turn_keeps_its_order(bench: Bench) -> None:
    order: list[int] = []
    done = threading.Event()
    bench.schedule.start()
    for number in range(50):
        bench.schedule.soon(lambda number=number: order.append(number))  # type: ignore[misc]
    bench.schedule.soon(done.set)
    assert done.wait(20)
    assert order == list(range(50))


def test_the_clock_is_compared_with_one_that_nobody_sets() -> None:
    wall = iter([1000.0, 1010.0, 1020.5, 4630.5, 4640.0, 1040.0, 1050.0, 1060.0 + 86400])
    steady = iter([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0])
    clock = Clock(lambda: next(wall), lambda: next(steady))
    assert [clock.jump_s() for _ in range(7)] == [0, 0, 3600, 0, -3610, 0, 86400]


def test_it_shows_that_it_runs(bench: Bench) -> None:
    bench.schedule.start()
    assert bench.schedule.silent_s() < 60


def test_a_scan_asked_for_just_when_one_has_ended_is_not_lost(bench: Bench) -> None:
    """APScheduler counts a scan as running for a moment after it ended; what it then turns away comes again."""
    bench.schedule.plan([Source("slow", cron=parse("0 0 1 1 *", UTC))])
    bench.schedule.start()
    turned_away = JobSubmissionEvent(EVENT_JOB_MAX_INSTANCES, "slow", "default", [datetime.now(UTC)])
    bench.schedule._again.add("slow")
    bench.schedule._on_trouble(turned_away)
    assert not bench.skipped
    bench.until(lambda: bench.ran["slow"] == 1)
    assert "slow" not in bench.schedule._again
    bench.schedule._on_trouble(turned_away)
    assert bench.skipped == {"slow": 1}
