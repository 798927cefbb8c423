"""`make crash`: everything, with its seed, which `--seed` gives again."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.mutations import MUTATIONS
from tests.crash.parts import Plan, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--runs", type=int, default=500, help="kills at random times")
    parser.add_argument("--rounds", type=int, default=20, help="rounds beside a daemon")
    parser.add_argument("--step", type=int, default=1, help="kill before every STEP-th call only")
    parser.add_argument("--mutation", default="", choices=["", *MUTATIONS], help="a seeded bug to look for instead")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)

    plan = Plan(options.seed, options.runs, options.rounds, options.step, options.mutation)
    with tempfile.TemporaryDirectory(prefix="feedsync-crash-") as folder:
        problems = run(Path(folder), plan, say)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems; again with --seed {options.seed}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
