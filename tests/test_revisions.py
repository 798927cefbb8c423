"""Which changes are revisions, and what readers are shown of them."""

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html

from feedsync.feeds import Window
from feedsync.model import Arrival, Origin
from feedsync.plan import decide, same_meaning
from feedsync.publish import Publisher
from feedsync.values import replace
from feedsync.why import judge
from tests.conftest import START, Desk, post, read
from tests.test_sync import check

CODE, OTHER = "202503142600000001", "202503142600000002"
PAGE = f"article/{CODE}.html"
_SENTENCES = st.lists(
    st.text(alphabet="中国人寿涨跌报收元，：（）“”%.,0123456789", min_size=1, max_size=20).filter(
        lambda text: any(c.isalnum() for c in text)
    ),
    min_size=1,
    max_size=4,
)
_WIDE = str.maketrans("，：（）", ",:()")
_COSMETICS: dict[str, Any] = {
    "markup": lambda body, _: body.replace("<p>", "<p><strong>").replace("</p>", "</strong></p>"),
    "white space": lambda body, _: body.replace("</p><p>", " </p>\n\n<p>　　"),
    "width": lambda body, _: body.translate(_WIDE),
    "quotes": lambda body, _: body.replace("“", '"').replace("”", '"'),
    "full-width digits": lambda body, _: body.replace("5", "５"),
    "keyword links": lambda body, _: body.replace(
        "中国",
        '<span id="stock_1.601628"><a class="keytip" href="http://quote.example.com/sh601628.html">中国</a></span>',
    ),
    "chart tokens": lambda body, _: body + "<p><!--EM_StockImg_Start--><!--EM_StockImg_End--></p>",
    "footer": lambda _, text: text.replace("[返回首页]", "[回到首页]"),
}


@given(_SENTENCES, st.sampled_from(sorted(_COSMETICS)))
def test_what_carries_no_meaning_is_no_revision(sentences: list[str], name: str) -> None:
    body = "".join(f"<p>{sentence}</p>" for sentence in sentences)
    text = post(body=body)
    change = _COSMETICS[name](body, text)
    other = change if change.startswith("---") else post(body=change)
    one, two = read("a.md", text), read("a.md", other)
    assert same_meaning(one.article, two.article), (one.html, two.html)
    origin = Origin("s", "a.md")
    known = decide(None, [Arrival(origin, one)], {}, START).after
    assert decide(known, [Arrival(origin, two)], {}, START + timedelta(hours=1)).after.updated == known.updated


@given(_SENTENCES, st.data())
def test_every_changed_digit_is_a_revision(sentences: list[str], data: st.DataObject) -> None:
    sentences = [*sentences, "报收10.5元"]
    text = "|".join(sentences)
    spot = data.draw(st.sampled_from([i for i, c in enumerate(text) if c.isdigit()]))
    changed = text[:spot] + str((int(text[spot]) + 1) % 10) + text[spot + 1 :]
    one, two = (post(body="".join(f"<p>{s}</p>" for s in t.split("|"))) for t in (text, changed))
    origin = Origin("s", "a.md")
    known = decide(None, [Arrival(origin, read("a.md", one))], {}, START).after
    after = decide(known, [Arrival(origin, read("a.md", two))], {}, START + timedelta(hours=1)).after
    assert after.updated == START + timedelta(hours=1)
    assert after.published == known.published


def history(desk: Desk, name: str = "all.atom") -> dict[str, list[str]]:
    feed = etree.fromstring(desk.atom(name).encode())
    atom = "{http://www.w3.org/2005/Atom}"
    return {
        entry.findtext(f"{atom}id").rpartition("/")[2]: [
            link.get("href") for link in entry.iter(f"{atom}link") if link.get("rel") == "version-history"
        ]
        for entry in feed.iter(f"{atom}entry")
    }


def test_the_page_tells_what_changed_and_the_entry_leads_there(desk: Desk) -> None:
    desk.put("a.md", post(CODE, "旧标题", body="<p>涨5.1%，报“收”10元。</p>"))
    desk.put("b.md", post(OTHER))
    desk.run()
    assert history(desk) == {CODE: [], OTHER: []}
    assert b"revisions" not in (desk.tree.root / PAGE).read_bytes()
    desk.put("a.md", post(CODE, "旧标题", body="<p>涨51%，报<b>收</b>“收”10元。</p>"))
    desk.run()
    desk.put("a.md", post(CODE, "新<标题", body="<p>涨51%，报<b>收</b>“收”10元。</p>"))
    desk.run()
    (address,) = history(desk)[CODE]
    assert address == f"http://127.0.0.1:8080/{PAGE}#revisions"
    assert history(desk)[OTHER] == []
    page = html.fromstring((desk.tree.root / PAGE).read_bytes())
    (section,) = page.xpath("//*[@id='revisions']")
    assert [e.text for e in section.iter("del", "ins")] == ["旧", "新<", "5.1%", "51%", "收"]
    assert len(section.xpath(".//time")) == 2
    check(desk)
    desk.put("a.md", post(CODE, "新<标题", body='<p>涨51%, 报<i>收</i>"收"10元。</p>'))
    report = desk.run()
    assert report.sources["articles"].revised == 0
    with desk.store.reading() as reader:
        assert [(r.title, "5.1" in r.html) for r in reader.revised([CODE])[CODE]] == [
            ("旧标题", True), ("旧标题", False), ("新<标题", False),
        ]  # fmt: skip
        assert reader.revised([OTHER]) == {}


