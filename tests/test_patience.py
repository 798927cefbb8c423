"""Reading that hangs is left behind, named, and taken up again when it comes back."""

import threading
from collections.abc import Iterator

import pytest

from feedsync.errors import Interrupted, SourceError
from feedsync.patience import Patience


def patience(source: str, timeout_s: float = 0.1) -> Patience:
    return Patience(source, timeout_s, lambda: None)


def test_what_hangs_is_left_behind_and_later_taken_up_again() -> None:
    disk = threading.Event()
    before = threading.active_count()

    def read(waiting: Patience) -> str:
        waiting.tell("网盘/a.md")
        disk.wait(60)
        return "content"

    first = patience("hanging")
    with pytest.raises(SourceError, match=r"source hanging: reading 网盘/a\.md hangs"):
        first.call(lambda: read(first))
    for _ in range(3):  # no further thread is spent on it
        with pytest.raises(SourceError, match=r"网盘/a\.md hangs"):
            patience("hanging", 60).call(lambda: "never asked")
        assert threading.active_count() == before + 1
    assert patience("another").call(lambda: "read") == "read"
    disk.set()
    while threading.active_count() > before:
        pass
    assert patience("hanging").call(lambda: "read again") == "read again"


def test_slow_is_not_hanging() -> None:
    waiting = patience("slow", 0.2)
    pause = threading.Event()

    def read() -> int:
        for number in range(6):
            waiting.tell(str(number))
            pause.wait(0.1)
        return 6

    assert waiting.call(read) == 6


def test_elements_come_in_order_and_a_fault_comes_through() -> None:
    assert list(patience("s").each(range(1300), str)) == list(range(1300))

    def broken() -> Iterator[int]:
        yield 1
        raise SourceError("gone")

    with pytest.raises(SourceError, match="gone"):
        list(patience("s").each(broken(), str))


def test_whoever_waits_can_be_told_to_stop() -> None:
    disk = threading.Event()

    def stop() -> None:
        raise Interrupted("stop")

    with pytest.raises(Interrupted):
        Patience("stopped", 60, stop).call(lambda: disk.wait(5))
    disk.set()
