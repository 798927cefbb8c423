"""What text may hold, and when two texts say the same.

White space, the width of punctuation and the kind of quotation marks carry no meaning; letters, marks and
digits do.
"""

from __future__ import annotations

import re
from hashlib import sha256

# XML 1.0 forbids most C0 controls, surrogates, U+FFFE and U+FFFF; C1 controls and DEL are discouraged;
# the bidirectional overrides could turn a page's own words around.
_ILLEGAL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)


def _widths() -> dict[str, str]:
    """Full-width ASCII to ASCII, and typographic marks to their plainest form."""
    table = {chr(0xFF01 + offset): chr(0x21 + offset) for offset in range(94)}
    for plain, marks in (
        ('"', "“”„‟"),
        ("'", "‘’‚‛"),
        ("。", "｡"),
        ("、", "､"),
        ("・", "･"),
    ):
        table.update(dict.fromkeys(marks, plain))
    return table


_WIDTHS = _widths()
_COMMON = {mark: _WIDTHS[mark] for mark in "，：；！？（）“”％"}
_RARE = {mark: plain for mark, plain in _WIDTHS.items() if mark not in _COMMON}
_WIDTH_IN_UTF8 = re.compile(rb"\xef[\xbc\xbd]")
_QUOTE_IN_UTF8 = re.compile(rb"\xe2\x80[\x98-\x9f]")
"""Wherever a rare one is, one of these finds it: by its first byte, of which most texts have none. That takes half the
time of looking for them in the text."""


def normalise(text: str) -> str:
    """The text without white space, in one width of punctuation."""
    text = "".join(text.split())
    # Replacing each mark in turn is many times as fast as str.translate on Chinese text.
    for mark, plain in _COMMON.items():
        text = text.replace(mark, plain)
    encoded = _encoded(text)
    if _WIDTH_IN_UTF8.search(encoded) or _QUOTE_IN_UTF8.search(encoded):
        for mark, plain in _RARE.items():
            text = text.replace(mark, plain)
    return text


def digest(first: str | bytes, *others: str | bytes) -> bytes:
    """16 bytes that stand for these parts; the end of one cannot be taken for the start of the next."""
    hashed = sha256(_encoded(first))
    for part in others:
        hashed.update(hashed.digest())
        hashed.update(_encoded(part))
    return hashed.digest()[:16]


def _encoded(part: str | bytes) -> bytes:
    return part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part


def strip_illegal(text: str) -> str:
    """Without the code points that no XML document may hold, and without bidirectional overrides."""
    return _ILLEGAL.sub("", text)


def one_line(text: str) -> str:
    """Plain text on one line: line breaks and tabs become a space; inner spaces stay as they are."""
    if text.isprintable():
        return text.strip()
    return " ".join(
        part for part in re.split(r"[\t\n\x0b\x0c\r\x1c-\x1e\x85\u2028\u2029]+", strip_illegal(text)) if part
    ).strip()
