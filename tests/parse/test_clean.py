"""HTML as it comes, HTML as it is published."""

import re

import lxml.html
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.errors import Refused
from feedsync.model import Credit, Role
from feedsync.parse import clean
from feedsync.parse.clean import clean_html, clean_text, text_of

QUOTE = "http://quote.eastmoney.com/unify/r/"


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("<p>一</p>\r\n <p>二</p>".replace("\r", ""), "<p>一</p><p>二</p>"),
        ('<p style="display:none;height:1px;overflow:hidden;"><br /></p><p>一<br /></p>', "<p>一</p>"),
        ('<p style="display:none">\u00a0</p><p>一</p>', "<p>一</p>"),
        ("<p>　　一<br/><br/></p>", "<p>一</p>"),
        ("<p><strong>影响有多大？ </strong></p>", "<p><strong>影响有多大？</strong></p>"),
        ("<p>一 <b>二</b> 三</p>", "<p>一 <b>二</b> 三</p>"),
        (f'5家<span id="bk_90.BK0475"><a href="{QUOTE}90.BK0475" class="keytip">银行</a></span><span id="bkquote"></span>参与',
         "<p>5家银行参与</p>"),
        ('<p>(C<span id="Info.338"><a href="http://data.eastmoney.com/x" class="infokey">PPI</a></span>B)</p>', "<p>(CPPIB)</p>"),
        ('<p>壮<span web="1" href="/x" class="em_stock_key_common">大智慧</span>产品</p>', "<p>壮大智慧产品</p>"),
        ("<p>《&lt;某某议定书&gt;修正案》</p>", "<p>《&lt;某某议定书&gt;修正案》</p>"),
        ("<p>a ]]> b</p>", "<p>a ]]&gt; b</p>"),
        ("a</body></html><p>b</p>", "a<p>b</p>"),
        ("<center><p>一</p></center>", "<div><p>一</p></div>"),
        ("<p>一</p><p> </p><div></div><p><strong></strong></p><p>二</p>", "<p>一</p><p>二</p>"),
        ("<!--IMG#0--><p>一<!--Link#1--></p>", "<p>一</p>"),
        ("<p>一</p><ul><li> 甲 </li><li>乙</li></ul>", "<p>一</p><ul><li>甲</li><li>乙</li></ul>"),
        ("<table><tr><td colspan=2 onclick=x()>一</td><td></td></tr></table>",
         '<table><tbody><tr><td colspan="2">一</td><td></td></tr></tbody></table>'),
        ('<p>一</p><embed src=x><p>二</p>', "<p>一</p><p>二</p>"),
        ('<p>一<EMBED src="x.swf" width=480>二</p>', "<p>一二</p>"),
        ("<embed src=x>一</embed><p>二</p>", "一<p>二</p>"),
        ("<object><embed src=x></object><p>二</p>", "<p>二</p>"),
        ('<image src="http://x/a.jpg"><p>一</p>', '<img src="http://x/a.jpg" alt=""><p>一</p>'),
        ('<p>一<image src="http://x/a.jpg"/>二</p>', '<p>一<img src="http://x/a.jpg" alt="">二</p>'),
        ("<p>一</p><svg><image href=x></image></svg><p>二</p>", "<p>一</p><p>二</p>"),
        ("<p>&#0;&#x1F;一&#xFFFE;</p>", None),
    ],
)  # fmt: skip
def test_markup(source: str, html: str | None) -> None:
    cleaned = clean_html(source).html
    if html is None:
        assert text_of(cleaned).strip("\ufffd") == "一"
    else:
        assert cleaned == html


@pytest.mark.parametrize(
    ("image", "html"),
    [
        ('<center><img src="http://img.example.com/D1_w800h555.jpg" alt="Image" width="552" style="x" /></center>',
         '<figure><img src="http://img.example.com/D1_w800h555.jpg" width="552" height="383" alt=""></figure>'),
        ('<p><img src="http://img.example.com/D1_w471h321.jpg" orginial_src="http://x/y_o.jpg"></p>',
         '<p><img src="http://img.example.com/D1_w471h321.jpg" width="471" height="321" alt=""></p>'),
        ('<p><img src="/a.png" alt="走势" width="10px" height="20"></p>',
         '<p><img src="http://example.com/a.png" width="10" height="20" alt="走势"></p>'),
        ('<p><img src="/a.png" width="580" height="auto"></p>', '<p><img src="http://example.com/a.png" width="580" alt=""></p>'),
        ('<p><img src="/a_w20h10.png" width="100%" height="0"></p>',
         '<p><img src="http://example.com/a_w20h10.png" width="20" height="10" alt=""></p>'),
        ('<p>一<img src="data:image/png;base64,AAAA"><img><img src="javascript:x"></p>', "<p>一</p>"),
        ('<p>一<img src="//img.example.com/a.png"></p>', '<p>一<img src="http://img.example.com/a.png" alt=""></p>'),
    ],
)  # fmt: skip
def test_images(image: str, html: str) -> None:
    assert clean_html(image, "http://example.com/news/1.html").html == html


