"""Published feeds against the standards, and against what three parsers take from them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import feedparser
import jsonschema
import pytest
from lxml import etree

from feedsync.feeds import FORMATS
from tests.conftest import REAL, ROOT, Desk, needs_real
from tests.test_formats import in_atom, in_json, in_rss

HERE = Path(__file__).parent
ATOM = "{http://www.w3.org/2005/Atom}"
READ = {"atom": in_atom, "rss": in_rss, "json": in_json}


@pytest.fixture(scope="module", params=["seeds", pytest.param("real", marks=needs_real)])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tree made from a folder of articles."""
    desk = Desk(tmp_path_factory.mktemp(request.param))
    desk.inbox.rmdir()
    desk.inbox.symlink_to(ROOT / "seeds" if request.param == "seeds" else REAL)
    desk.run()
    yield desk.tree.root
    desk.close()


def stems(tree: Path) -> list[Path]:
    found = sorted(path.with_name(path.name.removesuffix(".atom")) for path in tree.rglob("*.atom"))
    assert len(found) > 2
    return found


def of(stem: Path, extension: str) -> Path:
    """A file of a feed, whose name may hold dots."""
    return stem.with_name(f"{stem.name}.{extension}")


def test_atom_is_what_rfc_4287_asks_for(tree: Path) -> None:
    schema = etree.RelaxNG(etree.parse(HERE / "atom.rng"))
    for stem in stems(tree):
        feed = etree.parse(of(stem, "atom"))
        schema.assertValid(feed)
        for element in feed.iter(ATOM + "feed", ATOM + "entry"):
            relations = [(link.get("rel"), link.get("type")) for link in element.iterfind(ATOM + "link")]
            assert relations.count(("alternate", "text/html")) == 1
            assert element.find(ATOM + "author") is not None
            assert element.findtext(ATOM + "title")
        for url in feed.xpath("//@href | //@scheme"):
            assert re.match(r"https?://[^\s]+$", url)


@pytest.mark.parametrize(
    "broken",
    [
        ("<id>", "<ident>"),
        ("<updated>", "<updated>yesterday "),
        ("<entry>", "<entry><updated>2026-01-01T00:00:00Z</updated>"),
        (' href="', ' target="'),
        ('type="html"', 'type="xhtml"'),
        ("<author>", "<author><nick/>"),
    ],
)
def test_the_schema_finds_faults(tree: Path, broken: tuple[str, str]) -> None:
    text = (tree / "all.atom").read_text(encoding="utf-8")
    text = text.replace(broken[0], broken[1], 1)
    if broken[1] == "<ident>":
        text = text.replace("</id>", "</ident>", 1)
    with pytest.raises(etree.DocumentInvalid):
        etree.RelaxNG(etree.parse(HERE / "atom.rng")).assertValid(etree.fromstring(text.encode()))


def test_json_feed_is_what_the_specification_asks_for(tree: Path) -> None:
    schema = json.loads((HERE / "jsonfeed.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for stem in stems(tree):
        jsonschema.validate(json.loads(of(stem, "json").read_bytes()), schema)


def test_rss_is_what_the_specification_asks_for(tree: Path) -> None:
    for stem in stems(tree):
        rss = etree.parse(of(stem, "rss")).getroot()
        assert (rss.tag, rss.get("version")) == ("rss", "2.0")
        (channel,) = rss
        for name in ("title", "link", "description", "language", "lastBuildDate", "generator"):
            assert len(channel.findall(name)) == 1, name
            assert channel.findtext(name)
        for entry in channel.iter("item"):
            names = [etree.QName(child).localname for child in entry if child.tag != "category"]
            assert names == ["title", "link", "guid", "pubDate", "updated", "creator", "description", "encoded"]
            assert [child.tag for child in entry if not child.text] == ["description"]


def test_opml_names_every_feed_that_is_there(tree: Path) -> None:
    outlines = etree.parse(tree / "feeds.opml").findall("body//outline[@type]")
    urls = [outline.get("xmlUrl") for outline in outlines]
    assert sorted(urls) == sorted(f"http://127.0.0.1:8080/{s.relative_to(tree)}.atom" for s in stems(tree))
    for outline in outlines:
        assert outline.get("text") == outline.get("title")
        path = outline.get("htmlUrl").removeprefix("http://127.0.0.1:8080/")
        assert (tree / (path or "index.html")).is_file()


def test_all_formats_hold_the_same_entries(tree: Path) -> None:
    everywhere: dict[str, Any] = {}
    for stem in stems(tree):
        said = {f.extension: READ[f.extension](of(stem, f.extension).read_bytes()) for f in FORMATS}
        assert said["atom"] == said["rss"] == said["json"]
        ids = [entry.id for entry in said["atom"]]
        assert len(ids) == len(set(ids))
        for entry in said["atom"]:
            assert re.fullmatch(r"tag:[!-~]{1,251}", entry.id)
            assert everywhere.setdefault(entry.id, entry) == entry


def test_feedparser_takes_the_same_from_atom_and_rss(tree: Path) -> None:
    for stem in stems(tree):
        atom, rss = (feedparser.parse(of(stem, extension).read_bytes()) for extension in ("atom", "rss"))
        assert not atom.bozo
        assert not rss.bozo
        assert (atom.version, rss.version) == ("atom10", "rss20")
        assert (atom.feed.title, atom.feed.link) == (rss.feed.title, rss.feed.link)
        assert len(atom.entries) == len(rss.entries) > 0
        for one, other in zip(atom.entries, rss.entries, strict=True):
            for name in ("id", "title", "link", "published_parsed", "updated_parsed", "author"):
                assert one[name] == other[name], name
            assert [c.value for c in one.content] == [c.value for c in other.content]
            assert list(dict.fromkeys(tag.label for tag in one.tags)) == list(
                dict.fromkeys(tag.term for tag in other.tags)
            )
            assert not other.guidislink
