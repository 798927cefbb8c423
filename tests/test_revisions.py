"""Which changes are revisions, and what readers are shown of them."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree, html

from feedsync.model import Arrival, Origin
from feedsync.plan import decide, same_meaning
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