CHART = (
    '<!-- EM_StockImg_Start --><p style="text-align:center;"><a href="http://quote.eastmoney.com/unify/r/116.02338"'
    ' data-code="02338|116|5" class="EmImageRemark"><img src="https://webquoteklinepic.eastmoney.com/GetPic.aspx?'
    'nid=116.02338&imageType=k&token=abc&at=1" alt="K图 02338_0" data-code="K 02338|116|5"></a></p>'
    "<!-- EM_StockImg_End -->"
)


@pytest.mark.parametrize(
    "source",
    [
        CHART + "<p>一</p>",
        CHART.replace("<!-- EM_StockImg_Start -->", "<!--EM_StockImg_Start-->") + "<p>一</p>",
        re.sub(r"<!--.*?-->", "", CHART) + "<p>一</p>",
        re.sub(r"</?a[^>]*>", "", CHART) + "<p>一</p>",
        re.sub(r' href="[^"]*"', "", CHART).replace("nid=116.02338&", "") + "<p>一</p>",
        "<p>一" + re.sub(r"</?p[^>]*>|<!--.*?-->", "", CHART) + "</p>",
        CHART.replace('"', "'") + "<p>一</p>",
        re.sub(r' (?:style|class|alt)="[^"]*"', "", CHART).replace('"', "").replace("K 02338", "02338") + "<p>一</p>",
        re.sub(r' href="[^"]*"', "", CHART).replace("data-code", "data-code2").replace("nid=116.02338&", "")
        + "<p>一</p>",
        CHART.replace("nid=116.02338&", "").replace("K 02338|116|5", "K 2338|0|5") + "<p>一</p>",
        re.sub(r"<!--.*?-->", "", CHART).replace("nid=116.02338", "nid=0.2338") + "<p>一</p>",
        CHART + "<p>一<img src='http://pifm.eastmoney.com/Picture/Index.aspx?ID=6005191&token=abc'></p>",
    ],
)
def test_a_chart_leaves_only_its_symbol(source: str) -> None:
    cleaned = clean_html(source)
    assert cleaned.html == "<p>一</p>"
    assert [(s.value, s.role) for s in cleaned.symbols] == [("116.02338", Role.SUBJECT)]


def test_symbols_of_keyword_links_and_not_of_the_credit() -> None:
    cleaned = clean_html(
        f'<p><span id="stock_1.600519"><a href="{QUOTE}1.600519" class="keytip" data-code="0,000001">茅某</a></span>'
        '和<span web="1" class="em_stock_key_common" data-code="90,BK0475">银行</span>'
        '和<a class="infokey" href="http://data.eastmoney.com/zlsj/">基金</a></p>'
        f'<p class="em_media">（文章来源：中国<a href="{QUOTE}90.BK0473" class="keytip">证券</a>报）</p>'
    )
    assert cleaned.html == "<p>茅某和银行和基金</p>"
    assert [(s.value, s.name, s.role) for s in cleaned.symbols] == [
        ("1.600519", "茅某", Role.MENTION),
        ("90.BK0475", "银行", Role.MENTION),
    ]
    assert cleaned.credit == Credit(Credit.LINE, "中国证券报")


