"""The Markdown footer the old pipeline put under each text: the source URL and two navigation links.

Forms seen (quirks B.6): `<url>` alone, or followed by `[返回...](...)` links on one line or two, with
whatever host was in use at the time; also glued to the text. Nothing is taken from the navigation; it is
only removed.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

_NAVIGATION = "[返回"
_URL_LINE = re.compile(r"<(?:\s*(https?://[^<>\n]{1,2000})|None|null)?>", re.IGNORECASE)
_GLUED = re.compile(r"(?:[|｜\s]{0,8}\[返回[^\[\]\n]{0,100}\]\([^\n]{0,300}?\)){1,4}$")
_MAX_CUTS = 8
"""Links glued to a text are cut off four at a time. The pipeline glued two; in hostile text, each cut takes 60 ms."""

_GLUED_URL = re.compile(r"(?<=[>。！？…）)”])\s{0,8}<(https?://[^<>\s]{1,2000})>$", re.IGNORECASE)
_PLAIN_URL = re.compile(r"https?://[a-z0-9.-]+(?::[1-9][0-9]{0,3})?/[A-Za-z0-9/._~?=&,;:+!$'()*@-]{0,1900}", re.ASCII)
_SAFE = "!$%&'()*+,/:;=?@~"
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def split_footer(body: str) -> tuple[str, str]:
    """The body without its footer, and the source URL ("" when there is none)."""
    end, start, url, cuts = len(body.rstrip()), 0, "", 0
    kept: str | None = None
    """What is left of the last line, when its end was cut off."""
    while end:
        start = body.rfind("\n", 0, end) + 1
        line = body[start:end].strip() if kept is None else kept
        if not line or line.startswith(_NAVIGATION) or _NAVIGATION.startswith(line):
            end, kept = max(0, start - 1), None
        elif not url and line[0] == "<" and (match := _URL_LINE.fullmatch(line)):
            url = (match.group(1) or "").strip()
            end, kept = max(0, start - 1), None
            if not url:  # `<>`: the pipeline knew no URL
                break
        elif line[-1] == ")" and cuts < _MAX_CUTS and (match := _GLUED.search(line, max(0, len(line) - 1000))):
            kept, cuts = line[: match.start()].rstrip(), cuts + 1
        elif not url and line[-1] == ">" and (match := _GLUED_URL.search(line, max(0, len(line) - 2100))):
            url = match.group(1)
            kept = line[: match.start()].rstrip()
        else:
            break
    text = body[:end] if kept is None else body[:start] + kept
    return text.rstrip(), url.replace("&amp;", "&")


def web_url(url: str) -> str:
    """An absolute http or https URL in ASCII, without credentials; "" for anything else."""
    if not url or _PLAIN_URL.fullmatch(url):
        return url
    url = "".join(url.split()) if "\n" in url else url.strip()
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if parts.scheme.lower() not in ("http", "https") or not host or len(url) > 2000:
        return ""
    try:
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    if re.search(r"[\s<>\"\\^`{|}]", host):
        return ""
    host = f"[{host}]" if ":" in host else host
    path, query, fragment = (
        quote(_STRAY_PERCENT.sub("%25", part), safe=_SAFE, errors="replace")
        for part in (parts.path, parts.query, parts.fragment)
    )
    return urlunsplit((parts.scheme.lower(), host + port, path, query, fragment))
