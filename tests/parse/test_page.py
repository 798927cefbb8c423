"""Pages against what a careful person reads on them: `golden/pages/*` beside `*.article.json`; and what is none."""

import json
import re
from html import escape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.errors import Refused
from feedsync.model import Credit, Document, Parsed, Response
from feedsync.parse.dates import find_moment
from feedsync.parse.decode import decode
from feedsync.parse.document import parse
from feedsync.parse.footer import split_footer
from feedsync.parse.frontmatter import split
from feedsync.parse.page import MIN_WORDS, parse_page
from feedsync.parse.selector import selector_fault
from tests.conftest import REAL, ROOT, SHANGHAI, needs_real
from tests.parse.test_document import as_json

GOLDEN = sorted(p for p in (ROOT / "tests/golden/pages").iterdir() if not p.name.endswith(".article.json"))
TYPES = {".html": "text/html", ".json": "application/json", ".txt": "text/plain; charset=utf-8"}
CODE = "202503142600000001"
TEXT_URL = f"http://127.0.0.1/NewsData/GetNewsText.do?id=NW{CODE}"


def page(
    content: str | bytes,
    media_type: str = "text/html; charset=utf-8",
    url: str = "https://www.example.com/news/1",
    page_url: str = "https://www.example.com/news/1",
    selector: str = "",
) -> Parsed:
    body = content.encode() if isinstance(content, str) else content
    return parse_page(Response("s", page_url, url, page_url, media_type, body), SHANGHAI, selector)


def story(head: str = "", body: str = "", title: str = "沧屿港扩建工程开工") -> str:
    text = "<p>沧屿港三期扩建工程在江澜开工，计划投资四十亿元。</p><p>项目建成后，年吞吐能力将达到三百万标准箱。</p>"
    return f"<html><head><title>{title}</title>{head}</head><body><h1>{title}</h1>{body}<div class='c'>{text}</div></body></html>"


PUBLISHED = '<meta property="article:published_time" content="2025-03-14T10:00:00+08:00">'


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_golden(path: Path) -> None:
    expected = json.loads(path.with_name(path.name + ".article.json").read_text(encoding="utf-8"))
    url = f"https://www.example.com/news/{path.name}"
    assert as_json(page(path.read_bytes(), TYPES[path.suffix], url, url)) == expected


def test_there_are_golden_pages() -> None:
    assert {path.suffix for path in GOLDEN} == set(TYPES)


@pytest.mark.parametrize(
    "text",
    [
        '{"text": "正文在此。", "title": "标题", "showtime": "2025-03-14 10:00:00", "from": "财联社", "infoCode": "NW%s"}',
        '{"content": "正文在此。", "title": "标题", "datetime": "2025/3/14 10:00", "medianame": "财联社", "infocode": "%s"}',
        '[{"text": "正文在此。", "Title": "标题", "DATE": 1741917600, "outlet": "财联社", "newsid": "NW%s"}]',
        'cb({"result": {"news": {"text": "正文在此。", "title": "标题", "showtime": 1741917600000, "source": "财联社", "id": "%s"}}});',
        'var x = {"text": "正文在此。", "content": "别的", "title": "标题", "pubdate": "2025-03-14T02:00:00Z", "from": "财联社", "code": "%s"};',
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "text/html; charset=utf-8", "", "application/javascript"])
def test_json_says_it_in_many_spellings(text: str, media_type: str) -> None:
    parsed = page(text % CODE, media_type)
    article = parsed.article
    assert (article.key, article.title.text, parsed.html) == (CODE, "标题", "<p>正文在此。</p>")
    assert article.published.at.isoformat() == "2025-03-14T02:00:00+00:00"
    assert article.credit == Credit(Credit.LINE, "财联社")
    assert article.urls == ("https://www.example.com/news/1",)


def test_the_key_is_looked_for_in_turn() -> None:
    def key(content: str, url: str = "http://h.example/x", page_url: str = "http://h.example/x") -> str:
        return page(content, url=url, page_url=page_url).article.key

    linked = f'<link rel="canonical" href="https://h.example/a/{CODE}.html">'
    other = "202503142600000002"
    assert key(story(PUBLISHED)).startswith("t-")
    assert key(story(PUBLISHED + linked)) == CODE
    assert key(story(PUBLISHED + linked), url=f"http://h.example/d?id=NW{other}") == other
    assert key(story(PUBLISHED), page_url=f"http://h.example/html_News/NewsShare.html?infoCode=NW{other}") == other
    assert (
        key(json.dumps({"text": "正文。", "infoCode": f"NW{CODE}"}), page_url=f"http://h.example/a/{other}.html")
        == CODE
    )