@pytest.mark.parametrize(
    ("source", "outlet", "html"),
    [
        ('<p>一</p><p class="em_media">（文章来源：央行网站）</p>', "央行网站", "<p>一</p>"),
        ("<p>一</p><p>(来源:某某证券（香港）)</p>", "某某证券（香港）", "<p>一</p>"),
        ("<p>一。（新华社）</p>", "新华社", "<p>一。</p>"),
        ("<p>一</p><p>图片来源：某公司官网</p>", None, "<p>一</p><p>图片来源：某公司官网</p>"),
        ("<p>（文章来源：甲）</p><p>一</p>", None, "<p>（文章来源：甲）</p><p>一</p>"),
        ('<p>一</p><p class="em_media">（文章来源：）</p>', None, "<p>一</p>"),
        ("<p>一。（望海日报8月21日报道）</p>", None, "<p>一。（望海日报8月21日报道）</p>"),
        ("<p>余额为3亿元。（含子公司）</p>", None, "<p>余额为3亿元。（含子公司）</p>"),
        ('<p>一</p><p class="em_media">（文章来源：望海日报、望海网）</p>', "望海日报、望海网", "<p>一</p>"),
        ('<p>一</p><p class="em_media">（文章来源：望海日报 作者：某甲）</p>', "望海日报", "<p>一</p>"),
        ('<p>一</p><p class="em_media">（文章来源：望海日报）。</p>', "望海日报", "<p>一</p>"),
        ("<p>一</p>（文章来源：望海日报）", "望海日报", "<p>一</p>"),
        ("<p>一。<br/>（文章来源：望海日报）</p>", "望海日报", "<p>一。</p>"),
        ("<div><p>一</p><p>（文章来源：望海日报）</p></div>", "望海日报", "<div><p>一</p></div>"),
        ("<p>一</p><p>来源：望海日报</p>", "望海日报", "<p>一</p>"),
        ("<p>一</p><p>来源：风能是今后增长的主要方向</p>", None, "<p>一</p><p>来源：风能是今后增长的主要方向</p>"),
        ("<p>一</p><p>来源：自有资金和银行贷款</p>", None, "<p>一</p><p>来源：自有资金和银行贷款</p>"),
        ("<p>一。（王某 李某某）</p>", None, "<p>一。（王某 李某某）</p>"),
        ("<p>一<br/>二。</p>三", None, "<p>一<br>二。</p>三"),
        ('<p class="em_media">只是一段话</p><p>二</p>', None, '<p>只是一段话</p><p>二</p>'),
    ],
)  # fmt: skip
def test_credits_in_html(source: str, outlet: str | None, html: str) -> None:
    cleaned = clean_html(source)
    assert (cleaned.credit.outlet if cleaned.credit else None) == outlet
    assert cleaned.html == html


@pytest.mark.parametrize(
    ("text", "outlet", "html"),
    [
        ("*ST某某_公告|1. 增长10%<20%", None, "<p>*ST某某_公告|1. 增长10%&lt;20%</p>"),
        ("一。 二。\n　　三。（央视新闻客户端）", "央视新闻客户端", "<p>一。 二。</p><p>三。</p>"),
        ("涨幅居前。(央视新闻)", "央视新闻", "<p>涨幅居前。</p>"),
        ("报68.05美元/桶（财联社）", "财联社", "<p>报68.05美元/桶</p>"),
        ("涨10%（望海新闻）", "望海新闻", "<p>涨10%</p>"),
        ("见公司年度报告（一季报）", None, "<p>见公司年度报告（一季报）</p>"),
        ("控股方更名（天下某）", None, "<p>控股方更名（天下某）</p>"),
        ("目录（第四十九批），某某在列。", None, "<p>目录（第四十九批），某某在列。</p>"),
        ("增持居首。（名单）", None, "<p>增持居首。（名单）</p>"),
        ("截至（明年）7月。", None, "<p>截至（明年）7月。</p>"),
        ("发布目录。（第十二批）", None, "<p>发布目录。（第十二批）</p>"),
        ("一\n（文章来源：望海日报）", "望海日报", "<p>一</p>"),
    ],
)
def test_plain_text(text: str, outlet: str | None, html: str) -> None:
    cleaned = clean_text(text)
    assert (cleaned.credit.outlet if cleaned.credit else None) == outlet
    assert cleaned.html == html


@pytest.mark.parametrize(
    ("written", "published"),
    [
        ("http://x/年报 2021.pdf", "http://x/%E5%B9%B4%E6%8A%A5%202021.pdf"),
        (" http://x/a\n   b.html ", "http://x/ab.html"),
        ("http: //x. example/a b", "http://x.example/a%20b"),
        ("java script:alert(1)", None),
        ("java\tscript:alert(1)", None),
    ],
)
def test_blanks_in_links(written: str, published: str | None) -> None:
    linked = f'<p><a href="{published}">甲</a></p>' if published else "<p>甲</p>"
    assert clean_html(f'<p><a href="{written}">甲</a></p>').html == linked


def test_links_are_absolute_and_harmless() -> None:
    cleaned = clean_html(
        '<p><a href="/a b" onclick="x()">甲</a><a href="java\nscript:alert(1)">乙</a><a href="data:text/html,x">丙</a>'
        '<a href="mailto:a@example.com">丁</a><a href="http://u:p@example.com/">戊</a><a href="#x">己</a></p>',
        "http://example.com/n/1",
    )
    assert cleaned.html == (
        '<p><a href="http://example.com/a%20b">甲</a>乙丙<a href="mailto:a@example.com">丁</a>'
        '<a href="http://example.com/">戊</a>己</p>'
    )


