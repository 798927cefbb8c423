"""Articles without front matter: title, date line, outlet, text."""

import pytest

from tests.conftest import read


@pytest.mark.parametrize(
    ("line", "utc", "exact"),
    [
        ("2021年07月14日13:42", "2021-07-14T05:42:00+00:00", True),
        ("2021年7月14日 下午1:42", "2021-07-14T05:42:00+00:00", True),
        ("2021/7/14 下午1时42分", "2021-07-14T05:42:00+00:00", True),
        ("2021/7/14 周三 13:42", "2021-07-14T05:42:00+00:00", True),
        ("2021年7月14日（星期三）13:42", "2021-07-14T05:42:00+00:00", True),
        ("2021年7月14日 星期三", "2021-07-13T16:00:00+00:00", False),
    ],
)
def test_the_date_line(line: str, utc: str, exact: bool) -> None:
    parsed = read("a.txt", f"题目一\n{line}\n正文在此。\n")
    assert (parsed.article.published.at.isoformat(), parsed.article.published.exact) == (utc, exact)
    assert (parsed.article.title.text, parsed.html) == ("题目一", "<p>正文在此。</p>")


@pytest.mark.parametrize(
    ("head", "outlet"),
    [
        ("2021/7/14 13:42 望海日报", "望海日报"),
        ("望海新闻网 2021/7/14 13:42", "望海新闻网"),
        ("2021/7/14 13:42 来源：望海财经", "望海财经"),
        ("2021/7/14 13:42\n来源：望海日报", "望海日报"),
        ("2021/7/14 13:42\n（文章来源：望海日报）", "望海日报"),
    ],
)
def test_the_outlet_beside_or_below_the_date(head: str, outlet: str) -> None:
    parsed = read("a.txt", f"题目一\n{head}\n正文在此。\n")
    assert parsed.article.credit is not None
    assert parsed.article.credit.outlet == outlet
    assert (parsed.article.title.text, parsed.html) == ("题目一", "<p>正文在此。</p>")


def test_a_sentence_with_a_date_is_text() -> None:
    parsed = read("2021-07-15-a.txt", "题目一\n2021年7月14日，望海开港\n来源地有三处。\n")
    assert parsed.html == "<p>2021年7月14日，望海开港</p><p>来源地有三处。</p>"
    assert parsed.article.credit is None


@pytest.mark.parametrize("title", ["题目一", "标题：题目一", "# 题目一", "\u200b题目一\ufeff"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\x84\x31\x95\x33"])
def test_marks_around_the_title_are_no_part_of_it(title: str, mark: bytes) -> None:
    encoding = "gb18030" if mark.startswith(b"\x84") else "utf-8"
    marked = read("a.txt", mark + f"{title}\n2021/7/14 13:42\n正文在此。\n".encode(encoding))
    assert marked == read("a.txt", "题目一\n2021/7/14 13:42\n正文在此。\n")