def test_the_page_a_person_opens_is_the_source_link() -> None:
    shared = f"http://127.0.0.1/html_News/NewsShare.html?infoCode=NW{CODE}"
    article = page('{"text": "正文。"}', "application/json", TEXT_URL, shared).article
    assert (article.urls, article.key, article.published.exact) == ((shared,), CODE, False)
    assert page('{"text": "正文。"}', "application/json", TEXT_URL, "").article.urls == ()
    assert page(story(PUBLISHED), page_url="http://u:p@h.example/x").article.urls == ("http://h.example/x",)


@pytest.mark.parametrize(
    ("head", "body", "at"),
    [
        (
            '<script type="application/ld+json">{"@type":"NewsArticle","datePublished":"2025-03-14T02:00:00Z"}</script>',
            "",
            "02:00",
        ),
        ('<script type=\'application/ld+json\'>[{"pubDate":"2025-03-14T10:00:00"}]</script>', "", "02:00"),
        ('<script type="application/ld+json">{broken</script>' + PUBLISHED, "", "02:00"),
        ('<meta name="PubDate" content="2025-03-14">', '<span class="time">2025年03月14日 10:00</span>', "02:00"),
        ("", '<time datetime="2025-03-14T02:00:00Z">今天</time>', "02:00"),
        ("", "<div class=article-info>发布时间：2025-03-14 10:00:00 来源：财联社</div>", "02:00"),
        ("", "<em id=publish_time>2025年3月14日 10:00</em>", "02:00"),
        ('<meta name="pubdate" content="昨天"><meta name="date" content="2025-03-14 10:00">', "", "02:00"),
        ('<meta itemprop="datePublished" content="2025-03-14T10:00:00+08:00">', "", "02:00"),
    ],
)
def test_the_time_is_found(head: str, body: str, at: str) -> None:
    published = page(story(head, body)).article.published
    assert published.exact
    assert published.at.isoformat() == f"2025-03-14T{at}:00+00:00"


@pytest.mark.parametrize(
    ("title", "head", "expected"),
    [
        ("沧屿港扩建工程开工_望海网", PUBLISHED, "沧屿港扩建工程开工_望海网"),
        (
            "沧屿港扩建工程开工",
            PUBLISHED
            + '<meta property="og:title" content="沧屿港扩建-望海网"><meta property="og:site_name" content="望海网">',
            "沧屿港扩建",
        ),
        ("&lt;b&gt;甲&lt;/b&gt; &amp; 乙丙丁", PUBLISHED, "<b>甲</b> & 乙丙丁"),
    ],
)
def test_titles(title: str, head: str, expected: str) -> None:
    assert page(story(head, title=title)).article.title.text == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("沧屿港扩建工程开工_财经频道_望海网", "沧屿港扩建工程开工"),
        ("沧屿港扩建工程开工 - 望海网", "沧屿港扩建工程开工"),
        ("沧屿港扩建工程开工|望海网", "沧屿港扩建工程开工"),
        ("沧屿港-江澜航线开通", "沧屿港-江澜航线开通"),
        ("沧屿港扩建 A-B 工程", "沧屿港扩建 A-B 工程"),
    ],
)
def test_the_name_of_the_site_is_no_part_of_the_title(written: str, expected: str) -> None:
    text = story(PUBLISHED).replace("<title>沧屿港扩建工程开工</title>", f"<title>{written}</title>")
    assert page(text.replace("<h1>沧屿港扩建工程开工</h1>", "")).article.title.text == expected


def test_the_outlet_is_the_named_source_before_the_site() -> None:
    site = PUBLISHED + '<meta property="og:site_name" content="望海网">'
    assert page(story(site)).article.credit == Credit(Credit.TAG, "望海网")
    assert page(story(site, "<div class=info>来源：新华社 作者：某</div>")).article.credit == Credit(
        Credit.LINE, "新华社"
    )
    assert page(story(site).replace("</p></div>", "</p><p>（文章来源：财联社）</p></div>")).article.credit == Credit(
        Credit.LINE, "财联社"
    )


