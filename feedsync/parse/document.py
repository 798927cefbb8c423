"""What a file says: its front matter, its footer, its digest; or the lines of a plain text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from feedsync.errors import Refused
from feedsync.parse import clean, frontmatter
from feedsync.parse.credit import split_tail
from feedsync.parse.decode import decode
from feedsync.parse.footer import split_footer, web_url
from feedsync.parse.plain import read_plain
from feedsync.parse.said import Said, compose
from feedsync.text import normalise, one_line, strip_illegal
from feedsync.values import replace

if TYPE_CHECKING:
    from datetime import tzinfo

    from feedsync.model import Document, Parsed
    from feedsync.parse.frontmatter import FrontMatter

CODE_FIELDS = ("infocode", "info_code", "info-code")
TITLE_FIELDS = ("title", "标题")
DATE_FIELDS = ("date", "published", "pubdate", "showtime", "datetime", "日期", "时间")
URL_FIELDS = ("url", "link", "source_url", "source-url", "url_w", "original_url", "canonical_url")
OUTLET_FIELDS = ("outlet", "source", "medianame", "media", "from", "来源")
SUMMARY_FIELDS = ("digest", "summary", "description", "excerpt", "摘要")
CATEGORY_FIELDS = ("categories", "category")
BODY_FIELDS = ("text", "content")
TAG_FIELDS = ("tags", "tag")

FALSE = ("false", "no", "off", "n", "0")
_NOT = (*FALSE, "null", "~")

_MAX_REPEATED = 4
_QUOTE_MARK = re.compile(r">[ \t]?")


def parse(document: Document, zone: tzinfo) -> Parsed:
    """Read one document. `zone` is the zone of times without one.

    Raises Refused with the reason and a remedy when it cannot become an article; nothing else.
    """
    return compose(_read(document.name, strip_illegal(decode(document.content))), zone)


def said_in_fields(fields: FrontMatter, body: str, name: str = "", url: str = "", *, withdrawn: bool = False) -> Said:
    """What named fields say beside a body. `url` is one known from elsewhere, asked for the key first."""
    summary, body = _split_digest(body)
    return Said(
        title=one_line(fields.text(*TITLE_FIELDS)),
        body=body,
        published=next(filter(None, (_date(fields.text(name)) for name in DATE_FIELDS)), ""),
        summary=summary or fields.text(*SUMMARY_FIELDS),
        outlet=next((v for v in fields.texts(*OUTLET_FIELDS) if "://" not in v), ""),
        code=fields.text(*CODE_FIELDS),
        urls=(url, web_url(fields.text(*URL_FIELDS))),
        name=name,
        categories=fields.texts(*CATEGORY_FIELDS),
        tags=fields.texts(*TAG_FIELDS),
        withdrawn=withdrawn,
    )


def _date(value: str) -> str:
    """A field that may be a date; Jekyll's `published: true` is none."""
    return "" if value.lower() in (*FALSE, "true", "yes", "on", "y", "1") else value


def _withdrawn(fields: FrontMatter) -> bool:
    """Whether it says that it is not to be shown: `withdrawn: true`, or Jekyll's `published: false`."""
    word = fields.text("withdrawn").lower()
    return (bool(word) and word not in _NOT) or fields.text("published").lower() in FALSE


def _read(name: str, text: str) -> Said:
    fields = frontmatter.split(text)
    if fields is None:
        plain = read_plain(text)
        body, url = split_footer(plain.body)
        summary, body = _split_digest(body, post=False)
        return Said(plain.title, body, plain.date, summary, plain.outlet, urls=(url,), name=name)
    if not fields.closed and not one_line(fields.text(*TITLE_FIELDS)):
        raise Refused(
            "front-matter",
            "the front matter never closes, and no title can be found without it",
            remedy="end it with a line ---",
        )
    fields = _without_second(fields)
    body, url = split_footer(fields.body)
    return said_in_fields(fields, body, name, url, withdrawn=_withdrawn(fields))


def _without_second(fields: FrontMatter) -> FrontMatter:
    """Without front matter that stands once more below itself; what only the later one says counts, too."""
    for _ in range(_MAX_REPEATED):
        again = frontmatter.split(fields.body) if fields.body.lstrip().startswith("---") else None
        if again is None or not again.closed or not again.texts(*TITLE_FIELDS, "layout"):
            break
        fields = replace(again, fields=again.fields | {name: value for name, value in fields.fields.items() if value})
    return fields


def _split_digest(body: str, *, post: bool = True) -> tuple[str, str]:
    """The quoted digest at the top of a body and the body without it; a digest alone is the body.

    The pipeline wrote `> `, the digest with whatever line breaks it held, and a blank line. Nothing is lost: before
    plain text, a quotation that the text does not say again stays, without its marks.
    """
    quotation = body.strip("\n")
    if not quotation.startswith(">"):
        return "", body
    lines = quotation.split("\n")
    count = next((n for n, line in enumerate(lines) if not line.strip() or line.startswith("<")), len(lines))
    quoted = one_line("\n".join(_QUOTE_MARK.sub("", line).strip() for line in lines[:count]))
    rest = "\n".join(lines[count:]).strip("\n")
    if rest and clean.looks_like_html(rest):
        return quoted, rest
    if not post or not (lines[0].startswith(("> ", ">\t")) or lines[0].strip() == ">"):
        return "", body  # a text that begins with a comparison: `>3000点`
    if not rest:
        return "", quoted
    words = split_tail(quoted)[0]
    return quoted, rest if normalise(words) in normalise(rest) else f"{words}\n{rest}"
