"""Telling a document somebody still writes from one that is all there is."""

import pytest

from feedsync.parse import looks_unfinished
from tests.conftest import post

HTML = post(body='<p>第一段。</p>\n <p>第二段<strong>要点</strong>。</p><p class="em_media">（文章来源：甲报）</p>')
DIGEST = post(body="> 摘要。（甲报）\n\n<p>第一段。</p>")


@pytest.mark.parametrize("text", [HTML, DIGEST, post(body="\n第一段。\n"), "标题\n2025/3/14 13:42\n正文", "正文"])
def test_whole_documents_are_whole(text: str) -> None:
    for content in (text.encode(), text.encode("gb18030"), b"\xef\xbb\xbf" + text.encode(), text.encode() + b"\n"):
        assert not looks_unfinished(content)


def test_a_post_cut_inside_its_markup_is_unfinished() -> None:
    content = HTML.encode()
    body_ends = content.index(b"</p><p class")
    told = [cut for cut in range(10, body_ends) if looks_unfinished(content[:cut])]
    # What cannot be told is a cut right behind a line end or a closed element.
    untold = [content[:cut][-6:] for cut in range(10, body_ends) if cut not in set(told)]
    assert all(tail.rstrip(b" ").endswith((b"\n", b"</p>")) for tail in untold)


@pytest.mark.parametrize(
    "text",
    ["<p>一<p>二", "---\ntitle: 一\n---\n<p>一", "<br>一", "---\ntitle: 一\ndate: 2025-01-01\n---\n正文没有句号"],
)
def test_documents_that_are_simply_so(text: str) -> None:
    assert not looks_unfinished((text + "\n").encode())


@pytest.mark.parametrize("text", ["", "\0", "---", "-", "a"])
def test_scraps(text: str) -> None:
    assert looks_unfinished(text.encode()) is (text in ("---", "-"))


def test_front_matter_that_stops_after_a_line() -> None:
    for end in ("\n", "\r\n"):
        fields = f"---{end}layout: post{end}"
        assert not looks_unfinished((fields + f"categories: x{end}").encode())  # refused, and healed
        assert looks_unfinished((fields + f"title: 一{end}").encode())  # would be published half
        assert looks_unfinished((fields + "categ").encode())
        assert not looks_unfinished((fields + f"title: 一{end}{end}正文在此，没有结束的分隔线。{end}").encode())