def test_a_selector_says_where_the_text_is() -> None:
    text = story(PUBLISHED, "<div class='x'><p>甲。</p><div class='x'>乙。</div></div><div class='x'>丙。</div>")
    assert page(text, selector=".x").html == "<p>甲。</p><div>乙。</div><p>丙。</p>"
    assert (
        page(text, selector="div.c > p:first-child").html == "<p>沧屿港三期扩建工程在江澜开工，计划投资四十亿元。</p>"
    )
    for selector, code in (("#none", "no-text"), ("div[", "selector"), ("::x", "selector"), ("", "ok")):
        try:
            page(text, selector=selector)
        except Refused as refused:
            assert (refused.code, bool(refused.remedy)) == (code, True)
        else:
            assert code == "ok"
    assert selector_fault("div[")
    assert not selector_fault(".a .b")


def test_links_and_pictures_are_absolute() -> None:
    body = story(PUBLISHED).replace(
        "</p></div>", '<a href="/a">甲</a><img src="b.png"><img src="//c.example/c.png"></p></div>'
    )
    html = page(body).html
    assert 'href="https://www.example.com/a"' in html
    assert 'src="https://www.example.com/news/b.png"' in html
    assert 'src="https://c.example/c.png"' in html
    assert (
        'src="https://cdn.example/x/b.png"' in page(body.replace("<head>", '<head><base href="//cdn.example/x/">')).html
    )


def test_markup_is_taken_as_it_is_meant() -> None:
    text = story(PUBLISHED, "<div class=x data-a='1>2'>甲&lt;b&gt; &amp; 乙<b>丙</b>丁</div>")
    assert page(text, selector=".x").html == "<p>甲&lt;b&gt; &amp; 乙<b>丙</b>丁</p>"
    scripted = story(PUBLISHED + "<script src='a.js'/><style/>")
    assert page(scripted, "application/xhtml+xml").html == page(story(PUBLISHED)).html
    assert (
        page(story(PUBLISHED, "<script>document.write('<p>'+\"</p><h2>戊\")</script>")).html
        == page(story(PUBLISHED)).html
    )


