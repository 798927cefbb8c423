"""What fuzzers feed, and what must hold whatever they feed. Raises on anything that must not be.

`parse` strips what XML forbids before the text reaches its parts, so a part is fed text without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC

from lxml import etree

from feedsync.errors import Refused
from feedsync.parse import looks_unfinished
from feedsync.parse.clean import clean_html, clean_text, text_of
from feedsync.parse.dates import find_moment, read_moment
from feedsync.parse.decode import decode
from feedsync.parse.frontmatter import split, unfinished
from feedsync.parse.plain import read_plain
from feedsync.text import strip_illegal
from tests.conftest import SHANGHAI, read
from tests.hostile.corpus import dangers

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def front_matter(data: bytes) -> None:
    """Fields of text and a body that was there, or a refusal."""
    text = "---\n" + data.decode("utf-8", "replace")
    unfinished(text)
    try:
        found = split(text)
    except Refused:
        return
    if found is not None:
        for name, value in found.fields.items():
            assert isinstance(name, str)
            assert all(isinstance(part, str) for part in ([value] if isinstance(value, str) else value))
        assert found.body in text or found.body.replace("\r", "") in text.replace("\r", "")


def plain_text(data: bytes) -> None:
    """Parts of a text; nothing but a refusal is raised."""
    try:
        text = strip_illegal(decode(data))
        read_plain(text)
        publishable(clean_text(text).html)
    except Refused:
        return


def cleaner(data: bytes) -> None:
    """Publishable, and the same when cleaned again, but for credits: each time the last one goes."""
    source = strip_illegal(data.decode("utf-8", "replace"))
    try:
        once = clean_html(source, "https://a.example/b/").html
    except Refused:
        return
    publishable(once)
    text_of(once)
    while (again := clean_html(once, "https://a.example/b/").html) != once:
        publishable(again)
        assert len(again) < len(once), (once, again)
        once = again


def dates(data: bytes) -> None:
    """A moment in UTC, nothing, or a refusal."""
    text = data.decode("utf-8", "replace")
    for written in (text, find_moment(text) or ""):
        try:
            moment = read_moment(written, SHANGHAI)
        except Refused:
            continue
        assert moment is None or (moment.at.tzinfo == UTC and 1 <= moment.at.year <= 9999)


def document(data: bytes) -> None:
    """An article with a title and publishable text, or a refusal with a remedy; never a fault of ours."""
    looks_unfinished(data)
    try:
        parsed = read("202503142600000001.md", data)
    except Refused as refused:
        assert refused.remedy
        return
    assert parsed.article.title.text == parsed.article.title.text.strip() != ""
    assert "\n" not in parsed.article.title.text
    for text in (parsed.article.title.text, *(c.term for c in parsed.article.categories), *parsed.article.tags):
        assert not _ILLEGAL.search(text)
    publishable(parsed.html)


def publishable(html: str) -> None:
    """Harmless, and text that XML may hold."""
    assert not _ILLEGAL.search(html), ascii(html)
    assert dangers(html) == []
    element = etree.Element("content")
    element.text = html
    assert etree.fromstring(etree.tostring(element)).text == (html or None)


TARGETS: dict[str, Callable[[bytes], None]] = {
    function.__name__: function for function in (front_matter, plain_text, cleaner, dates, document)
}
