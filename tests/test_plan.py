"""Merging forgets order; deciding remembers what readers were told."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from feedsync.model import Arrival, Attribution, Known, Moment, Origin, Outcome, Word
from feedsync.plan import decide, merge, revise, same_meaning
from feedsync.values import replace
from tests.conftest import START, post, read

CODE = "202503142600000001"
_TITLES = st.sampled_from(["标题", "另一标题", ""])
_BODIES = st.sampled_from(
    ["<p>正文。</p>", "<p>正文更长一些。</p>", "<p>正 文。</p>", "<p>正文。<img src='http://x/a.png'></p>", ""]
)
_DATES = st.sampled_from(["2025-03-14 10:00:00 +0800", "2025-03-14 09:00:00", " +0800", "2025-03-14"])
_CATEGORIES = st.sampled_from(["emnews", "meiti", ""])
_ATTRIBUTIONS = [
    None,
    Attribution("urn:a", "甲"),
    Attribution("urn:a", "甲", Moment(START, exact=True), "http://a.example/"),
    Attribution("urn:b", "乙"),
]


@st.composite
def documents(draw: st.DrawFn) -> Arrival:
    """A document of one and the same article, somewhere."""
    title, body = draw(_TITLES), draw(_BODIES)
    if not title and not body:
        title = "标题"
    text = post(CODE, title, body, draw(_DATES), draw(_CATEGORIES), draw(st.sampled_from(["甲报新闻", "乙报新闻"])))
    parsed = read(f"{CODE}.md", text)
    article = replace(parsed.article, attribution=draw(st.sampled_from(_ATTRIBUTIONS)))
    return Arrival(Origin("s", draw(st.sampled_from("abcdef"))), replace(parsed, article=article))


def distinct(arrivals: list[Arrival]) -> list[Arrival]:
    return list({arrival.origin: arrival for arrival in arrivals}.values())


@given(st.lists(documents(), min_size=1, max_size=5).map(distinct), st.randoms(use_true_random=False))
def test_merging_forgets_order_grouping_and_repetition(arrivals: list[Arrival], random: object) -> None:
    articles = [arrival.parsed.article for arrival in arrivals]
    whole = merge(articles)
    shuffled = articles * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge(shuffled) == whole
    assert merge([*articles, whole]).body == whole.body
    assert set(whole.urls) == {url for a in articles for url in a.urls}
    assert {c.term for c in whole.categories} == {c.term for a in articles for c in a.categories}


@given(st.lists(documents(), min_size=1, max_size=5).map(distinct), st.integers(0, 5))
def test_portions_and_passes_make_no_difference_but_the_trace_of_a_later_revision(
    arrivals: list[Arrival], cut: int
) -> None:
    defaults = {"s": "weifenlei"}
    whole = decide(None, arrivals, defaults, START).after
    first, second = arrivals[:cut], arrivals[cut:]

    def in_two(later: timedelta) -> Known:
        known = decide(None, first, defaults, START).after if first else None
        return decide(known, second, defaults, START + later).after if second else known  # type: ignore[return-value]

    portions, passes = in_two(timedelta()), in_two(timedelta(hours=1))
    assert portions == whole
    assert passes.article == whole.article
    assert passes.published == whole.published
    if passes.revised:
        assert passes.updated == START + timedelta(hours=1)
        assert not same_meaning(decide(None, first, defaults, START).after.article, whole.article)
    elif first:
        assert passes.updated == whole.updated


@given(documents(), documents())
def test_an_edit_in_place_replaces_but_never_empties(old: Arrival, new: Arrival) -> None:
    before = revise(None, old.parsed.article, "weifenlei")
    after = revise(before, new.parsed.article, "weifenlei")
    assert after.title.given or not before.title.given
    assert not after.body.empty or before.body.empty
    assert after.categories
    if before.published.exact:
        assert after.published == before.published
    if new.parsed.article.categories:
        assert after.categories == new.parsed.article.categories


def change(first: str, second: str) -> tuple[Known, Outcome]:
    origin = Origin("s", "a.md")
    known = decide(None, [Arrival(origin, read("a.md", first))], {}, START).after
    decided = decide(known, [Arrival(origin, read("a.md", second))], {}, START + timedelta(hours=1))
    return decided.after, decided.outcomes[origin]


def test_what_is_a_revision_and_what_is_not() -> None:
    base = post(body="<p>涨5.1%，报“收”1000元。</p>")
    for same in (
        base.replace("<p>", "<p><b>").replace("</p>", "</b></p>"),
        base.replace("涨5.1%，", "涨5.1%, "),
        base.replace("“收”", '"收"'),
        base.replace("//finews.example.org/emnews/", "../emnews/"),
        base.replace(" +0800", ""),
    ):
        after, outcome = change(base, same)
        assert after.revised is None
        assert outcome in (Outcome.UNCHANGED, Outcome.MERGED)
    for different in (base.replace("5.1", "51"), base.replace("标题", "新标题"), base.replace("1000元", "1001元")):
        after, outcome = change(base, different)
        assert after.updated == START + timedelta(hours=1)
        assert outcome is Outcome.REVISED


def test_updated_only_grows_when_the_clock_is_set_back() -> None:
    origin = Origin("s", "a.md")
    known = decide(None, [Arrival(origin, read("a.md", post()))], {}, START).after
    seen = [known.updated]
    for hours, body in ((3, "二"), (1, "三"), (-40, "四")):
        arrival = Arrival(origin, read("a.md", post(body=f"<p>{body}</p>")))
        known = decide(known, [arrival], {}, START + timedelta(hours=hours)).after
        seen.append(known.updated)
    assert seen == sorted(set(seen))


def test_a_time_in_the_future_is_never_shown_newer_than_the_arrival() -> None:
    known = decide(None, [Arrival(Origin("s", "a"), read("a.md", post(date="2099-01-01 00:00:00")))], {}, START).after
    assert known.published == known.updated == START
    assert known.article.published.at.year == 2098


def test_a_held_copy_gives_way_without_a_trace() -> None:
    blank = read(f"-{CODE}.md", post(title="", date=" +0800"))
    full = read(f"2025-03-14-{CODE}.md", post(title="标题"))
    known = decide(None, [Arrival(Origin("s", "blank"), blank)], {}, START).after
    assert known.article.held
    after = decide(known, [Arrival(Origin("s", "full"), full)], {}, START + timedelta(days=1)).after
    assert not after.article.held
    assert after.revised is None
    assert after.article.published == Moment(datetime.fromisoformat("2025-03-14T02:00:00+00:00"), exact=True)


def test_a_document_that_names_no_category_stands_in_the_default_one() -> None:
    none = Arrival(Origin("s", "a"), read("a.md", post(category="")))
    some = Arrival(Origin("s", "b"), read("b.md", post(category="emnews")))
    after = decide(None, [none, some], {"s": "weifenlei"}, START).after
    assert [c.term for c in after.article.categories] == ["emnews", "weifenlei"]


def test_the_attribution_stays_while_only_its_feed_goes_on() -> None:
    old = replace(read(f"{CODE}.md", post(CODE)).article, attribution=_ATTRIBUTIONS[2])
    later = replace(_ATTRIBUTIONS[2], updated=Moment(START + timedelta(hours=1), exact=True))  # type: ignore[type-var]
    assert revise(old, replace(old, attribution=later), "").attribution == old.attribution
    assert revise(old, replace(old, attribution=None), "").attribution == old.attribution
    assert revise(old, replace(old, attribution=_ATTRIBUTIONS[3]), "").attribution == _ATTRIBUTIONS[3]
    assert revise(replace(old, attribution=_ATTRIBUTIONS[1]), old, "").attribution == old.attribution


@given(
    st.lists(documents(), min_size=1, max_size=5).map(distinct),
    st.sets(st.sampled_from("abcdef")),
    st.sampled_from([None, 0, 2, 9]),
    st.randoms(use_true_random=False),
)
def test_a_withdrawal_holds_whenever_it_is_said(
    arrivals: list[Arrival], flags: set[str], said: int | None, random: object
) -> None:
    """By a document or by the operator (in pass `said`): whatever comes before it, with it, or after it."""
    flagged = [
        replace(a, parsed=replace(a.parsed, article=replace(a.parsed.article, withdrawn=a.origin.location in flags)))
        for a in arrivals
    ]
    random.shuffle(flagged)  # type: ignore[attr-defined]
    known: Known | None = None
    word = None
    shown_before = False
    for number, arrival in enumerate(flagged):
        now = START + timedelta(hours=number)
        if number == said:
            word = Word(True, now - timedelta(minutes=1), "错")
            known = decide(known, [], {}, word.at, word).after if known else None
        known = decide(known, [arrival], {}, now, word).after
        withdrawn = word is not None or any(a.origin.location in flags for a in flagged[: number + 1])
        assert (known.withdrawal is not None) == withdrawn
        if known.withdrawal:
            assert known.unseen != shown_before
        shown_before = shown_before or not withdrawn


def test_only_an_edit_overrules_a_restoration() -> None:
    def said(name: str, flag: bool) -> Arrival:
        text = post().replace("layout: post", f"withdrawn: {flag}".lower())
        return Arrival(Origin("s", name), read("a.md", text))

    word = Word(False, START)
    known = decide(None, [said("a", True)], {}, START, word).after
    for arrival, withdrawn in (
        (said("b", True), False),
        (said("a", True), False),
        (said("a", False), False),
        (said("a", True), True),
    ):
        change = decide(known, [arrival], {}, START + timedelta(hours=1), word)
        known = change.after
        assert (known.withdrawal is not None, change.overruled) == (withdrawn, withdrawn)