LINKS = "<ul>" + "".join(f"<li><a href=/{n}>热门新闻标题第{n}条在此供您阅读</a></li>" for n in range(40)) + "</ul>"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "empty"),
        ('{"code": -1, "message": "文章不存在"}', "not-an-article"),
        ('{"code": 500, "text": "系统错误"}', "not-an-article"),
        ('{"code": -3, "data": {"text": "请联系管理员处理。"}}', "not-an-article"),
        ('{"text": "", "content": null}', "no-text"),
        ('{"text": "null"}', "no-text"),
        ("{}", "no-text"),
        ("[]", "no-text"),
        ("null", "no-text"),
        ('{"text": "正文', "not-json"),
        ("<html></html>", "no-text"),
        ("<html><head><title>404 Not Found</title></head><body><center><h1>404 Not Found</h1></center></body></html>", "not-an-article"),
        (f"<html><head><title>404 - 望海网</title></head><body><p>抱歉，您要访问的页面不存在。</p>{LINKS}</body></html>", "not-an-article"),
        (f"<html><head><title>望海网首页</title></head><body>{LINKS}</body></html>", "no-text"),
        ("<html><head><title>HTTP Status 500 – Internal Server Error</title></head><body><h1>HTTP Status 500</h1><pre>"
         + "at com.example.A.b(A.java:12)\n" * 60 + "</pre></body></html>", "not-an-article"),
        ("<html><head><title>Just a moment...</title></head><body><script>window._cf_chl_opt={}</script></body></html>", "not-an-article"),
        ("<html><head><title>用户登录</title></head><body><form><input type=password><p>忘记密码？立即注册</p></form></body></html>", "not-an-article"),
        ("<html><head><title>验证</title></head><body><p>当前环境异常，完成验证后即可继续访问。</p></body></html>", "not-an-article"),
        ("<html><head><title>资讯</title><script src=a.js></script></head><body><div id=app></div></body></html>", "no-text"),
        ("<html><head><title>资讯</title></head><body><div id=app>加载中...</div></body></html>", "no-text"),
        (f"<html><head><title>沧屿港扩建</title>{PUBLISHED}</head><body><h1>沧屿港扩建</h1><div class=content></div></body></html>", "no-text"),
        (f"<html><head><title>沧屿港扩建</title>{PUBLISHED}</head><body><h1>沧屿港扩建</h1>{LINKS}</body></html>", "no-text"),
        ("<rss version='2.0'><channel><title>甲</title></channel></rss>", "not-an-article"),
        ("<html><body>" + "<div>" * 100_000 + "x</body></html>", "too-deep"),
        ("<html><body><p " + "a=1 " * 1_000_000 + ">x</p></body></html>", "too-deep"),
    ],
)  # fmt: skip
def test_what_is_no_article_is_refused(content: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        page(content, url=TEXT_URL)  # whose code alone would make an article of anything
    assert refused.value.code == code
    assert refused.value.remedy


@pytest.mark.parametrize("media_type", ["image/png", "application/pdf", "application/vnd.ms-excel", "audio/mpeg"])
def test_files_of_other_kinds_are_refused(media_type: str) -> None:
    with pytest.raises(Refused) as refused:
        page(b"%PDF-1.7", media_type)
    assert refused.value.code == "not-an-article"


def test_a_page_without_any_time_is_refused() -> None:
    text = "沧屿港三期扩建工程在江澜开工，计划投资四十亿元。" * 20
    with pytest.raises(Refused) as refused:
        page(f"<html><head><title>沧屿港扩建</title></head><body><p>{text}</p></body></html>")
    assert refused.value.code == "no-time"


@given(
    st.text(alphabet="<>/=\"' abdivplnkscrtmehf{}[]:,.é中文20250314-&;#!", max_size=300),
    st.sampled_from(["text/html", "application/json", "", "text/plain"]),
)
def test_anything_is_an_article_or_refused(content: str, media_type: str) -> None:
    for text in (content, story(PUBLISHED, content), json.dumps({"text": content})):
        try:
            parsed = page(text, media_type, url=TEXT_URL)
        except Refused as refused:
            assert refused.remedy
        else:
            assert parsed.article.key
            assert "<script" not in parsed.html


LAYOUTS = (
    '<!DOCTYPE html><html><head><meta charset="utf-8"><title>{title}_望海财富网</title><script>var a="<div>";</script></head><body>'
    '<div class="nav"><a href="/">首页</a></div><div class="main"><div class="title">{title}</div><div class="infos"><div class="item">'
    '{date}</div></div><div id="ContentBody">{body}</div><div class="share">分享到微信</div></div><div class="side"><ul><li><a href="/1">'
    '推荐阅读的一条新闻标题</a></li></ul></div><div class="footer">版权所有 望海财富网</div></body></html>',
    '<html><head><meta property="og:title" content="{title}"><meta property="article:published_time" content="{date}"></head><body>'
    '<header><a href=/>望海网</a></header><article><h1>{title}</h1><p class="meta">{date}</p>{body}</article></body></html>',
    '<html><head><title>{title}</title></head><body><table><tr><td><a href=/>首页</a></td></tr><tr><td><h1>{title}</h1><span class=date>'
    "{date}</span></td></tr><tr><td class=zw>{body}</td></tr></table></body></html>",
)  # fmt: skip


def same_on_pages(path: Path) -> bool:
    """Whether the article of a file is the same when it stands on pages of three layouts; False when it cannot be told."""
    try:
        text = decode(path.read_bytes())
        filed = parse(Document("s", path.name, path.name, path.read_bytes()), SHANGHAI)
    except Refused:
        return False
    front = split(text)
    if (
        front is None
        or not find_moment(front.text("date"))
        or not filed.article.title.given
        or filed.article.body.length < MIN_WORDS
    ):
        return False
    body = re.sub(r"^> .*\n+", "", split_footer(front.body)[0].strip("\n"))
    body = body if "<p" in body else "".join(f"<p>{escape(line)}</p>" for line in body.split("\n") if line.strip())
    url = filed.article.urls[0] if filed.article.urls else "http://h.example/"
    for layout in LAYOUTS:
        served = page(
            layout.format(title=escape(filed.article.title.text), date=front.text("date"), body=body),
            url=url,
            page_url=url,
        )
        assert served.article.title == filed.article.title
        assert served.article.published == filed.article.published
        assert served.article.body.text_digest == filed.article.body.text_digest, served.html
        assert served.article.symbols == filed.article.symbols
    return True


def test_articles_on_pages_are_those_of_their_files() -> None:
    files = sorted([*(ROOT / "tests/golden").glob("*.md"), *(ROOT / "seeds").rglob("*.md")])
    assert sum(map(same_on_pages, files)) >= 20


@needs_real
def test_the_real_articles_on_pages_are_those_of_their_files() -> None:
    files = [p for p in sorted(REAL.rglob("*")) if p.suffix == ".md"]
    assert sum(map(same_on_pages, files)) >= len(files) - 3
