"""Every payload published, and what came of it read back as readers read it."""

import re

import pytest
from lxml import etree
from lxml import html as lxml_html

from tests.conftest import Desk, read
from tests.hostile.corpus import articles, dangers, payloads

ATOM = "{http://www.w3.org/2005/Atom}"


def test_the_judge_knows_danger_when_it_sees_it() -> None:
    for bad in ("<script>x</script>", "<img src=x onerror=y>", '<a href="javascript:x">a</a>', "<p style=x>a</p>",
                "<svg><a/></svg>", "<!-- x -->", '<img src="http://evil.test/x">', "<iframe></iframe>"):  # fmt: skip
        assert dangers(bad), bad
    assert dangers('<p>甲<a href="https://a.example/">乙</a><img src="https://a.example/b.jpg" alt=""></p>') == []


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("hostile"))
    for name, content in articles():
        desk.put(name, content)
    report = desk.run().sources["articles"]
    desk.close()
    assert report.new > 2.5 * len(payloads())
    return desk


def test_no_feed_holds_danger(desk: Desk) -> None:
    seen = 0
    for path in desk.tree.root.rglob("*.atom"):
        feed = etree.parse(path)
        for entry in feed.iter(ATOM + "entry"):
            content = entry.findtext(ATOM + "content") or ""
            assert dangers(content) == [], content
            assert entry.find(ATOM + "title").get("type", "text") == "text"
            seen += 1
        for link in feed.iter(ATOM + "link"):
            assert re.match(r"https?://[^\s<>\"]+$", link.get("href", "")), etree.tostring(link)
    assert seen > len(payloads())


def test_no_page_holds_danger(desk: Desk) -> None:
    pages = list(desk.tree.root.rglob("*.html"))
    assert len(pages) > 2.5 * len(payloads())
    for path in pages:
        page = lxml_html.document_fromstring(path.read_bytes())
        heads = page.findall("head")
        assert len(heads) == 1
        assert {element.tag for element in heads[0]} <= {"meta", "title", "link", "style"}
        for link in heads[0].findall("link"):
            assert re.match(
                r"http://127\.0\.0\.1:8080/|(?:\.\./)*[a-z]+/[a-z0-9_-]+\.(?:atom|rss|json|html|css)$",
                link.get("href", ""),
            )
        for element in page.find("body").iterdescendants():
            assert element.tag not in ("script", "style", "iframe", "object", "meta", "base", "svg", "math")
            assert element.tag != "form" or path.name == "index.html"  # its own, for searches
            for name, value in element.items():
                assert not name.startswith("on"), (path, name)
                assert name != "style"
                assert not re.match(r"\s*(?:javascript|data|vbscript|file|blob)\s*:", value, re.IGNORECASE), (
                    path,
                    value,
                )


def test_cleaning_twice_is_cleaning_once() -> None:
    for payload in (p for p in payloads() if "\0" not in p):
        once = read("a.md", f"---\ntitle: T\ndate: 2022-01-01 10:00:00\n---\n<p>前。</p>{payload}<p>后。</p>\n").html
        assert "前。" in once
        twice = read("a.md", f"---\ntitle: T\ndate: 2022-01-01 10:00:00\n---\n{once}\n").html
        assert twice == once, payload
