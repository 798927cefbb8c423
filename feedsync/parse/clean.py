"""Bodies as they come to HTML as it is published, and the text of such HTML.

Plain text and plain paragraphs are dealt with here; all other HTML needs a parser: see `markup`.
"""

from __future__ import annotations

import re
from html import escape, unescape

from feedsync.model import Credit, Symbol
from feedsync.parse.credit import is_empty_credit, outlet_of_line, split_tail
from feedsync.values import Struct

_LOOKS_HTML = re.compile(
    r"</?(?:p|div|br|span|a|img|strong|b|em|i|u|table|tr|td|ul|ol|li|h[1-6]|center|font|section|article|figure"
    r"|blockquote|pre|hr|script|style|iframe|svg|math|form|input|object|embed|video|audio|body|html|head|meta|link"
    r"|base|noscript|template|details|marquee|button|select|textarea)(?:[\s/]+[A-Za-z_:@][^<>]*)?[\s/]*>"
    r"|<!--|<!\[CDATA|<!doctype",
    re.IGNORECASE,
)
_SIMPLE = re.compile(r"\s*(?:<p(?: class=\"em_media\")?>(?:<strong>[^<]*</strong>|[^<]*)</p>\s*)+", re.ASCII)
_SIMPLE_PARAGRAPH = re.compile(r"<p( class=\"em_media\")?>(<strong>)?([^<]*)<")
_TAG_IN_CLEAN = re.compile(r"<[^>\"]*(?:\"[^\"]*\"[^>\"]*)*>")
_BLOCK_IN_CLEAN = re.compile(
    r"<(?:/?(?:p|div|figure|figcaption|blockquote|pre|li|h[1-6]|tr|td|th|dt|dd)|br|hr)\b[^>]*>"
)
_SPACES = re.compile(r"[ \t]+")


class Cleaned(Struct, frozen=True):
    """Publishable HTML with what was taken out of it."""

    html: str
    credit: Credit | None = None
    symbols: tuple[Symbol, ...] = ()


def looks_like_html(body: str) -> bool:
    """Whether a body is HTML rather than text that happens to hold a `<`."""
    return bool(_LOOKS_HTML.search(body))


def text_of(html: str) -> str:
    """The text of clean HTML, a line per block."""
    joined = html.replace("</p><p>", "\n\n")
    if joined.count("<") == 2 and joined.startswith("<p>") and joined.endswith("</p>"):
        text = joined[3:-4]  # nothing but paragraphs: the same, several times as fast
        return (unescape(text) if "&" in text else text).strip()
    text = _TAG_IN_CLEAN.sub("", _BLOCK_IN_CLEAN.sub("\n", html))
    return (unescape(text) if "&" in text else text).strip()


def paragraphs(text: str) -> str:
    """Plain text of legal characters as HTML, a paragraph per line; nothing in it is markup."""
    lines = (_one_space(line.strip()) for line in text.split("\n"))
    return "".join(f"<p>{escape(line, quote=False)}</p>" for line in lines if line)


def _one_space(line: str) -> str:
    return _SPACES.sub(" ", line) if "  " in line or "\t" in line else line


def clean_text(text: str) -> Cleaned:
    """Clean a plain-text body: its final credit goes, its lines become paragraphs."""
    lines = text.rstrip().split("\n")
    if len(lines) > 1 and (outlet := outlet_of_line(lines[-1])):
        return Cleaned(paragraphs("\n".join(lines[:-1])), Credit(Credit.LINE, outlet))
    rest, credit = split_tail(text)
    return Cleaned(paragraphs(rest), credit)


def clean_html(source: str, base: str = "") -> Cleaned:
    """Clean an HTML body of legal characters; relative links are resolved against `base` (an absolute URL or "").

    Raises Refused (`too-deep`) when elements are nested beyond what can be kept whole.
    """
    if simple := _clean_simple(source):
        return simple
    # lxml and nh3 take a while to import, and a worker process may never need them.
    from feedsync.parse.markup import clean_markup

    html, credit, symbols = clean_markup(source, base)
    return Cleaned(html, credit, symbols)


def _clean_simple(source: str) -> Cleaned | None:
    """The same result, without a parser, for a body of plain paragraphs and nothing else; None for any other.

    Most posts are like this. Their paragraphs hold text only (no `<`, `>`, `&` and no U+00A0, which the
    sanitiser would write as an entity), so there is nothing to sanitise; a property test holds the two ways
    against each other.
    """
    # As many `>` as `<`: all of them belong to the tags. This is twice as fast as to ask it of each character.
    if "&" in source or "\u00a0" in source or source.count("<") != source.count(">") or not _SIMPLE.fullmatch(source):
        return None
    found = _SIMPLE_PARAGRAPH.findall(source)
    parts = [(marked, strong, stripped) for marked, strong, text in found if (stripped := text.strip())]
    credit = None
    candidates = [number for number, part in enumerate(parts) if part[0]] or [len(parts) - 1] * bool(parts)
    outlets = {number: outlet for number in candidates if (outlet := outlet_of_line(parts[number][2]))}
    empty = [number for number in candidates if is_empty_credit(parts[number][2])]
    if outlets:
        credit = Credit(Credit.LINE, next(iter(outlets.values())))
    for number in sorted({*outlets, *empty}, reverse=True):
        del parts[number]
    if credit is None and parts and not parts[-1][1]:
        rest, credit = split_tail(parts[-1][2])
        if credit and rest:
            parts[-1] = ("", "", rest)
        else:
            credit = None
    html = "".join([f"<p><strong>{text}</strong></p>" if strong else f"<p>{text}</p>" for _, strong, text in parts])
    return Cleaned(html, credit)