def order(desk: Desk, name: str = "all.atom") -> list[str]:
    return [key[-2:] for key in history(desk, name)]


def key(number: int) -> str:
    return f"2025031426000000{number:02d}"


def test_a_revision_climbs_to_the_top_when_it_is_to(tmp_path: Path) -> None:
    desks = []
    for again in (False, True):
        (tmp_path / str(again)).mkdir()
        window = Window(min_entries=3, window_hours=1, max_entries=4, reannounce_revisions=again)
        desk = Desk(tmp_path / str(again), window=window)
        desks.append(desk)
        for number in range(6):
            text = post(key(number), date=f"2025-03-1{number} 10:00:00 +0800", category=("emnews", "meiti")[number % 2])
            desk.put(f"{number}.md", text)
        desk.run()
        desk.put("9.md", post(key(9), date="2025-03-01 10:00:00 +0800"))
        desk.run(later=timedelta(days=1))
        assert order(desk) == ["05", "04", "03", "09"]
        desk.put("1.md", post(key(1), "改了", date="2025-03-11 10:00:00 +0800", category="meiti"))
        desk.run(later=timedelta(days=1))
        assert list(Publisher(desk.tree, desk.presentation).audit.differences(desk.store)) == []
    never, climbing = desks
    assert order(never) == ["05", "04", "03", "09"]
    assert order(climbing) == ["01", "05", "04"]  # nothing else arrived within the hour
    assert order(climbing, "category/meiti.atom") == ["01", "05", "03"]
    for desk in desks:
        with desk.store.reading() as reader:
            known = reader.known([key(1)])[key(1)]
        assert known.published < known.updated == desk.now
    climbing.put(
        "1.md", post(key(1), "改了", body="<p><b>正文</b>。</p>", date="2025-03-11 10:00:00 +0800", category="meiti")
    )
    climbing.put("2.md", post(key(2), "也改了", date="2025-03-12 10:00:00 +0800"))
    climbing.run(later=timedelta(minutes=30))
    assert order(climbing) == ["02", "01", "05"]  # markup is no revision
    climbing.presentation = replace(climbing.presentation, window=never.presentation.window)
    climbing.run()
    assert order(climbing)[:3] == ["05", "04", "03"]  # the option alone decides
    for desk in desks:
        desk.close()


_PASSES = st.lists(
    st.dictionaries(st.integers(0, 5), st.sampled_from("甲乙"), min_size=1, max_size=4), min_size=1, max_size=4
)


@settings(max_examples=4)
@given(_PASSES, st.randoms(use_true_random=False))
def test_what_climbs_depends_on_the_passes_not_on_the_order_within(passes: list[dict[int, str]], random: Any) -> None:
    """And the feed is what sorting all articles by their last meaning gives."""
    trees = []
    for shuffled in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            window = Window(min_entries=2, window_hours=1, max_entries=3, reannounce_revisions=True)
            desk = Desk(Path(folder), window=window)
            for number, pass_ in enumerate(passes):
                numbers = list(pass_)
                if shuffled:
                    random.shuffle(numbers)
                for place, one in enumerate(numbers):
                    name = f"{one}/{number}-{place if shuffled else 9 - place}.md"
                    for old in desk.inbox.glob(f"{one}/*"):
                        old.unlink()
                    desk.put(name, post(key(one), pass_[one], body=f"<p>{'长' * number}{pass_[one]}</p>"))
                desk.run(later=timedelta(minutes=40))
            with desk.store.reading() as reader:
                known = reader.known([key(n) for n in range(6)])
                (term,) = reader.terms("all")
                shown = {k: (one.updated, max(one.arrived, one.revised or one.arrived)) for k, one in known.items()}
                for k in known:
                    assert judge(reader, window, term, k).stands == (k[-2:] in order(desk))
            newest = sorted(sorted(shown), key=lambda k: shown[k][0], reverse=True)
            edge = max(arrived for _, arrived in shown.values()) - window.span
            late = sorted(sorted(shown), key=lambda k: (shown[k][1], shown[k][0]), reverse=True)
            chosen = set(newest[:2])
            for k in late:
                if shown[k][1] >= edge and len(chosen) < 3:
                    chosen.add(k)
            assert order(desk) == [k[-2:] for k in newest if k in chosen]
            trees.append({n: b for n, b in desk.published().items() if n.endswith((".atom", ".json", ".rss"))})
            desk.close()
    assert trees[0] == trees[1]
