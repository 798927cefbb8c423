"""From a document to the article in it: the one place where all that a document says comes together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, tzinfo

from feedsync.errors import Refused
from feedsync.model import Article, Body, Category, Credit, Document, Moment, Parsed, Title
from feedsync.parse import clean, frontmatter
from feedsync.parse.credit import outlet_of_tag, split_tail
from feedsync.parse.dates import moment_of_day, read_moment
from feedsync.parse.decode import decode
from feedsync.parse.footer import split_footer, web_url
from feedsync.parse.frontmatter import FrontMatter
from feedsync.parse.identity import day_of_key, key_of_code, key_of_name, key_of_text, key_of_url
from feedsync.parse.plain import read_plain
from feedsync.text import digest, normalise, one_line, strip_illegal

MAX_DERIVED_TITLE = 60
"""Characters of a title taken from the text."""

_CODE_FIELDS = ("infocode", "info_code", "info-code")
_TITLE_FIELDS = ("title", "标题")
_DATE_FIELDS = ("date", "published", "pubdate", "showtime", "datetime", "日期", "时间")
_URL_FIELDS = ("url", "link", "source_url", "source-url", "url_w", "original_url", "canonical_url")
_OUTLET_FIELDS = ("outlet", "source", "medianame", "media", "from", "来源")
_SUMMARY_FIELDS = ("digest", "summary", "description", "excerpt", "摘要")
_CATEGORY_FIELDS = ("categories", "category")
_TAG_FIELDS = ("tags", "tag")

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff "
_NO_TAG = "新闻"
"""What the pipeline wrote for a post without an outlet: the suffix alone."""

_NAME_DAY = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_.]?(\d{2})[-_.]?(\d{2})(?!\d)", re.ASCII)
_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?]?")
_QUOTE_LINE = re.compile(r">[ \t]?(.*)")


@dataclass(frozen=True, slots=True)
class _Said:
    """What a document says before it is cleaned; "" where it says nothing."""

    title: str
    date: str
    body: str
    fields: FrontMatter
    outlet: str = ""


def parse(document: Document, zone: tzinfo) -> Parsed:
    """Read one document. `zone` is the zone of times without one.

    Raises Refused with the reason and a remedy when it cannot become an article; nothing else.
    """
    said = _read(strip_illegal(decode(document.content)))
    body, footer_url = split_footer(said.body)
    urls = tuple(sorted({u for u in (web_url(footer_url), web_url(said.fields.text(*_URL_FIELDS))) if u}))
    summary, body = _split_digest(body)
    base = urls[0] if urls else ""
    cleaned = clean.clean_html(body, base) if clean.looks_like_html(body) else clean.clean_text(body)
    summary = one_line(summary or said.fields.text(*_SUMMARY_FIELDS))
    summary, summary_credit = split_tail(summary)
    text = clean.text_of(cleaned.html)
    title = _title(said.title, summary, text)
    key, remarks = _key(document.name, said.fields, (footer_url, *urls))
    moment = _moment(document.name, said.date, key, zone)
    tags = tuple(t for t in dict.fromkeys(map(one_line, said.fields.texts(*_TAG_FIELDS))) if t and t != _NO_TAG)
    article = Article(
        key=key or key_of_text(title.text, moment.at),
        title=title,
        body=measure(cleaned.html, text),
        published=moment,
        credit=_credit(said, cleaned.credit, summary_credit, tags),
        summary=summary,
        urls=urls,
        categories=_categories(said.fields, tags),
        tags=tuple(sorted(tags)),
        symbols=cleaned.symbols,
    )
    return Parsed(article, cleaned.html, remarks)


def measure(html: str, text: str) -> Body:
    """The measure of a clean text, by which the richer of two is chosen."""
    plain = normalise(text)
    return Body(len(plain), html.count("<img "), len(html), digest(html), digest(plain))


def _read(text: str) -> _Said:
    fields = frontmatter.split(text)
    if fields is None:
        plain = read_plain(text)
        return _Said(plain.title, plain.date, plain.body, FrontMatter({}, ""), plain.outlet)
    title = one_line(fields.text(*_TITLE_FIELDS))
    if not fields.closed and not title:
        raise Refused(
            "front-matter",
            "the front matter never closes, and no title can be found without it",
            remedy="end it with a line ---",
        )
    return _Said(title, fields.text(*_DATE_FIELDS), fields.body, fields)


def _split_digest(body: str) -> tuple[str, str]:
    """The quoted digest at the top of a body and the body without it; a digest alone is the body."""
    lines = body.strip("\n").split("\n")
    count = 0
    while count < len(lines) and (lines[count].startswith("> ") or lines[count] == ">"):
        count += 1
    if not count:
        return "", body
    quoted = " ".join(m.group(1).strip() for line in lines[:count] if (m := _QUOTE_LINE.fullmatch(line)))
    rest = "\n".join(lines[count:]).strip("\n")
    if not rest.strip():
        return "", quoted
    return (quoted, rest) if clean.looks_like_html(rest) else ("", body)


def _title(given: str, summary: str, text: str) -> Title:
    if given.strip(_INVISIBLE):
        return Title(True, given)
    for words in (summary, text):
        if match := _SENTENCE.search(words.strip()):
            sentence = one_line(match.group(0))
            short = sentence if len(sentence) <= MAX_DERIVED_TITLE else sentence[: MAX_DERIVED_TITLE - 1] + "…"
            if short:
                return Title(False, short)
    if words := one_line(text):
        return Title(False, words[:MAX_DERIVED_TITLE])
    raise Refused(
        "no-text",
        "it has no title, and no words to take one from",
        remedy="write the article again, or delete the file",
    )


def _key(name: str, fields: FrontMatter, urls: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The key: from an explicit code, else a source URL, else the file name; conflicts are remarked."""
    found = [
        key_of_code(fields.text(*_CODE_FIELDS)),
        next((key for url in dict.fromkeys(urls) if (key := key_of_url(url))), None),
        key_of_name(name),
    ]
    keys = [key for key in found if key]
    if not keys:
        return None, ()
    others = sorted(set(keys[1:]) - {keys[0]})
    remarks = tuple(f"the document also names {other}; it is taken for {keys[0]}" for other in others)
    return keys[0], remarks


