"""Decide what documents mean for an article: merge what they say, compare with what is known.

Merging is a union that forgets order: `merge` gives the same article for the same documents however they
are grouped or sorted. See docs/decisions/0002-merge.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from feedsync.model import Article, Category, Change, Known, Moment, Outcome, Withdrawal, unite_symbols
from feedsync.text import normalise
from feedsync.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from feedsync.model import Arrival, Attribution, Origin, Word


def merge(articles: Iterable[Article]) -> Article:
    """One article out of what its documents say. Commutative, associative in effect, idempotent.

    The richest body wins (`Body` is ordered); the title comes from the richest document that has one; the
    earliest exact time wins, else the earliest day; everything else is united. At least one is needed.
    """
    said = sorted(articles, key=lambda a: (a.body, a.title, a.summary), reverse=True)
    best = said[0]
    if len(said) == 1:
        return best
    return Article(
        key=best.key,
        title=max((a.title.given, a.body, a.title) for a in said)[2],
        body=best.body,
        published=_earliest(a.published for a in said),
        credit=max(((a.credit, a.body) for a in said if a.credit), default=(None, None))[0],
        summary=next((a.summary for a in said if a.summary), ""),
        urls=tuple(sorted({url for a in said for url in a.urls})),
        categories=_categories(said),
        tags=tuple(sorted({tag for a in said for tag in a.tags})),
        symbols=unite_symbols(symbol for a in said for symbol in a.symbols),
        attribution=min((a.attribution for a in said if a.attribution), key=lambda one: one.order, default=None),
        withdrawn=any(a.withdrawn for a in said),
    )


def winners(said: Mapping[Origin, Article]) -> dict[str, tuple[Origin, ...]]:
    """Which documents gave the article `merge` makes of them its title, body, time of publication and credit."""
    merged = merge(said.values())
    richest = max((a.body for a in said.values() if a.title == merged.title), default=merged.body)
    gave: dict[str, Callable[[Article], bool]] = {
        "title": lambda a: a.title == merged.title and a.body == richest,
        "body": lambda a: a.body == merged.body,
        "published": lambda a: a.published == merged.published,
        "credit": lambda a: merged.credit is not None and a.credit == merged.credit,
    }
    return {part: tuple(sorted(o for o, a in said.items() if test(a))) for part, test in gave.items()}


def revise(old: Article | None, new: Article, default_category: str) -> Article:
    """What a document says after it was written anew in the same place.

    It replaces its former self, but an empty value never overwrites a filled one, and an exact time stays:
    `published` never moves. A document that names no category stands in the source's default category.
    """
    fallback = (Category(default_category),) if default_category else ()
    if old is None:
        return new if new.categories else replace(new, categories=fallback)
    kept_body = new.body.empty and not old.body.empty
    return replace(
        new,
        title=new.title if new.title.given or not old.title.given else old.title,
        body=old.body if kept_body else new.body,
        published=old.published if old.published.exact or not new.published.exact else new.published,
        credit=new.credit or old.credit,
        summary=new.summary or old.summary,
        urls=new.urls or old.urls,
        categories=new.categories or old.categories or fallback,
        tags=new.tags or old.tags,
        symbols=old.symbols if kept_body else new.symbols,
        attribution=_attribution(old.attribution, new.attribution),
    )


def _attribution(old: Attribution | None, new: Attribution | None) -> Attribution | None:
    """A feed's `updated` moves with its other entries; that alone changes nothing for this one."""
    if old is None or new is None:
        return old or new
    return old if replace(old, updated=new.updated) == new and old.updated else new


def same_meaning(one: Article, other: Article) -> bool:
    """Whether two states say the same: title and text, whatever their markup, white space and punctuation width."""
    return one.body.text_digest == other.body.text_digest and normalise(one.title.text) == normalise(other.title.text)


def decide(
    known: Known | None,
    arrivals: Sequence[Arrival],
    defaults: Mapping[str, str],
    now: datetime,
    word: Word | None = None,
) -> Change:
    """What becomes of one article when these documents arrive, or none, but a new word of the operator.

    `defaults` maps a source to its default category. `now` is the time of the run: the arrival of a new
    article and the `updated` of a revision. A change of meaning within the run that brought the article
    leaves no trace, so a run gives the same result in whatever portions it is worked off. `word` is the
    operator's last word on the article (docs/decisions/0018-withdrawals.md).
    """
    documents = dict(known.documents) if known else {}
    article = known.article if known else None
    bodies: dict[bytes, str] = {}
    outcomes: dict[Origin, Outcome] = {}
    overruled = False
    for arrival in sorted(arrivals, key=lambda a: a.origin):
        old = documents.get(arrival.origin)
        new = revise(old, arrival.parsed.article, defaults.get(arrival.origin.source, ""))
        if word and not word.withdrawn and old and not old.withdrawn and new.withdrawn:
            word, overruled = None, True
        documents[arrival.origin] = new
        bodies[arrival.parsed.article.body.digest] = arrival.parsed.html
        merged = merge(documents.values())
        outcomes[arrival.origin] = _outcome(article, merged, known, now)
        article = merged
    assert article is not None, "decide needs an arrival, or a known article"
    withdrawal = _withdrawal(known, article, word, now)
    revision = known is None or not same_meaning(known.article, article)
    if known is None or (known.unseen and not withdrawal):
        after = Known(article, now, None, documents, withdrawal)
    else:
        revised = known.revised
        seen = not known.article.held and not known.unseen
        if revision and seen and now not in (known.arrived, revised):
            # The clock may have been set back: `updated` only ever grows.
            revised = max(now, known.updated + timedelta(seconds=1))
        after = Known(article, known.arrived, revised, documents, withdrawal)
    return Change(known, after, revision, bodies, outcomes, overruled)


def _withdrawal(known: Known | None, article: Article, word: Word | None, now: datetime) -> Withdrawal | None:
    """Whether and since when an article is withdrawn: the operator's word counts, else that of any document."""
    if not (word.withdrawn if word else article.withdrawn):
        return None
    reason = word.reason if word else ""
    if known and known.withdrawal:
        return Withdrawal(known.withdrawal.at, reason)
    at = min(word.at, now) if word else now
    if known and known.arrived != now:
        # It was shown, so it was withdrawn after it had come, whatever a clock that was set back says.
        at = max(at, known.arrived + timedelta(seconds=1))
    return Withdrawal(at, reason)


def _outcome(before: Article | None, after: Article, known: Known | None, now: datetime) -> Outcome:
    if before is None:
        return Outcome.NEW
    if before == after:
        return Outcome.UNCHANGED
    if known is not None and now != known.arrived and before.withdrawn != after.withdrawn:
        return Outcome.REVISED
    if known is not None and now not in (known.arrived, known.revised) and not same_meaning(before, after):
        return Outcome.REVISED
    return Outcome.MERGED


def _earliest(moments: Iterable[Moment]) -> Moment:
    return min(moments, key=lambda m: (not m.exact, m.at))


def _categories(said: Sequence[Article]) -> tuple[Category, ...]:
    labels: dict[str, str] = {}
    for article in said:
        for category in article.categories:
            sofar = labels.get(category.term, "")
            labels[category.term] = min(filter(None, (sofar, category.label)), default="")
    return tuple(sorted(Category(term, label) for term, label in labels.items()))
