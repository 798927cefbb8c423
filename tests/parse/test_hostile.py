"""Input that once crashed, hung or mangled the parser, kept so that it never does again."""

import time

import pytest

from feedsync.errors import Refused
from feedsync.parse import looks_unfinished
from tests.conftest import post, read

FRONT = "---\ntitle: T\ndate: 2022-01-01 10:00:00\n---\n"


@pytest.mark.parametrize(
    "text",
    [
        "---\ntitle: T\ndate: 2022-01-01 10:00:00\nc: [x]\na:\n" + "- " * 32000 + "x\n---\nx\n",
        "---\ntitle: T\ndate: 2022-01-01 10:00:00\nc: [x]\na:\n" + "? " * 32000 + "x\n---\nx\n",
        "---\ntitle: T\ndate: 2022-01-01 10:00:00\na: " + '["]",' * 25000 + "1" + "]" * 25000 + "\n---\nx\n",
        '---\ntitle: T\ndate: 2022-01-01 10:00:00\nb: "' + "]" * 95000 + '"\na: ' + "[" * 40000 + "\n---\nx\n",
        "---\ntitle: T\ndate: 2022-01-01 10:00:00\ntags:\n" + "- a\n" * 45000 + "---\nx\n",
        FRONT + "正文\n[返回](" + ")  [返回](" * 300 + "y",
        FRONT + "正文\n[返回首页](x)" + " " * 50000 + "y",
        FRONT + '<img src="https://a.example/b.jpg" width="1' + " " * 50000 + 'x">',
        FRONT + "<div>" * 40000 + "</a>" * 40000,
        FRONT + "<p>x</p>" + "<b>" * 190 + "<i>x</i>" * 20000 + "</b>" * 190,
        FRONT + "<p>" + "".join(f"<b class={n}>" for n in range(150)) + "<div>x</div>" * 4000,
        FRONT + "<span>" * 20000 + "<p></p>" * 20000,
        FRONT + "<p>x" + "<br>" * 40000 + "</p>",
        FRONT + "<p>" + "<br>" * 40000 + "x</p>",
        FRONT + "<p " + " ".join(f"a{n}=1" for n in range(40000)) + ">x</p>",
        FRONT + "<!--" * 50000 + "<![" * 200000,
        FRONT + "<![CDATA[" * 50000,
        FRONT + "<!-- EM_StockImg_Start -->" * 20000,
        FRONT + "（文章来源：" * 20000,
        FRONT + "<" * 500000,
        "（" * 100000 + "\n2025/1/1 10:00\n" + "来源：" * 50000,
        "\n" * 300000 + "a",
    ],
    ids=range(22),
)
def test_it_is_read_or_refused_in_no_time(text: str) -> None:
    content = text.encode()
    started = time.process_time()
    looks_unfinished(content)
    try:
        read("a.md", content)
    except Refused as refused:
        assert refused.code != "parser"
    assert time.process_time() - started < 1.5


@pytest.mark.parametrize(
    ("body", "html"),
    [
        ("市盈率<A 股平均，而B>C。后文。", "<p>市盈率&lt;A 股平均，而B&gt;C。后文。</p>"),
        ("若p<p 值则拒绝，显著。后文。", "<p>若p&lt;p 值则拒绝，显著。后文。</p>"),
        (">5%的公司涨停。\n第二段。", "<p>&gt;5%的公司涨停。</p><p>第二段。</p>"),
        ("某某今日大涨。\n<NYSE:ABC>", "<p>某某今日大涨。</p><p>&lt;NYSE:ABC&gt;</p>"),
        ("> 摘要一。\n\n纯文本正文。", "<p>摘要一。</p><p>纯文本正文。</p>"),
        (
            "<!-- EM_StockImg_Start -->图<p>正文二</p><!-- EM_StockImg_Start -->图<!-- EM_StockImg_End -->",
            "图<p>正文二</p>",
        ),
        ("<form id=f><p>一</p><p>二</p>", "<p>一</p><p>二</p>"),
        ("<p>a<![CDATA[x<y]]>b ]]></p>", "<p>ax&lt;yb ]]&gt;</p>"),
        ('<p>正文</p><img {a src="https://a.example/b.jpg">', '<p>正文</p><img src="https://a.example/b.jpg" alt="">'),
        ('<p><a {{x}} href="https://a.example/">t</a></p>', '<p><a href="https://a.example/">t</a></p>'),
        (
            "<p> &#1;正文&#x1f;。<b>&#xFFFE;</b>&#0;</p><p>\n&#x0;后&#65;文&#57344</p>",
            "<p>正文。</p><p>后A文\ue000</p>",
        ),
        ('<p style="display:/**/none">一</p><p style="x-display:none">二</p>', "<p>二</p>"),
    ],
)
def test_text_is_neither_lost_nor_invented(body: str, html: str) -> None:
    assert read("a.md", FRONT + body + "\n").html == html


@pytest.mark.parametrize(
    ("date", "utc"),
    [("2022-04-21 18:36:14 GMT+8", "10:36:14"), ("2022-04-21 18:36:14 GMT+08:00", "10:36:14"),
     ("2022-04-21 18:36:14 UTC+0800", "10:36:14"), ("2022-04-21 18:36:14 UTC", "18:36:14")],
)  # fmt: skip
def test_named_offsets_count_from_greenwich_as_people_mean_them(date: str, utc: str) -> None:
    assert read("a.md", post(date=date)).article.published.at.strftime("%H:%M:%S") == utc


def test_a_date_no_decimal_can_hold_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        read("a.md", post(date="2:33111111111111111111111111111站"))
    assert refused.value.code == "bad-time"


def test_a_title_over_two_lines_is_whole() -> None:
    assert read("a.md", post(title="前半\n后半")).article.title.text == "前半 后半"


def test_an_invisible_title_is_none() -> None:
    assert read("a.md", post(title="\u200b", body="<p>正文。</p>")).article.title.text == "正文。"


def test_surrogates_in_utf8_are_joined_or_dropped() -> None:
    content = post(title="甲X乙Y").encode().replace(b"X", b"\xed\xa0\x80").replace(b"Y", b"\xed\xa0\xbd\xed\xb8\x80")
    assert read("a.md", content).article.title.text == "甲乙😀"


@pytest.mark.parametrize(
    "end", ["（未经审计）", "（II期临床）", "（视频）", "（详情）", "（全天候）", "（现名某某秀）", "（含税）"]
)
def test_not_every_final_bracket_is_an_outlet(end: str) -> None:
    parsed = read("a.md", post(body=f"\n净利润10亿元。{end}"))
    assert parsed.html.endswith(f"{end}</p>")
    assert parsed.article.credit is None


def test_a_cut_inside_the_footer_changes_nothing() -> None:
    whole = post(body='<p>正文。</p><p class="em_media">（文章来源：甲报）</p>')
    expected = read("202503142600000001.md", whole)
    footer = whole.index("[返回")
    for cut in range(footer, len(whole)):
        content = whole[:cut].encode()
        assert looks_unfinished(content) or read("202503142600000001.md", content) == expected, whole[:cut][-30:]
