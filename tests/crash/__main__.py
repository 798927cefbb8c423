"""`make crash`: everything, with its seed, which `--seed` gives again."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.harness import (
    at_every_call,
    at_every_change,
    at_every_change_of_a_word,
    at_every_failure,
    at_random,
    beside_a_busy_daemon,
    beside_a_daemon,
)
from tests.crash.mutations import MUTATIONS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--runs", type=int, default=500, help="kills at random times")
    parser.add_argument("--rounds", type=int, default=20, help="rounds beside a daemon")
    parser.add_argument("--step", type=int, default=1, help="kill before every STEP-th call only")
    parser.add_argument("--mutation", default="", choices=["", *MUTATIONS], help="a seeded bug to look for instead")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    problems: list[str] = []
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="feedsync-crash-") as name:
        folder = Path(name)
        if options.runs:
            looks, found = at_random(folder, options.seed, options.runs, options.mutation)
            problems += found
            say(f"{options.runs} kills at random times, feeds read {looks} times: {len(found)} problems")
        if options.rounds:
            looks, found = beside_a_daemon(folder, options.seed, options.rounds, options.mutation)
            problems += found
            say(f"{options.rounds} rounds beside a daemon, feeds read {looks} times: {len(found)} problems")
            found = beside_a_busy_daemon(folder, options.seed, 50)
            problems += found
            say(f"50 times two passes beside a busy daemon: {len(found)} problems")
        if options.step:
            found = at_every_change(folder, options.seed, options.mutation)
            problems += found
            say(f"before every change Python makes: {len(found)} problems")
            found = at_every_change_of_a_word(folder, options.seed)
            problems += found
            say(f"before every change of a withdrawal and a return: {len(found)} problems")
            points, found = at_every_call(folder, options.seed, options.mutation, step=options.step, say=say)
            problems += found
            say(f"before {points} system calls: {len(found)} problems")
        if options.step and not options.mutation:
            points, found = at_every_failure(folder, options.seed, step=2 * options.step, say=say)
            problems += found
            say(f"{points} calls that failed: {len(found)} problems")
        if not options.mutation:
            for mutation in MUTATIONS:
                found = at_every_change(folder, options.seed, mutation, enough=1)
                say(f"seeded bug {mutation}: {found[0] if found else 'NOT FOUND'}")
                if not found:
                    problems.append(f"the seeded bug {mutation} was not found")
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems; again with --seed {options.seed}")
    return 1 if problems else 0


sys.exit(main())
