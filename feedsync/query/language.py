"""Queries as people write them, to expressions.

    query = both { OR both }
    both  = one { [AND] one }
    one   = ( NOT | - ) one | ( query ) | [scheme:] word | [scheme:] "phrase" | after:time | before:time

Full-width quotation marks, parentheses and colons count as the plain ones: that is what an input method types.
"""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

from feedsync.errors import UsageError
from feedsync.query.expression import And, Before, Expression, Field, Not, Or, Scheme, Since, Text
from feedsync.query.match import fold
from feedsync.text import strip_illegal
from feedsync.values import Struct

if TYPE_CHECKING:
    from datetime import tzinfo

MAX_CHARACTERS = 1000
MAX_TERMS = 64
MAX_DEPTH = 16

_SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
_PREFIXES = (*_SCHEMES, "after", "before")
_QUOTES = '"“”'
_TOKEN = re.compile(
    rf"""\s*(?:
    (?P<open>[(（])|(?P<close>[)）])
    |(?P<minus>-)(?=[^\s)）])
    |(?:(?P<prefix>[A-Za-z]+)[:：])?[{_QUOTES}](?P<phrase>(?:\\.|[^\\{_QUOTES}])*)(?P<end>[{_QUOTES}]?)
    |(?P<word>[^\s{_QUOTES}()（）]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_PREFIXED = re.compile(r"([A-Za-z]+)[:：](.*)", re.DOTALL)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?)?", re.ASCII)


class QueryError(UsageError):
    """A query that means nothing: what is wrong, at which character (from 1), and what to do."""


class _Token(Struct, frozen=True):
    at: int
    kind: str
    value: str
    prefix: str = ""


def parse_query(query: str, zone: tzinfo) -> Expression:
    """What a query means. `zone` is that of times without one. Raises QueryError, nothing else."""
    if len(query) > MAX_CHARACTERS:
        raise QueryError(f"the query has {len(query)} characters", remedy=f"use {MAX_CHARACTERS} at most")
    for at, character in enumerate(query, 1):
        if strip_illegal(character) != character:
            raise QueryError(f"U+{ord(character):04X} at character {at} stands in no article", remedy="remove it")
    tokens = list(_tokens(query))
    if not tokens:
        raise QueryError("the query is empty", remedy="give a word")
    if sum(token.kind == "term" for token in tokens) > MAX_TERMS:
        raise QueryError("the query has too many words", remedy=f"use {MAX_TERMS} at most")
    return _Parser(tokens, zone, len(query)).whole()


def quoted(text: str) -> str:
    """A phrase that finds just this text. Typographic quotation marks are compared as plain ones."""
    return '"' + re.sub(rf"[\\{_QUOTES}]", r"\\\g<0>", text) + '"'


def _tokens(query: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while match := _TOKEN.match(query, at):
        begins, at = match.start(match.lastgroup or 0) + 1, match.end()
        if match["open"] or match["close"] or match["minus"]:
            tokens.append(_Token(begins, match.lastgroup or "", match[0].strip()))
        elif match["phrase"] is not None:
            begins = match.start() + len(match[0]) - len(match[0].lstrip()) + 1
            if not match["end"]:
                raise QueryError(
                    f"the quotation that begins at character {begins} does not end", remedy='close it with "'
                )
            tokens.append(_term(begins, match["prefix"] or "", re.sub(r"\\(.)", r"\1", match["phrase"], flags=re.S)))
        else:
            word = match["word"]
            prefixed = _PREFIXED.fullmatch(word)
            if word in ("AND", "OR", "NOT"):
                tokens.append(_Token(begins, word.lower(), word))
            elif prefixed and _is_prefix(prefixed[1], begins):
                tokens.append(_term(begins, prefixed[1], prefixed[2]))
            else:
                tokens.append(_term(begins, "", word))
    return tokens


def _term(at: int, prefix: str, value: str) -> _Token:
    if prefix and not _is_prefix(prefix, at):
        raise QueryError(
            f"{prefix}: at character {at} is nothing to search in", remedy=f"there are {', '.join(_PREFIXES)}"
        )
    return _Token(at, "term", value, prefix.lower())


def _is_prefix(name: str, at: int) -> bool:
    """Whether this names something to search in. Raises QueryError for what was probably meant to."""
    name = name.lower()
    if name in _PREFIXES:
        return True
    if near := difflib.get_close_matches(name, _PREFIXES, 1, 0.75):
        raise QueryError(
            f"{name}: at character {at} is nothing to search in",
            remedy=f'write {near[0]}:, or "{name}:..." to search for these characters',
        )
    return False


class _Parser:
    """Recursive descent over tokens; nests MAX_DEPTH deep at most."""

    def __init__(self, tokens: list[_Token], zone: tzinfo, length: int) -> None:
        self._tokens = tokens
        self._zone = zone
        self._end = _Token(length + 1, "end", "")
        self._next = 0
        self._depth = 0

    def whole(self) -> Expression:
        expression = self._query()
        token = self._peek()
        if token.kind != "end":
            raise QueryError(f") at character {token.at} closes nothing", remedy='remove it, or quote it: ")"')
        return expression

    def _peek(self) -> _Token:
        return self._tokens[self._next] if self._next < len(self._tokens) else self._end

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _query(self) -> Expression:
        parts = [self._both()]
        while self._peek().kind == "or":
            self._take()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self) -> Expression:
        parts = [self._one()]
        while (kind := self._peek().kind) not in ("or", "close", "end"):
            if kind == "and":
                self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Expression:
        token = self._take()
        if token.kind in ("not", "minus", "open"):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise QueryError(f"the query nests too deeply at character {token.at}", remedy="make it simpler")
            expression = self._group(token) if token.kind == "open" else Not(self._one())
            self._depth -= 1
            return expression
        if token.kind == "term":
            return self._term(token)
        found = token.value if token.kind != "end" else "the end"
        raise QueryError(
            f"a word is missing before {found} at character {token.at}",
            remedy='put one there; to search for AND, OR, NOT or a parenthesis, quote it: "AND"',
        )

    def _group(self, opened: _Token) -> Expression:
        expression = self._query()
        if self._take().kind != "close":
            raise QueryError(f"( at character {opened.at} is never closed", remedy="close it with )")
        return expression

    def _term(self, token: _Token) -> Expression:
        if token.prefix in ("after", "before"):
            moment = _moment(token, self._zone)
            return Since(moment) if token.prefix == "after" else Before(moment)
        folded = fold(token.value)
        if not folded:
            place = f"after {token.prefix}: " if token.prefix else ""
            raise QueryError(f"there is nothing {place}at character {token.at}", remedy="give a word there")
        for scheme in _SCHEMES:
            if token.prefix == scheme:
                return Field(scheme, folded)
        return Text(folded)


def _moment(token: _Token, zone: tzinfo) -> datetime:
    text = token.value.replace("：", ":")
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise QueryError(
            f"{token.prefix}:{token.value} at character {token.at} names no time",
            remedy="write a day or a time: 2026-01-31, 2026-01-31T09:30",
        ) from error
