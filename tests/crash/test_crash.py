"""A short form of `make crash`; `python -m tests.crash --seed N` gives the long one."""

import shutil
from pathlib import Path

import pytest

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
from tests.crash.parts import seen

SEED = 20260301


def test_a_pass_killed_before_any_change_loses_nothing(tmp_path: Path) -> None:
    assert at_every_change(tmp_path, SEED, step=31) == []


def test_a_withdrawal_killed_before_any_change_is_whole_after_the_next_pass(tmp_path: Path) -> None:
    assert at_every_change_of_a_word(tmp_path, SEED, step=23) == []


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not here")
def test_a_pass_killed_before_any_system_call_loses_nothing(tmp_path: Path) -> None:
    points, problems = at_every_call(tmp_path, SEED, step=113)
    assert problems == []
    assert points > 20


def test_a_pass_killed_at_a_random_time_loses_nothing(tmp_path: Path) -> None:
    looks, problems = at_random(tmp_path, SEED, 8)
    assert problems == []
    assert looks > 0


def test_a_daemon_and_a_pass_beside_it_killed_at_random_times_lose_nothing(tmp_path: Path) -> None:
    looks, problems = beside_a_daemon(tmp_path, SEED, 2)
    assert problems == []
    assert looks > 0


def test_two_passes_at_once_beside_a_busy_daemon_lose_nothing(tmp_path: Path) -> None:
    assert beside_a_busy_daemon(tmp_path, SEED, 3) == []


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not here")
def test_a_call_that_fails_is_one_clear_error_and_no_loss(tmp_path: Path) -> None:
    points, problems = at_every_failure(tmp_path, SEED, step=113)
    assert problems == []
    assert points > 5


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_harness_finds_a_seeded_bug(tmp_path: Path, mutation: str) -> None:
    assert seen(at_every_change(tmp_path, SEED, mutation, step=4, enough=1)) != []
