"""When two texts say the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feedsync.text import normalise

FULL_WIDTH = {chr(0xFF01 + offset): chr(0x21 + offset) for offset in range(94)}
MARKS = dict(zip("“”„‟‘’‚‛｡､･", "\"\"\"\"''''。、・", strict=True))
PLAIN = str.maketrans(FULL_WIDTH | MARKS)
NEAR = "\uff00\uff5f\uff61\uff64\uff65\uffe0\u2014\u2026\u2017\u2020\u2018中国，。abc \u3000\n"


@given(st.text(st.sampled_from([*FULL_WIDTH, *MARKS, *NEAR]) | st.characters(codec="utf-8"), max_size=40))
def test_marks_of_whatever_width_say_the_same(text: str) -> None:
    assert normalise(text) == "".join(text.translate(PLAIN).split())


def test_each_mark_alone_is_found() -> None:
    assert [normalise(f"中{mark}国") for mark in FULL_WIDTH | MARKS] == [
        f"中{plain}国" for plain in (FULL_WIDTH | MARKS).values()
    ]
