"""Which article is this? The key from an infoCode in any of its spellings, or from title and time.

Four kinds of key, which can never meet:

* 18 digits: an infoCode (`NW202112222222765281`, bare digits, or inside a file name or URL);
* `x-...`: an explicit code of another form (`infoCode: AP2022...`), upper case folded;
* `u-` and 15 hexadecimal digits: no code, but an id an upstream feed gave it (docs/decisions/0015-upstream-ids.md);
* `t-` and 15 hexadecimal digits: nothing of the kind; from the normalised title and the publication time.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime

from feedsync.errors import Refused
from feedsync.model import KEY_PATTERN
from feedsync.text import digest, normalise

_DIGITS = re.compile(r"(?<![0-9])([0-9]{18})(?![0-9])")
_CODE = re.compile(r"(?:NW)?([0-9]{18})", re.ASCII | re.IGNORECASE)
_IN_URL = re.compile(
    r"(?:[?&](?:infoCode|id|newsid|code)=|/news/[0-9]{1,8},|/a/|[/=,])(?:NW)?([0-9]{18})(?![0-9])",
    re.IGNORECASE,
)
_OTHER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S")
_KEY = re.compile(KEY_PATTERN)


def key_of_code(code: str) -> str | None:
    """The key for an explicit code, None when it is blank. Raises Refused (`info-code`) when unusable."""
    if not code:
        return None
    code = unicodedata.normalize("NFKC", code).strip()
    if not code or code in ("~", "null"):
        return None
    if match := _CODE.fullmatch(code):
        return match.group(1)
    if _OTHER.fullmatch(code):
        return "x-" + code.lower()
    raise Refused(
        "info-code",
        f"the infoCode {code[:40]!r} is not a code",
        remedy="use letters, digits, dot, hyphen and underscore, 64 at most",
    )


def key_of_url(url: str) -> str | None:
    """The key in a source URL (`?infoCode=NW...`, `/news/1354,<digits>.html`, `/a/<digits>.html`, `?id=NW...`)."""
    match = _IN_URL.search(url)
    return match.group(1) if match else None


def key_of_name(name: str) -> str | None:
    """The key in a file name: eighteen digits that begin with a date, with or without NW."""
    for match in _DIGITS.finditer(name):
        if day_of_key(match.group(1)):
            return match.group(1)
    return None


def key_of_text(title: str, published: datetime) -> str:
    """The key of an article without a code: its later copies have the same title and time, whatever their body."""
    moment = published.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "t-" + digest(normalise(title).casefold(), moment).hex()[:15]


def key_of_entry(entry_id: str, feed_host: str) -> str:
    """The key of a feed's entry without a code. An id that is no IRI is unique within its site only."""
    scope = "" if _IRI.match(entry_id) else feed_host.lower().removeprefix("www.")
    return "u-" + digest(scope, entry_id).hex()[:15]


def code_in(text: str) -> str | None:
    """The key of an infoCode anywhere in an id or URL: eighteen digits that begin with a date, or a known form."""
    return key_of_name(text) or key_of_url(text)


def key_from_user(text: str) -> str | None:
    """The key meant by what a person typed: any spelling of a code, a URL, a file name, or a key itself."""
    text = text.strip()
    if _KEY.fullmatch(text):
        return text
    if match := _CODE.fullmatch(text):
        return match.group(1)
    return key_of_url(text) or key_of_name(text) or ("x-" + text.lower() if _OTHER.fullmatch(text) else None)


def day_of_key(key: str) -> date | None:
    """The day in the first eight digits of an infoCode."""
    if len(key) != 18 or not key.isdigit() or not "1990" <= key[:4] <= "2099":
        return None
    try:
        return date(int(key[:4]), int(key[4:6]), int(key[6:8]))
    except ValueError:
        return None
