"""The parts of `make crash`: each runs by itself, as many at once as there are processors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.crash.harness import (
    STATES,
    at_every_call,
    at_every_change,
    at_every_change_of_a_word,
    at_every_failure,
    at_random,
    beside_a_busy_daemon,
    beside_a_daemon,
)
from tests.crash.mutations import MUTATIONS


@dataclass(frozen=True)
class Plan:
    """What to try, and with which seed."""

    seed: int
    runs: int
    rounds: int
    step: int
    mutation: str


Part = Callable[[Path, Plan], tuple[str, list[str]]]
"""What it was, in a line, and the problems."""


def parts(plan: Plan) -> Iterator[Part]:
    """The longest first, so that none is waited for alone."""
    if plan.step:
        yield from (partial(calls, state=state) for state in STATES)
        yield from (partial(changes, state=state) for state in STATES)
    if plan.runs:
        yield randoms
    if plan.step:
        yield words
        if not plan.mutation:
            yield failures
    if plan.rounds:
        yield daemons
        yield busy
    if not plan.mutation:
        yield from (partial(seeded, mutation=mutation) for mutation in MUTATIONS)


def calls(folder: Path, plan: Plan, *, state: tuple[int, int]) -> tuple[str, list[str]]:
    # A first pass without articles writes what the one with articles writes, and less.
    step = plan.step if any(state) else 4 * plan.step
    points, found = at_every_call(folder, plan.seed, plan.mutation, step=step, states=(state,))
    return f"{state[1]} new beside {state[0]}, before {points} system calls", found


def changes(folder: Path, plan: Plan, *, state: tuple[int, int]) -> tuple[str, list[str]]:
    # What it would be killed before is among the system calls, too; this is the quick way to seeded bugs.
    found = at_every_change(folder, plan.seed, plan.mutation, step=3 * plan.step, states=(state,))
    return f"{state[1]} new beside {state[0]}, before every third change Python makes", found


def words(folder: Path, plan: Plan) -> tuple[str, list[str]]:
    found = at_every_change_of_a_word(folder, plan.seed, step=2 * plan.step)
    return "before every second change of a withdrawal and a return", found


def failures(folder: Path, plan: Plan) -> tuple[str, list[str]]:
    points, found = at_every_failure(folder, plan.seed, step=3 * plan.step)
    return f"{points} calls that failed", found


def randoms(folder: Path, plan: Plan) -> tuple[str, list[str]]:
    looks, found = at_random(folder, plan.seed, plan.runs, plan.mutation)
    return f"{plan.runs} kills at random times, feeds read {looks} times", found


def daemons(folder: Path, plan: Plan) -> tuple[str, list[str]]:
    looks, found = beside_a_daemon(folder, plan.seed, plan.rounds, plan.mutation)
    return f"{plan.rounds} rounds beside a daemon, feeds read {looks} times", found


def busy(folder: Path, plan: Plan) -> tuple[str, list[str]]:
    return "50 times two passes beside a busy daemon", beside_a_busy_daemon(folder, plan.seed, 50)


def seeded(folder: Path, plan: Plan, *, mutation: str) -> tuple[str, list[str]]:
    """The harness itself is tried: a bug it does not find is its own."""
    if found := seen(at_every_change(folder, plan.seed, mutation, enough=1)):
        return f"seeded bug {mutation}: {found[0]}", []
    return f"seeded bug {mutation}", [f"the seeded bug {mutation} was not found"]


def seen(found: list[str]) -> list[str]:
    """The problems a kill has shown: a seeded bug that does not fit the program any more shows itself."""
    return [problem for problem in found if "it ended by itself with 70" not in problem]


def run(folder: Path, plan: Plan, say: Callable[[str], None]) -> list[str]:
    """All parts; the problems of all."""
    problems: list[str] = []
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        futures = [pool.submit(_timed, part, folder / str(number), plan) for number, part in enumerate(parts(plan))]
        for future in as_completed(futures):
            seconds, what, found = future.result()
            problems += found
            say(f"{what}: {len(found)} problems ({seconds:.0f} s)")
    return problems


def _timed(part: Part, folder: Path, plan: Plan) -> tuple[float, str, list[str]]:
    folder.mkdir()
    started = time.monotonic()
    what, found = part(folder, plan)
    return time.monotonic() - started, what, found