@pytest.mark.parametrize(
    "source", ["<div>" * 100_000, "<b>" * 300 + "x", "<div>" * 250 + "x" + "</div>" * 250, "<ul><li>" * 150]
)
def test_nesting_too_deep_is_refused(source: str) -> None:
    with pytest.raises(Refused) as refused:
        clean_html(source)
    assert refused.value.code == "too-deep"


def test_nesting_that_is_kept_is_kept_whole() -> None:
    assert text_of(clean_html("<div>" * 180 + "深" + "</div>" * 180).html) == "深"


PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    '<a href="javascript:alert(1)">x</a>',
    '<a href="&#106;avascript:alert(1)">x</a>',
    '<p style="background:url(javascript:alert(1))">x</p>',
    "<object data=javascript:alert(1)><embed src=javascript:alert(1)>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'><base href='//evil.example/'>",
    "<textarea><script>alert(1)</script></textarea>",
    "<xmp><p title='</xmp><img src onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "<img src='http://x/\"onerror=alert(1)//'>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<!--><script>alert(1)</script-->",
    "<a href='vbscript:x'>x</a><a href='file:///etc/passwd'>y</a>",
]
_ALLOWED = {"href", "src", "alt", "width", "height", "colspan", "rowspan", "start"}
_FORBIDDEN = {"script", "style", "iframe", "object", "embed", "svg", "math", "form", "input", "base", "meta", "link"}


def assert_harmless(html: str) -> None:
    tree = lxml.html.fragment_fromstring(html, create_parent="div")
    for element in tree.iter():
        assert element.tag not in _FORBIDDEN
        for name, value in element.attrib.items():
            assert name in _ALLOWED
            if name in ("href", "src"):
                assert re.match(r"(?:https?://|mailto:)", value)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_are_published_harmlessly(payload: str) -> None:
    for source in (payload, f"<p>前</p>{payload}<p>后</p>", f"<p>{payload}</p>"):
        html = clean_html(source, "http://example.com/").html
        assert_harmless(html)
        assert clean_html(html, "http://example.com/").html == html


def test_only_the_attributes_we_name_are_published() -> None:
    source = '<p title="<img src=x onerror=alert(1)>" lang="en" id="a" dir="rtl">文<img src="http://a.example/x" title="t"></p>'
    assert clean_html(source).html == '<p>文<img src="http://a.example/x" alt=""></p>'


_PIECES = st.sampled_from(
    [*PAYLOADS, "<p>", "</p>", "<div>", "</div>", "<strong>", "</strong>", "<br>", "文字", "。", " ", "\n", "&lt;",
     "&amp;", "&nbsp;", "<center>", "</center>", "<ul><li>", "</li></ul>", "<table><tr><td>", "</td></tr></table>",
     "<a href='http://x/'>", "</a>", "<!--", "-->", "（文章来源：甲报）", "<span class=keytip>", "</span>", "<h2>", "</h2>"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_cleaning_is_safe_and_settles(source: str) -> None:
    html = clean_html(source, "http://example.com/").html
    assert_harmless(html)
    while (again := clean_html(html, "http://example.com/").html) != html:
        assert_harmless(again)
        assert len(again) < len(html), "only a credit goes, one each time"
        html = again


_TEXT = st.lists(
    st.sampled_from(["文字", "。", " ", "　", "\n", "（文章来源：财某社）", "（新某社）", "来源：某报", "（来源：）", "x", '"', "'", "；", "（名单）", "”"]),
    max_size=5,
).map("".join)  # fmt: skip
_PARAGRAPH = st.tuples(
    st.sampled_from(["", " ", "\n "]), st.sampled_from(["", "", ' class="em_media"']), st.booleans(), _TEXT
).map(lambda p: f"{p[0]}<p{p[1]}>" + (f"<strong>{p[3]}</strong>" if p[2] else p[3]) + "</p>")


@given(st.lists(_PARAGRAPH, min_size=1, max_size=5).map("".join))
def test_the_short_way_for_plain_paragraphs_agrees_with_the_long_one(source: str) -> None:
    short = clean._clean_simple(source)
    assert short is not None
    # One comment keeps the short way from being taken, and is itself dropped.
    assert clean_html("<!-- x -->" + source) == short


@given(st.text(st.characters(whitelist_categories=["L", "N", "P", "Z"]), max_size=60))
def test_plain_text_survives(text: str) -> None:
    cleaned = clean_text(text)
    kept = text_of(cleaned.html)
    if cleaned.credit is None:
        assert "".join(kept.split()) == "".join(text.split())
