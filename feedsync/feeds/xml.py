"""XML as text: well-formed by construction, and parsed once more before it is handed out.

What many documents share, an entry, is parsed once, and so is each document without such parts: an element stands
between any tags, so documents put together of both are well-formed (XML 1.0, productions 39 and 43).
"""

from __future__ import annotations

from xml.parsers import expat

from feedsync.errors import OutputError

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def escape(text: str) -> str:
    """Text as it may stand between tags and in double quotes; carriage returns survive parsing."""
    return escape_text(text).replace('"', "&quot;")


def escape_text(text: str) -> str:
    """Text as it may stand between tags, escaped as libxml2 does; carriage returns survive parsing."""
    for mark, reference in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        if mark in text:
            text = text.replace(mark, reference)
    return text


def check_element(part: bytes, name: str) -> None:
    """Raise OutputError unless the bytes are one well-formed element, without a prolog."""
    if part[:1] != b"<" or part[1:2] in (b"?", b"!"):
        raise OutputError(f"{name} would not be an element: {part[:40]!r}", remedy="report this as a bug")
    check_well_formed(part, name)


def check_well_formed(document: bytes, name: str) -> None:
    """Raise OutputError unless the bytes are well-formed XML."""
    try:
        expat.ParserCreate().Parse(document, True)
    except expat.ExpatError as error:
        raise OutputError(f"{name} would not be well-formed XML: {error}", remedy="report this as a bug") from error
