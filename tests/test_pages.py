"""Pages for people: what they say, where they lead, and which are drawn when."""

import random
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from lxml import html

from feedsync import archive
from feedsync.feeds import STYLE, Presentation, Window, draw_article, draw_error, names
from feedsync.model import Site
from feedsync.publish import Publisher
from feedsync.web.application import Application
from feedsync.web.message import Request
from feedsync.web.options import Options
from tests.conftest import REAL, SITE, Desk, needs_real, post
from tests.test_feeds import entry_of

CODE = "202503142600000001"
BASE = "http://127.0.0.1:8080/"


def page(desk: Desk, path: str) -> html.HtmlElement:
    return html.document_fromstring((desk.tree.root / path).read_bytes().decode())


def text(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def number(index: int) -> str:
    return f"2025031426{index:08d}"


def put(desk: Desk, index: int, title: str = "", category: str = "emnews", minutes: int | None = None) -> None:
    at = datetime(2024, 12, 31, 12, tzinfo=UTC) + timedelta(minutes=index if minutes is None else minutes)
    name = f"{index}.md"
    content = post(
        number(index), title or f"标题{index}", f"<p>正文{index}。</p>", f"{at:%Y-%m-%d %H:%M:%S} +0000", category
    )
    desk.put(name, content)
    desk.source_times[index] = at


def differences(desk: Desk) -> list[str]:
    return list(Publisher(desk.tree, desk.presentation).audit.differences(desk.store))


def files(desk: Desk) -> dict[str, tuple[int, int]]:
    root = desk.tree.root
    copies = (".gz", ".br")
    shown = [p for p in root.rglob("*") if p.is_file() and not p.is_symlink() and p.suffix not in copies]
    stats = {str(p.relative_to(root)): p.stat() for p in shown}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


def redrawn(desk: Desk, before: dict[str, tuple[int, int]]) -> set[str]:
    after = files(desk)
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PER_PAGE", 3)


def test_an_article_says_what_people_want_to_know() -> None:
    body = (
        '<h1>小标题</h1><p>正文<img src="http://img.example.com/a_w800h555.png"></p>'
        '<p><img src="http://img.example.com/b.png" alt="图二"></p><p class="em_media">（文章来源：甲报）</p>'
    )
    entry = entry_of(post(title='<b>"标题"</b>', body=body))
    drawn = html.document_fromstring(draw_article(SITE, entry, {("category", "emnews"): "东财滚动"}).decode())
    assert drawn.get("lang") == "zh-CN"
    assert [text(h) for h in drawn.iter("h1")] == ['<b>"标题"</b>']
    assert text(drawn.find_class("meta")[0]) == "甲报 2025年3月14日 10:00"
    assert drawn.find(".//time").get("datetime") == "2025-03-14T10:00:00+08:00"
    first, second = drawn.iter("img")
    assert dict(first.attrib) == {
        "src": "http://img.example.com/a_w800h555.png", "width": "800", "height": "555", "alt": "",
        "loading": "lazy", "decoding": "async", "referrerpolicy": "no-referrer",
    }  # fmt: skip
    assert second.get("alt") == "图二"
    assert [(a.get("href"), text(a)) for a in drawn.find_class("filed")[0].iter("a")] == [
        ("../category/emnews.html", "东财滚动")
    ]
    source = f"http://finance.example.com/news/1350,{CODE}.html"
    assert [(a.get("href"), a.get("rel")) for a in drawn.find_class("source")[0].iter("a")] == [(source, "nofollow")]
    assert not drawn.find_class("revisions")
    assert drawn.find(".//link[@rel='canonical']").get("href") == f"{BASE}article/{CODE}.html"


def test_wide_tables_can_be_scrolled_by_keyboard() -> None:
    body = "<p>文</p><table><tr><td>一<table><tr><td>二</td></tr></table></td></tr></table><p>尾</p>"
    drawn = html.document_fromstring(draw_article(SITE, entry_of(post(body=body)), {}).decode())
    for table in drawn.iter("table"):
        assert table.getparent().attrib == {"class": "wide", "role": "group", "aria-label": "表格", "tabindex": "0"}
    assert [e.tag for e in drawn.find_class("text")[0]] == ["p", "div", "p"]


def test_what_is_put_into_images_opens_nothing() -> None:
    body = '<p>文<img src="http://i.example.com/a.png" alt="&lt;img onerror=alert(1) src=x &quot; onerror=&quot;alert(2)"></p>'
    drawn = html.document_fromstring(draw_article(SITE, entry_of(post(body=body)), {}).decode())
    (image,) = drawn.iter("img")
    assert set(image.attrib) == {"src", "alt", "loading", "decoding", "referrerpolicy"}


@pytest.mark.parametrize(
    ("levels", "shown"), [("1", "2"), ("3", "2"), ("24", "23"), ("42", "22"), ("135", "234"), ("15135", "23234")]
)
def test_headings_follow_the_title_without_a_gap(levels: str, shown: str) -> None:
    body = "".join(f"<h{level}>小标题</h{level}><p>正文</p>" for level in levels)
    drawn = html.document_fromstring(draw_article(SITE, entry_of(post(body=body)), {}).decode())
    assert "".join(e.tag[1] for e in drawn.find_class("text")[0].iter("h1", "h2", "h3", "h4", "h5", "h6")) == shown


def test_a_day_without_a_time_is_shown_as_a_day() -> None:
    entry = entry_of("---\ntitle: 只有日期\ndate: 2025-03-14\n---\n正文\n", "2025-03-14-x.md")
    drawn = html.document_fromstring(draw_article(SITE, entry, {}).decode())
    assert text(drawn.find_class("meta")[0]) == "2025年3月14日"
    assert drawn.find(".//time").get("datetime") == "2025-03-14"


def test_no_page_runs_or_fetches_anything(desk: Desk) -> None:
    put(desk, 1)
    desk.run()
    for path, content in desk.published().items():
        if path.endswith(".html"):
            document = html.document_fromstring(content.decode())
            assert not list(document.iter("script", "style", "iframe", "object")), path
            forms = [(form.get("action"), form.get("method")) for form in document.iter("form")]
            assert forms == ([("/search", "get")] if path in ("index.html", "large/index.html") else []), path
            assert not [e for e in document.iter() for name in e.attrib if name.startswith("on") or name == "style"], (
                path
            )
            sheets = [link.get("href") for link in document.iter("link") if link.get("rel") == "stylesheet"]
            assert len(sheets) == 1
            assert sheets[0].endswith(STYLE)


def test_where_nothing_answers_searches_the_index_has_no_form_for_them(desk: Desk) -> None:
    desk.presentation = Presentation(SITE, search=False)
    desk.run()
    assert not list(page(desk, "index.html").iter("form"))


def targets(desk: Desk, path: str) -> set[str]:
    """Where the links of a page lead within the site."""
    here = BASE + path
    document = page(desk, path)
    found = {urljoin(here, e.get("href")) for e in document.iter("a", "link") if e.get("href")}
    return {url.removeprefix(BASE).partition("#")[0] for url in found if url.startswith(BASE)}


@pytest.mark.usefixtures("small")
def test_every_link_leads_somewhere_and_every_page_is_reached(desk: Desk) -> None:
    for index in range(70):
        put(desk, index, category=f"c{index % 2}" if index % 5 else "股票 <&>", minutes=index * 60 * 24 * 30)
    desk.run()
    published = {path for path in desk.published() if path.endswith(".html")}
    assert sum(path.startswith("category/c0/") for path in published) > 5
    seen: set[str] = set()
    ahead = {"index.html"}
    while ahead:
        path = ahead.pop()
        seen.add(path)
        for target in targets(desk, path):
            assert (desk.tree.root / (target or "index.html")).exists(), (path, target)
            if target.endswith(".html") and target not in seen:
                ahead.add(target)
    usual = {path for path in seen if not path.startswith("large/")}
    assert usual == {path for path in published if not path.startswith("large/")} - {"404.html", "405.html", "410.html"}
    # In large type one stays there, but for the way back.
    for path in seen - usual:
        document = page(desk, path)
        document.find_class("to-normal")[0].drop_tree()
        document.find_class("to-large")[0].drop_tree()
        inside = {urljoin(BASE + path, a.get("href")) for a in document.iter("a") if "://" not in a.get("href")}
        assert all(url.startswith(BASE + "large/") for url in inside), path
    assert {path.removeprefix("large/") for path in seen - usual} == usual


def test_large_type_is_the_same_bytes_with_another_style_sheet(desk: Desk) -> None:
    put(desk, 1)
    desk.run()
    root = desk.tree.root
    for path in ("index.html", "category/emnews.html", f"article/{number(1)}.html"):
        assert (root / "large" / path).read_bytes() == (root / path).read_bytes()
        document = page(desk, path)
        to_large, to_normal = (document.find_class(name)[0].get("href") for name in ("to-large", "to-normal"))
        assert urljoin(BASE + path, to_large) == f"{BASE}large/{path}"
        assert urljoin(f"{BASE}large/{path}", to_normal) == BASE + path
        sheet = next(link.get("href") for link in document.iter("link") if link.get("rel") == "stylesheet")
        assert urljoin(BASE + path, sheet) == BASE + STYLE
        assert urljoin(f"{BASE}large/{path}", sheet) == f"{BASE}large/{STYLE}"
    normal, large = ((root / folder / STYLE).read_bytes() for folder in ("", "large"))
    assert large.startswith(normal)
    assert large != normal
    (root / "large/article").unlink()
    (root / "large/category").unlink()
    shutil.copytree(root / "category", root / "large/category")  # by a tool that follows links
    assert differences(desk) == ["large/article", "large/category"]
    desk.run()
    assert differences(desk) == []
    (root / "large/article").unlink()
    shutil.copytree(root / "article", root / "large/article")  # as a copy that follows links leaves it
    assert "large/article" in differences(desk)
    desk.run()
    assert differences(desk) == []


def test_our_own_server_serves_large_type_and_error_pages(desk: Desk) -> None:
    put(desk, 1)
    desk.run()
    root = desk.tree.root
    moved = {"/emnews/": "/category/emnews.html"}
    application = Application(Options(root=str(root), redirects=moved))

    def ask(path: str, method: str = "GET") -> tuple[int, object]:
        response = application.respond(Request(method, path.encode(), b"", {}))
        return response.status, response.body

    for path in ("index.html", "category/emnews.html", "category/emnews/2024-1.html", f"article/{number(1)}.html"):
        assert ask(f"/large/{path}") == ask(f"/{path}") == (200, (root / path).read_bytes())
    for folder in ("", "large/"):
        assert ask(f"/{folder}{STYLE}") == (200, (root / folder / STYLE).read_bytes())
    assert ask("/large/nope.html") == ask("/nope/nope/") == (404, (root / "404.html").read_bytes())
    assert ask("/large/all.atom")[0] == ask("/large/category/emnews.atom")[0] == 404
    assert ask("/all.atom", "POST") == (405, (root / "405.html").read_bytes())
    assert ask("/emnews/") == (301, b"")


def test_error_pages_serve_at_any_depth() -> None:
    for status in (404, 405, 410):
        drawn = html.document_fromstring(
            draw_error(Site("站", "https://h.example/f", "example.org,2026"), status).decode()
        )
        links = [e.get("href") for e in drawn.iter("a", "link") if e.get("class") != "skip"]
        assert links
        assert all(link.startswith("https://h.example/f/") for link in links)


def test_revisions_are_told(desk: Desk) -> None:
    put(desk, 1, "旧标题")
    desk.run()
    put(desk, 1, "新标题")
    (desk.inbox / "1.md").touch()
    desk.run()
    document = page(desk, f"article/{number(1)}.html")
    assert [text(li) for li in document.find_class("revisions")[0].iter("li")] == ["2026年3月1日 16:02 标题：旧新标题"]
    assert text(document.find_class("revised")[0]) == "修改于 2026年3月1日 16:02"
    assert differences(desk) == []


def neighbours(desk: Desk, index: int) -> list[tuple[str, str]]:
    document = page(desk, f"article/{number(index)}.html")
    return [
        (text(p.find("span")), text(p.find("a"))) for nav in document.find_class("steps") for p in nav.iterfind("p[a]")
    ]


def test_a_new_article_redraws_only_what_shows_it(desk: Desk) -> None:
    for index in range(0, 200, 2):
        put(desk, index, category=f"c{index % 4}")
    desk.run()
    assert neighbours(desk, 0) == [("下一篇", "标题4")]
    assert neighbours(desk, 4) == [("上一篇", "标题0"), ("下一篇", "标题8")]
    before = files(desk)
    put(desk, 199, category="c0")
    desk.run()
    feeds = {f"{stem}.{extension}" for stem in ("all", "category/c0") for extension in ("atom", "rss", "json")}
    fixed = feeds | {"index.html", "category/c0.html"}
    assert redrawn(desk, before) == fixed | {
        f"article/{number(199)}.html",
        f"article/{number(196)}.html",
        "category/c0/2024-1.html",
    }
    assert neighbours(desk, 199) == [("上一篇", "标题196")]
    before = files(desk)
    put(desk, 100, "改了题")  # another category, in the middle
    (desk.inbox / "100.md").touch()
    desk.run()
    changed = redrawn(desk, before)
    assert {f"article/{number(i)}.html" for i in (96, 100, 104)} == {p for p in changed if p.startswith("article")}
    assert neighbours(desk, 96) == [("上一篇", "标题92"), ("下一篇", "标题104")]
    assert differences(desk) == []


@pytest.mark.usefixtures("small")
def test_a_late_article_moves_others_within_its_year_alone(desk: Desk) -> None:
    for index in range(40):
        put(desk, index, minutes=index * 60 * 24 * 31)
    desk.run()
    before = files(desk)
    put(desk, 99, minutes=60 * 24 * 31 * 20 + 1)
    desk.run()
    late = {path for path in redrawn(desk, before) if re.fullmatch(r"category/emnews/.*", path)}
    year = desk.source_times[99].year
    assert late
    assert all(path.startswith((f"category/emnews/{year}-", f"category/emnews/{year + 1}-1.")) for path in late)
    assert differences(desk) == []


@pytest.mark.usefixtures("small")
def test_whatever_happens_the_pages_are_those_of_the_store(desk: Desk) -> None:
    chance = random.Random(4)
    desk.presentation = Presentation(SITE, Window(2, 0, 3))
    publisher = Publisher(desk.tree, desk.presentation)
    known = 0
    for _ in range(12):
        for _ in range(chance.choice((1, 1, 2, 6))):
            if known and chance.random() < 0.5:
                index = chance.randrange(known)  # another title, time or category, or all of them
                time = chance.choice((None, chance.randrange(1_500_000)))
                put(desk, index, f"题{chance.randrange(99)}", f"c{chance.randrange(3)}", minutes=time)
                (desk.inbox / f"{index}.md").touch()
            else:
                put(desk, known, category=f"c{chance.randrange(3)}", minutes=chance.randrange(1_500_000))
                known += 1
        desk.run(publisher=publisher)
        assert differences(desk) == []
    with desk.store.reading() as reader:
        assert not any(reader.shifts(term.id) for term in reader.terms("category"))


def test_pages_may_be_turned_off_and_on(desk: Desk) -> None:
    put(desk, 1)
    desk.run()
    desk.presentation = Presentation(SITE, pages=False)
    desk.run()
    assert differences(desk) == []
    published = desk.published()
    assert not [path for path in published if path.startswith(("article/", "category/emnews/"))]
    assert f"http://finance.example.com/news/1350,{number(1)}.html" in published["category/emnews.html"].decode()
    desk.presentation = Presentation(SITE)
    desk.run()
    assert f"article/{number(1)}.html" in desk.published()
    assert differences(desk) == []


def test_another_zone_files_articles_under_other_days(desk: Desk) -> None:
    put(desk, 1, minutes=240)  # 2024-12-31 16:00 UTC, the new year in Shanghai
    desk.run()
    assert (desk.tree.root / names.archive_path("category/emnews", 2025, 1)).exists()
    desk.presentation = Presentation(Site(SITE.title, SITE.base_url, SITE.authority, timezone="UTC"))
    desk.run()
    assert (desk.tree.root / names.archive_path("category/emnews", 2024, 1)).exists()
    assert differences(desk) == []


def test_another_base_url_announces_nothing_again(desk: Desk) -> None:
    put(desk, 1)
    desk.run()
    before = desk.published()
    desk.presentation = Presentation(Site(SITE.title, "https://news.example.org/f", SITE.authority))
    desk.run()
    after = desk.published()
    assert before.keys() == after.keys()
    old, new = BASE.encode(), b"https://news.example.org/f/"
    for path, content in after.items():
        assert old not in content, path
        expected = before[path].replace(old, new)
        if path.endswith(".html"):  # the size of type is chosen by path
            expected = re.sub(rb'(class="to-\w+" href="|action=")/', rb"\1/f/", expected)
        assert content == expected, path
    assert new + b"article/" in after["all.atom"]
    assert differences(desk) == []


@needs_real
def test_the_real_articles_make_valid_pages(desk: Desk) -> None:
    desk.source.path.rmdir()
    desk.source.path.symlink_to(REAL)
    desk.run()
    for path in sorted(Path(desk.tree.root).rglob("*.html")):
        document = html.document_fromstring(path.read_bytes().decode())
        assert len(list(document.iter("h1"))) == 1, path
        assert all(image.get("loading") == "lazy" and image.get("alt") is not None for image in document.iter("img"))
        assert not [urlsplit(i.get("src")).scheme for i in document.iter("img") if "://" not in i.get("src")]
    assert differences(desk) == []
