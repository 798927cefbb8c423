"""What a document says, whatever it was, and the article that makes: the one place where all of it comes together.

Files, fetched pages, records of a list and entries of an upstream feed all end here, so the same facts give
the same article wherever they came from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from feedsync.errors import Refused
from feedsync.model import Article, Body, Category, Credit, Moment, Parsed, Title
from feedsync.parse import clean
from feedsync.parse.credit import outlet_of_tag, split_tail
from feedsync.parse.dates import day_of_name, moment_of_day, read_moment
from feedsync.parse.footer import web_url
from feedsync.parse.identity import day_of_key, key_of_code, key_of_name, key_of_text, key_of_url
from feedsync.text import digest, normalise, one_line
from feedsync.values import Struct

if TYPE_CHECKING:
    from datetime import tzinfo

    from feedsync.model import Attribution

MAX_DERIVED_TITLE = 60
"""Characters of a title taken from the text."""

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff "
_NO_TAG = "新闻"
"""What the pipeline wrote for a post without an outlet: the suffix alone."""

_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?]?")


class Said(Struct, frozen=True):
    """What a document says before it is cleaned; "" or () where it says nothing. Text of legal characters."""

    title: str
    body: str
    published: str | Moment = ""
    """As written, or already read."""
    summary: str = ""
    outlet: str = ""
    """Named as such by the document, in a field or a line of its own."""
    publisher: str = ""
    """Whose site or feed it is: the outlet when nobody better is named."""
    code: str = ""
    """An explicit infoCode, in any spelling."""
    urls: tuple[str, ...] = ()
    """Source URLs; the first that names a key wins."""
    aliases: tuple[str, ...] = ()
    """URLs that may name the key, but are no source links."""
    base: str = ""
    """What relative links are relative to: an absolute URL; the first of `urls` when "" (by sort order)."""
    name: str = ""
    """Of the file: a last resort for the key and the day."""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    entry_key: str = ""
    """The key when no code is found; else one is made from title and time."""
    attribution: Attribution | None = None
    withdrawn: bool = False
    """It says that the article is not to be shown."""


def compose(said: Said, zone: tzinfo) -> Parsed:
    """The article these words make. `zone` is the zone of times without one.

    Raises Refused with the reason and a remedy when they make none; nothing else.
    """
    urls = tuple(sorted({absolute for url in said.urls if (absolute := web_url(url))}))
    base = said.base or (urls[0] if urls else "")
    body = said.body
    cleaned = clean.clean_html(body, base) if clean.looks_like_html(body) else clean.clean_text(body)
    summary, summary_credit = split_tail(one_line(said.summary))
    text = clean.text_of(cleaned.html)
    key, remarks = _key(said)
    # Who withdraws an article need not say what it was.
    title = _title(said.title, summary, text or (key if said.withdrawn and key else ""))
    moment = _moment(said, key, zone)
    tags = tuple(t for t in dict.fromkeys(map(one_line, said.tags)) if t and t != _NO_TAG)
    article = Article(
        key=key or said.entry_key or key_of_text(title.text, moment.at),
        title=title,
        body=measure(cleaned.html, text),
        published=moment,
        credit=_credit(said, cleaned.credit, summary_credit, tags),
        summary=summary,
        urls=urls,
        categories=_categories(said.categories, tags),
        tags=tuple(sorted(tags)),
        symbols=cleaned.symbols,
        attribution=said.attribution,
        withdrawn=said.withdrawn,
    )
    return Parsed(article, cleaned.html, remarks)


def measure(html: str, text: str) -> Body:
    """The measure of a clean text, by which the richer of two is chosen."""
    plain = normalise(text)
    return Body(len(plain), html.count("<img "), len(html), digest(html), digest(plain))


def _title(given: str, summary: str, text: str) -> Title:
    if given := given.strip(_INVISIBLE):
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


def _key(said: Said) -> tuple[str | None, tuple[str, ...]]:
    """The key: from an explicit code, else a source URL, else the file name; conflicts are remarked."""
    found = [
        key_of_code(said.code),
        next((key for url in said.urls + said.aliases if url and (key := key_of_url(url))), None),
        key_of_name(said.name),
    ]
    keys = [key for key in found if key]
    if len(set(keys)) <= 1:
        return (keys[0] if keys else None), ()
    others = sorted(set(keys[1:]) - {keys[0]})
    remarks = tuple(f"the document also names {other}; it is taken for {keys[0]}" for other in others)
    return keys[0], remarks


def _moment(said: Said, key: str | None, zone: tzinfo) -> Moment:
    """The time it names, else the day in the infoCode, else the day in the file name."""
    moment = said.published if isinstance(said.published, Moment) else read_moment(said.published, zone)
    if moment:
        return moment
    day = (day_of_key(key) if key else None) or day_of_name(said.name)
    if day is None:
        raise Refused(
            "no-time",
            "it names no time: neither a date, nor an infoCode, nor a day in its file name",
            remedy="add a line `date: 2022-04-21 18:36:14 +0800`",
        )
    return moment_of_day(day, zone)


def _credit(said: Said, line: Credit | None, digest_credit: Credit | None, tags: tuple[str, ...]) -> Credit | None:
    candidates = [c for c in (line, digest_credit) if c]
    if said.outlet:
        candidates.append(Credit(Credit.LINE, one_line(said.outlet)))
    if said.publisher:
        candidates.append(Credit(Credit.TAG, one_line(said.publisher)))
    elif tag := next((named for t in tags if (named := outlet_of_tag(t))), ""):
        candidates.append(Credit(Credit.TAG, tag))
    return max(candidates, key=lambda c: c.rank, default=None)


def _categories(values: tuple[str, ...], tags: tuple[str, ...]) -> tuple[Category, ...]:
    """Each value with the tag that stands beside it as its label; a value with spaces is one category."""
    terms = tuple(dict.fromkeys(filter(None, map(one_line, values))))
    labels = tags if len(terms) == len(tags) else tags[:1] if len(terms) == 1 else ()
    padded = (*labels, *([""] * (len(terms) - len(labels))))
    return tuple(sorted(Category(term, label) for term, label in zip(terms, padded, strict=False)))
