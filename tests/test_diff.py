"""What changed, as people are shown it: complete, readable, and bounded."""

import random
import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from feedsync.feeds.diff import MAX_EDITS, Kind, Piece, Version, compare, edits
from feedsync.text import normalise
from tests.conftest import START

_TEXTS = st.text(alphabet="涨跌5.1%，,。 \n的股ab", max_size=60)


def told(pieces: tuple[Piece, ...]) -> str:
    marks = {Kind.SAME: "{}", Kind.DELETED: "[-{}-]", Kind.INSERTED: "{{+{}+}}", Kind.GAP: "…"}
    return "".join(marks[piece.kind].format(piece.text) for piece in pieces)


def both(pieces: tuple[Piece, ...]) -> tuple[str, str]:
    """The texts that were compared, as far as they matter."""
    old = "".join(p.text for p in pieces if p.kind is not Kind.INSERTED)
    new = "".join(p.text for p in pieces if p.kind is not Kind.DELETED)
    return normalise(old), normalise(new)


def test_it_reads_as_people_would_mark_it() -> None:
    for old, new, marked in (
        ("涨5.1%，报10元。", "涨51%，报10元。", "涨[-5.1%-]{+51%+}，报10元。"),
        ("中国人寿上涨", "中国人寿大跌", "中国人寿[-上涨-]{+大跌+}"),
        ("收于１，０００元", "收于1,001元", "收于[-１，０００-]{+1,001+}元"),
        ("甲。", "甲。乙。", "甲。{+乙。+}"),
        ("Apple fell today", "Apple rose today", "Apple[- fell-]{+ rose+} today"),
        ("甲" * 100 + "错" + "乙" * 100, "甲" * 100 + "对" + "乙" * 100, f"…{'甲' * 24}[-错-]{{+对+}}{'乙' * 24}…"),
        ("", "新文", "{+新文+}"),
        ("第一句。\n第二句。", "第一句，第二句!", "第一句[-。-]{+，+}\n第二句[-。-]{+!+}"),
    ):
        assert told(compare(old, new)).replace("\n", "") == marked.replace("\n", "")


@given(_TEXTS, _TEXTS)
def test_nothing_is_left_out_and_nothing_invented(old: str, new: str) -> None:
    pieces = compare(old, new, whole=True)
    assert both(pieces) == ((normalise(old), normalise(new)) if pieces else ("", ""))
    assert bool(pieces) == (normalise(old) != normalise(new))
    assert not any(one.kind is other.kind for one, other in pairwise(pieces))
    assert all(piece.text for piece in pieces)


@given(_TEXTS)
def test_white_space_and_widths_are_no_change(text: str) -> None:
    wide = text.replace(",", "，").replace("%", "％").replace("5", "５")
    assert compare(text, " \n".join(wide)) == ()
    changed = [(p.kind, p.text.strip()) for p in compare(text + "完", wide + "终") if p.kind is not Kind.SAME]
    assert [one for one in changed if one[0] is not Kind.GAP] == [(Kind.DELETED, "完"), (Kind.INSERTED, "终")]


def test_huge_texts_take_little_time_and_room() -> None:
    chance = random.Random(7)
    sentences = ["".join(chance.choices("的是在不了有和人这中", k=30)) + "。" for _ in range(1800)]
    changed = [s if chance.random() < 0.9 else s[:10] + "改" + s[11:] for s in sentences]
    flat = "".join(chance.choices("的是", k=60_000))
    other = "".join(chance.choices("的是", k=60_000))
    for old, new in (
        ("".join(sentences), "".join(changed)),
        (flat, other),
        ("。" * 100_000, "的。" * 100_000),
        ("".join(chance.choices("的是", k=540)), "".join(chance.choices("的是", k=540))),
        ("甲" + " " * 200_000, " " * 200_000 + "乙" + "\n" * 200_000),
    ):
        started = time.process_time()
        pieces = compare(old, new)
        assert time.process_time() - started < 5
        assert pieces
        assert sum(len(piece.text) for piece in pieces) < 100_000
        whole = compare(old, new, whole=True)
        assert both(whole) == (normalise(old), normalise(new))
    scattered = compare("".join(sentences), "".join(changed), whole=True)
    assert sum(len(p.text) for p in scattered if p.kind is Kind.SAME) > 0.8 * 31 * 1800


def test_edits_are_told_newest_first_and_not_for_ever() -> None:
    versions = [Version(START.replace(minute=n), f"标题{n}", f"正文{n % 2}") for n in range(40)]
    told_edits = edits(versions)
    assert len(told_edits) == MAX_EDITS
    assert told_edits[0].at == versions[-1].at
    assert [piece.text for piece in told_edits[0].title] == ["标题", "38", "39"]
    assert edits(versions[:1]) == ()
    only_title = edits([versions[0], Version(START, "改", versions[0].text)])
    assert only_title[0].text == ()