def _moment(name: str, written: str, key: str | None, zone: tzinfo) -> Moment:
    """Front matter or date line, else the day in the infoCode, else the day in the file name."""
    if moment := read_moment(written, zone):
        return moment
    day = (day_of_key(key) if key else None) or _day_of_name(name)
    if day is None:
        raise Refused(
            "no-time",
            "it names no time: neither a date, nor an infoCode, nor a day in its file name",
            remedy="add a line `date: 2022-04-21 18:36:14 +0800`",
        )
    return moment_of_day(day, zone)


def _day_of_name(name: str) -> date | None:
    for match in _NAME_DAY.finditer(name):
        try:
            return date(*map(int, match.groups()))
        except ValueError:
            continue
    return None


def _credit(said: _Said, line: Credit | None, digest_credit: Credit | None, tags: tuple[str, ...]) -> Credit | None:
    named = said.outlet or next((v for v in said.fields.texts(*_OUTLET_FIELDS) if "://" not in v), "")
    candidates = [c for c in (line, digest_credit) if c]
    if named:
        candidates.append(Credit(Credit.LINE, one_line(named)))
    if tag := next((outlet for t in tags if (outlet := outlet_of_tag(t))), ""):
        candidates.append(Credit(Credit.TAG, tag))
    return max(candidates, key=lambda c: c.rank, default=None)


def _categories(fields: FrontMatter, tags: tuple[str, ...]) -> tuple[Category, ...]:
    """Each value with the tag that stands beside it as its label; a value with spaces is one category."""
    terms = tuple(dict.fromkeys(filter(None, map(one_line, fields.texts(*_CATEGORY_FIELDS)))))
    labels = tags if len(terms) == len(tags) else tags[:1] if len(terms) == 1 else ()
    padded = (*labels, *([""] * (len(terms) - len(labels))))
    return tuple(sorted(Category(term, label) for term, label in zip(terms, padded, strict=False)))
