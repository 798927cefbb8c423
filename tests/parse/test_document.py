"""Whole documents against what a careful person reads in them: `golden/*` beside `*.article.json`."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.errors import Refused
from feedsync.model import Parsed
from feedsync.parse.footer import split_footer
from tests.conftest import REAL, needs_real, post, read

GOLDEN = sorted(p for p in (Path(__file__).parent.parent / "golden").iterdir() if p.suffix in (".md", ".txt"))


def as_json(parsed: Parsed) -> dict[str, object]:
    """An article as the golden files hold it: what people can check, without digests."""
    article = parsed.article
    return {
        "key": article.key,
        "title": article.title.text,
        "title_given": article.title.given,
        "published": article.published.at.isoformat(),
        "exact": article.published.exact,
        "outlet": article.credit.outlet if article.credit else None,
        "summary": article.summary,
        "urls": list(article.urls),
        "categories": [[c.term, c.label] for c in article.categories],
        "tags": list(article.tags),
        "symbols": [[s.value, s.role.value, s.name] for s in article.symbols],
        "html": parsed.html,
    }


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_golden(path: Path) -> None:
    expected = json.loads(path.with_name(path.name + ".article.json").read_text(encoding="utf-8"))
    assert as_json(read(path.name, path.read_bytes())) == expected


def test_there_are_golden_files() -> None:
    assert len(GOLDEN) >= 8


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b" \n\t ", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        ("标题\n2025/3/14 13:42\n正文".encode("utf-16"), "binary"),
        (b"\xff\xfe\xfd" * 9, "encoding"),
        ("标题\n2025/3/14 13:42\n正文".encode()[:-1], "encoding"),
        ("---\ncategories: a\ndate: 2025-01-01\n正文".encode(), "front-matter"),
        ("---\ntitle: 一\n---\n正文".encode(), "no-time"),
        ("标题\n正文".encode(), "no-time"),
        ("---\ntitle: 一\ndate: 2026-02-30\n---\n正文".encode(), "bad-time"),
        (b"---\ntitle:\ndate: 2026-02-03 10:00:00\n---\n", "no-text"),
        (post(body="<div>" * 100_000).encode(), "too-deep"),
    ],
)
def test_what_cannot_be_an_article_is_refused_with_a_remedy(content: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        read("a.md", content)
    assert refused.value.code == code
    assert refused.value.remedy


def test_encodings_give_the_same_article() -> None:
    text = post(title="朱镕基讲话", body="<p>人民币汇率。</p>")
    utf8 = read("a.md", text)
    assert read("a.md", b"\xef\xbb\xbf" + text.encode()) == utf8
    assert read("a.md", text.encode("gb18030")) == utf8
    assert read("a.md", text.replace("\n", "\r\n").encode()) == utf8


def test_utf8_is_never_taken_for_gb18030() -> None:
    text = "标题股票上涨\n2025/3/14 13:42\n正文股票上涨"
    assert read("a.txt", text).article.title.text == "标题股票上涨"


def test_a_half_published_copy_is_held() -> None:
    blank = read(
        "-202503142600000001.md",
        post(title="", date=" +0800").replace("http://finance.example.com/news/1350,202503142600000001.html", ""),
    )
    assert blank.article.held
    assert blank.article.key == "202503142600000001"
    assert not read("a.md", post(title="")).article.held
    assert not read("202503142600000001.md", post(date="")).article.held


def test_unclosed_front_matter_with_title_and_time_is_an_article() -> None:
    parsed = read("a.md", "---\ntitle: 一\ndate: 2025-01-01 10:00:00\n正文在此。\n")
    assert (parsed.article.title.text, parsed.html) == ("一", "<p>正文在此。</p>")


def test_control_characters_never_get_through() -> None:
    parsed = read("a.md", post(title="甲\x0b乙\u202e丙\ufffe", body="<p>一\x1b[2J&#x0B;二\x7f</p>", tag="丁\x08新闻"))
    assert parsed.article.title.text == "甲乙丙"
    assert parsed.html == "<p>一[2J二</p>"
    assert parsed.article.tags == ("丁新闻",)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_an_article_or_refused(content: bytes) -> None:
    try:
        parsed = read("2025-01-01-a.md", content)
    except Refused as refused:
        assert refused.remedy
        return
    assert parsed.article.title.text.strip()


@needs_real
def test_the_real_articles() -> None:
    files = [p for p in sorted(REAL.rglob("*")) if p.suffix in (".md", ".txt")]
    parsed = {p: read(p.name, p.read_bytes()) for p in files}
    assert len(files) == 56
    assert len({p.article.key for p in parsed.values()}) == 50
    for path, found in parsed.items():
        assert not found.remarks, path
        for trace in ("返回首页", "GetPic", "EM_StockImg", "keytip", "文章来源", "<span", "style=", "display:none"):
            assert trace not in found.html, (path, trace)
        raw = path.read_text(encoding="utf-8")
        if "（文章来源：" in raw:
            assert found.article.credit is not None, path
    assert msgspec.json.encode([as_json(p) for p in parsed.values()])


TEXT = "望海港开港。吞吐量增长一成。"


@pytest.mark.parametrize(
    ("body", "summary", "outlet", "html"),
    [
        (f"> 望海港开港。（望海日报）\n\n<p>{TEXT}</p>", "望海港开港。", "望海日报", f"<p>{TEXT}</p>"),
        (f"> 望海港\n开港。（望海日报）\n\n<p>{TEXT}</p>", "望海港 开港。", "望海日报", f"<p>{TEXT}</p>"),
        (f">望海港开港。（望海日报）\n<p>{TEXT}</p>", "望海港开港。", "望海日报", f"<p>{TEXT}</p>"),
        (f"> 望海港开港。（望海日报）\n\n{TEXT}", "望海港开港。", "望海日报", f"<p>{TEXT}</p>"),
        (f"> 别的话。（望海日报）\n\n{TEXT}", "别的话。", "望海日报", f"<p>别的话。</p><p>{TEXT}</p>"),
        ("> 望海港\n开港。（望海日报）\n\n", "", "望海日报", "<p>望海港 开港。</p>"),
        (">3000点，望海指数创新高。", "", None, "<p>&gt;3000点，望海指数创新高。</p>"),
        ("> ", "", None, ""),
    ],
)
def test_the_digest_is_no_part_of_the_text(body: str, summary: str, outlet: str | None, html: str) -> None:
    parsed = read("a.md", post(body=body))
    credit = parsed.article.credit
    assert (parsed.article.summary, credit.outlet if credit else None, parsed.html) == (summary, outlet, html)


def test_a_quotation_in_a_plain_text_is_text() -> None:
    assert read("a.txt", "题目\n2021/7/14 13:42\n> 甲\n\n乙\n").html == "<p>&gt; 甲</p><p>乙</p>"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("正文\n    码。[返回目录](http://a.b/c)", "正文\n码。"),
        ("正文\n    码。", "正文\n    码。"),
        ("    码。\n[返回目录](http://a.b/c) ｜ [返回首页](//a.b/)", "    码。"),
        ("[返回目录](http://a.b/c)", ""),
        ("码。[返回]", "码。[返回]"),
    ],
)
def test_what_is_left_of_a_line_with_a_footer_glued_to_it(body: str, text: str) -> None:
    assert split_footer(body) == (text, "")


def test_an_address_that_was_escaped_for_html_is_the_address() -> None:
    assert split_footer("正文\n\n<http://a.b/s?x=1&amp;y=2>") == ("正文", "http://a.b/s?x=1&y=2")


def test_nobody_waits_for_links_without_end() -> None:
    assert split_footer("x" + "[返回](u)" * 100) == ("x", "")
    assert split_footer("x" + "[返回](u)" * 5000)[0].endswith("(u)")


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("---\n正", "---正"),
        ("---\n正", "...\n正"),
        ("---\nlayout", "layout"),
        ("---\nlayout", "\nlayout"),
        ('title: "', 'title:"'),
        ("\n\n<http", "<http"),
        ("\n\n<http", "\n\n< http"),
        ("\n\n[返回", "[返回"),
        ("\n\n[返回", "\n[返回首页](a b (c) d.html) | [返回"),
    ],
)
def test_fences_and_footers_that_slipped_are_no_text(written: str, instead: str) -> None:
    text = post(title="标题：甲", body="正文。（望海日报）")
    assert written in text
    changed = text.replace(written, instead, 1)
    assert read("a.md", changed) == read("a.md", text)


def test_front_matter_that_stands_twice_is_no_text() -> None:
    text = post(title="标题：甲", body="正文。（望海日报）")
    head, fence, rest = text.partition("\n---\n")
    assert fence
    for twice in (f"{head}{fence}\n{head}{fence}{rest}", f"{head}{fence}{head}{fence}{head}{fence}{rest}"):
        assert read("a.md", twice) == read("a.md", text)
    # What only the second one says counts.
    assert read("a.md", f'---\ntitle: "标题：甲"\n---\n{text}') == read("a.md", text)


def test_a_body_between_rules_is_text() -> None:
    assert read("a.md", "---\ntitle: 甲\ndate: 2025-03-14\n---\n---\n注: 乙\n---\n丙").html.count("<p>---</p>") == 2


@pytest.mark.parametrize("url", ["", "None", "null"])
def test_a_footer_without_an_address_is_no_text(url: str) -> None:
    text = post(body="正文。").replace("http://finance.example.com/news/1350,202503142600000001.html", url)
    parsed = read("a.md", text)
    assert (parsed.html, parsed.article.urls) == ("<p>正文。</p>", ())


def test_a_text_that_begins_like_a_field_is_text() -> None:
    assert read("2025-03-14-a.txt", "title: 甲\n乙\n---\n丙\n").html == "<p>乙</p><p>---</p><p>丙</p>"
