"""The targets of `make fuzz`, fed by hypothesis, and by everything that was ever found."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.fuzz.__main__ import WORDS
from tests.fuzz.targets import TARGETS

FOUND = sorted(path for path in (Path(__file__).parent / "found").glob("*") if path.is_file())

SCRAPS = st.lists(
    st.sampled_from(WORDS)
    | st.text(max_size=12)
    | st.sampled_from(["\n", " ", "\r\n", "\t", ":", "<", ">", "/", '"', "'"]),
    max_size=30,
).map(lambda parts: "".join(parts).encode("utf-8", "replace"))


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@given(data=SCRAPS | st.binary(max_size=200))
@settings(max_examples=60)
def test_anything_is_read_or_refused(target: Callable[[bytes], None], data: bytes) -> None:
    target(data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_was_found_stays_mended(target: Callable[[bytes], None]) -> None:
    for path in FOUND:
        target(path.read_bytes())
    for line in (ROOT / "tests/hostile/payloads.txt").read_bytes().splitlines():
        target(line)
