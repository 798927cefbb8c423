"""Why an article is as it is, and why it is in a feed or is not.

What decides is asked, nothing is decided here a second time: `plan.merge` of the same documents, `feeds.select` of the
same places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedsync.feeds import SCHEMES, names, select
from feedsync.model import ALL, CUSTOM
from feedsync.plan import winners
from feedsync.store import filed
from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from feedsync.feeds import Window
    from feedsync.model import Known, Origin, Place, Site, Word
    from feedsync.store import Reader, Term


class Verdict(Struct, frozen=True):
    """Whether an article stands in a feed, why, and since when. `code` is for machines and stable."""

    stands: bool
    code: str
    reason: str
    since: datetime | None = None
    rank: int | None = None
    """Its place in the feed by publication, counted from 1, were there no window."""


class Decision(Struct, frozen=True):
    """A part of an article, what it came to be, which documents said so, and the rule."""

    part: str
    value: str
    rule: str
    origins: tuple[Origin, ...]


def feeds_of(terms: Iterable[Term]) -> dict[str, Term]:
    """Every feed by its path without the extension."""
    return {names.ALL if term.scheme == ALL else SCHEMES[term.scheme].stem(term.value): term for term in terms}


def feed_named(text: str, feeds: dict[str, Term], site: Site) -> tuple[str, Term] | None:
    """The feed a person means: `all`, a path, an address, or the value or learnt name of what is filed."""
    stem = text.strip().removeprefix(site.base_url.rstrip("/")).strip("/")
    for extension in (".atom", ".rss", ".json", ".html"):
        stem = stem.removesuffix(extension)
    valued = (scheme.stem(text.strip()) for scheme in SCHEMES.values())
    for name in (stem, names.ALL if stem in ("", "index") else stem, *valued):
        if term := feeds.get(name):
            return name, term
    return next(((name, term) for name, term in feeds.items() if term.label and term.label == text.strip()), None)


def decisions(known: Known) -> list[Decision]:
    """How what its documents say became one article."""
    article, said = known.article, known.documents
    if not said:
        return []
    body = f"{article.body.length} characters, {article.body.images} images"
    day = "" if article.published.exact else " (the day alone is known)"
    won = winners(said)
    told = [
        Decision("title", article.title.text, "of the richest document that has one", won["title"]),
        Decision("text", body, "the most characters, then images, then markup", won["body"]),
        Decision("published", f"{article.published.at:%Y-%m-%dT%H:%M:%SZ}{day}", "the earliest", won["published"]),
    ]
    if article.credit:
        told.append(Decision("outlet", article.credit.outlet, "the surest credit", won["credit"]))
    sayings: dict[tuple[str, str], list[Origin]] = {}
    for origin, one in sorted(said.items(), key=lambda pair: pair[0]):
        parts = (
            *(("category", category.term) for category in one.categories),
            *(("tag", tag) for tag in one.tags),
            *(("symbol", symbol.value) for symbol in one.symbols),
            *(("url", url) for url in one.urls),
        )
        for part in parts:
            sayings.setdefault(part, []).append(origin)
    told += [Decision(part, text, "united", tuple(sayings[part, text])) for part, text in sorted(sayings)]
    return told


def judge(reader: Reader, window: Window, term: Term, key: str) -> Verdict:
    """Whether the article of this key is in the feed of this term, and why."""
    known = reader.known([key]).get(key)
    if verdict := absent(known, reader.words([key]).get(key)):
        return verdict
    assert known is not None, "an absent article has its verdict"
    again = window.reannounce_revisions
    place = reader.place(term.id, key, by_revision=again)
    if place is None:
        if term.scheme == CUSTOM:
            return Verdict(False, "not-filed", "it is not what the feed asks for")
        others = ", ".join(value for scheme, value in filed(known) if scheme == term.scheme)
        what = f"under {SCHEMES[term.scheme].folder} it has: {others or 'nothing'}"
        return Verdict(False, "not-filed", f"no document files it there; {what}")
    newest = reader.newest(term.id, window.min_entries, by_revision=again)
    latest = reader.latest(term.id, window.span, window.max_entries, by_revision=again)
    stands = place in select(newest, latest, window)
    late = reader.lateness(term.id, place, by_revision=again)
    rank = reader.rank(term.id, place, by_revision=again)
    return _measured(window, place, stands, place in newest, rank, late)


def absent(known: Known | None, word: Word | None) -> Verdict | None:
    """Why an article is in no feed at all."""
    if known is None and word and word.withdrawn:
        why = f"it was withdrawn{_because(word.reason)} and has not come yet"
        return Verdict(False, "withdrawn", why, word.at)
    if known is None:
        return Verdict(False, "unknown", "no source has brought it; `feedsync quarantine` has what was refused")
    if known.withdrawal:
        by = "by the operator" if word else "by a document"
        why = f"it was withdrawn {by}{_because(known.withdrawal.reason)}"
        return Verdict(False, "withdrawn", why, known.withdrawal.at)
    if known.article.held:
        return Verdict(
            False, "held", "no document has a title or a time of day; it waits for a better copy", known.arrived
        )
    return None


def _measured(window: Window, place: Place, stands: bool, among: bool, rank: int, late: timedelta) -> Verdict:
    """What the window makes of a place."""
    by_rank = f"it is number {rank} by publication, and the newest {window.min_entries} stand"
    hours = f"{late.total_seconds() / 3600:.1f} h before the newest arrival"
    if stands and among:
        return Verdict(True, "newest", by_rank, place.arrived, rank)
    if stands:
        why = f"it arrived {hours}, and all of {window.window_hours} h stand (number {rank} by publication)"
        return Verdict(True, "late", why, place.arrived, rank)
    if late <= window.span:
        why = f"it arrived {hours}, but the feed holds {window.max_entries} at most; {by_rank}"
        return Verdict(False, "capped", why, place.arrived, rank)
    why = f"{by_rank}; it arrived {hours}, and only {window.window_hours} h stand"
    return Verdict(False, "outside-window", why, place.arrived, rank)


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""
