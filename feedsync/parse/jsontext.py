"""JSON as servers send it: in a JSONP wrapper or not, with raw line breaks in its strings or not."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from feedsync.errors import Refused
from feedsync.parse.charset import decode_web
from feedsync.text import one_line, strip_illegal

if TYPE_CHECKING:
    from collections.abc import Iterable

_WRAPPER = re.compile(
    r"(?:/\*.{0,200}?\*/)?\s*(?:(?:var|let|const|window\.)\s*)?[A-Za-z_$][\w$.\[\]'\"]{0,200}\s*(?P<open>[(=])\s*",
    re.DOTALL,
)
_GUARD = re.compile(r"(?:\)\]\}'|while\s*\(1\);|for\s*\(;;\);)[,;]?\s*")
_COMMENT = re.compile(r"/\*.{0,200}?\*/\s*", re.DOTALL)
_START = frozenset('{["')


def read_json(content: bytes, media_type: str) -> object:
    """The value in a response that was promised to be JSON, out of its JSONP wrapper.

    Raises Refused: those of `decode_web`, and `not-json`.
    """
    return load(decode_web(content, media_type))


def load(text: str) -> object:
    """The value in JSON text. Raises Refused (`not-json`)."""
    text = strip_illegal(text).strip()
    try:
        return json.loads(unwrap(text), strict=False, parse_constant=_nothing)
    except RecursionError as error:
        raise _refuse("it is nested too deep") from error
    except ValueError as error:
        why = "it is an HTML page" if text[:1] == "<" else str(error)
        raise _refuse(why) from error


def unwrap(text: str) -> str:
    """Without `callback(...);`, `var name = ...;` or a guard against inclusion."""
    if match := _GUARD.match(text):
        text = text[match.end() :]
    if match := _COMMENT.match(text):
        text = text[match.end() :]
    if text[:1] == "(":
        text = "_" + text
    if text[:1] in _START or not (match := _WRAPPER.match(text)):
        return text
    inner = text[match.end() :].rstrip("; \t\n")
    return inner.removesuffix(")").rstrip() if match.group("open") == "(" else inner


def at(value: object, path: str) -> object:
    """What lies at a dotted path (`data.list`, `0` for the first of an array); None when nothing does."""
    for name in filter(None, path.split(".")):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def text_at(value: object, path: str) -> str:
    """The text or number at a path, as text; "" for anything else."""
    return as_text(at(value, path))


def as_text(value: object) -> str:
    """A string as it is, a number as written; "" for anything else (null, true, an array, an object)."""
    if isinstance(value, str):
        # An escape can name what no text may hold.
        return "" if value.strip() in _NULLS else strip_illegal(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def texts_of(value: object) -> tuple[str, ...]:
    """The texts of an array, or the one text; blank ones left out."""
    values: Iterable[object] = value if isinstance(value, list) else (value,)
    return tuple(text for one in values if (text := as_text(one).strip()))


def complaint(value: object) -> str:
    """What an error object says for people (`{"code": -1, "message": "..."}`); "" when it says nothing."""
    if not isinstance(value, dict):
        return ""
    for name in ("message", "msg", "error", "errmsg", "error_msg", "errorMessage", "detail", "info"):
        if text := one_line(text_at(value, name)):
            return text[:200]
    return ""


def failure(value: object) -> str:
    """What went wrong, when an object says by its status that something did; "" otherwise.

    Zero, one and two hundred are success with one server or another; negative numbers and those of HTTP errors are
    failure with all.
    """
    if not isinstance(value, dict):
        return ""
    for name in ("code", "status", "errno", "errcode", "error_code", "ret"):
        number = text_at(value, name)
        if _FAILURE.fullmatch(number):
            return complaint(value) or f"{name} {number}"
    return complaint(value) or "no success" if value.get("success") is False else ""


_FAILURE = re.compile(r"-[1-9][0-9]{0,5}|[45][0-9]{2}")
_NULLS = frozenset({"null", "undefined", "None", "NULL", "(null)"})


def _nothing(_name: str) -> None:
    """NaN and the infinities, which JSON has not."""


def _refuse(why: str) -> Refused:
    return Refused("not-json", f"the server did not answer with JSON: {why}", remedy="check the URL")
