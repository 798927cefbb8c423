"""Is this document whole, or is somebody still writing it? Judged by what it holds."""

from __future__ import annotations

import re

from feedsync.parse import frontmatter
from feedsync.parse.decode import cut_short

_OPEN_TAG = re.compile(r"<(?:[A-Za-z/!][^<>\n]{0,600})?$")
_TAG = re.compile(r"<(/?)(p|div|strong|span|a|center|table|ul|ol)\b[^<>]*>", re.IGNORECASE)
_RETURN = "\n[返回".encode()
_QUOTE_ONLY = re.compile(r">[^\n]*(?:\n>[^\n]*)*")


def looks_unfinished(content: bytes) -> bool:
    """Whether a document breaks off: inside a character, its front matter, a tag or a paragraph.

    Behind a closed front matter, a document that ends with a line end is never unfinished. Some documents
    that look unfinished are nevertheless all there is, so the caller must take them when they stand still.
    """
    if not content or b"\0" in content:
        return False
    if content.endswith(b")") and _RETURN in content[-600:]:
        return False  # ends with the pipeline's footer
    ended = content.endswith((b"\n", b"\r"))
    if not ended and cut_short(content):
        return True
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError as error:
            return not ended and error.start >= len(content) - 4 and error.reason.startswith("incomplete")
    text = text.replace("\r\n", "\n")
    if frontmatter.unfinished(text):
        return True
    if ended:
        return False
    post = text.lstrip().startswith("---")
    body = text.split("\n---", 1)[-1].partition("\n")[2].strip("\n") if post else text
    if not body.strip():
        return post
    return (
        bool(_OPEN_TAG.search(body[-700:]))
        or _open_element(body, post=post)
        or (post and bool(_QUOTE_ONLY.fullmatch(body)))
    )


def _open_element(body: str, *, post: bool) -> bool:
    """Whether the text ends inside an element; outside posts, only where elements are closed otherwise."""
    opened: dict[str, int] = {}
    for match in _TAG.finditer(body):
        name = match.group(2).lower()
        count = opened.get(name, 0)
        if match.group(1):
            opened[name] = max(0, count - 1)
        elif name == "p" and count:
            return False  # written without end tags
        else:
            opened[name] = count + 1
    return any(opened.values()) and (post or "</" in body)
