"""Withdrawing an article, and bringing it back: the operator's word, its effect, and publishing that.

The word is kept by key, so it may come before the article does (docs/decisions/0018-withdrawals.md).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feedsync.model import Word
from feedsync.plan import decide
from feedsync.sync import arrival_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from feedsync.model import Known
    from feedsync.publish import Publisher
    from feedsync.store import Store, Writer


def withdraw(
    store: Store,
    publisher: Publisher,
    key: str,
    reason: str,
    *,
    now: datetime | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Known | None:
    """Take an article out of everything published; the article, None when it is not known yet.

    Withdrawing it once more changes the reason alone. Raises StoreError, OutputError, LockError, ClockError.
    """
    with store.lock(waiting):
        with store.writing() as writer:
            now = now or arrival_time(writer, datetime.now(UTC))
            former = writer.words([key]).get(key)
            since = former.at if former and former.withdrawn else now
            known = _speak(writer, key, Word(True, since, reason), now)
        if known:
            publisher.publish(store)
    return known


def restore(
    store: Store,
    publisher: Publisher,
    key: str,
    *,
    now: datetime | None = None,
    waiting: Callable[[str], None] | None = None,
) -> bool:
    """Bring a withdrawn article back under its old id and times; whether it was withdrawn at all.

    Where a document withdraws it the operator's word outlasts that; else no word is left. Raises as `withdraw`.
    """
    with store.lock(waiting):
        with store.writing() as writer:
            now = now or arrival_time(writer, datetime.now(UTC))
            former, known = writer.words([key]).get(key), writer.known([key]).get(key)
            if not (known.withdrawal if known else former and former.withdrawn):
                return False
            flagged = known is not None and known.article.withdrawn
            known = _speak(writer, key, Word(False, now) if flagged else None, now)
        if known:
            publisher.publish(store)
    return True


def _speak(writer: Writer, key: str, word: Word | None, now: datetime) -> Known | None:
    """Remember a word, or that there is none, and do what follows from it."""
    writer.put_word(key, word)
    known = writer.known([key]).get(key)
    if known is None:
        return None
    change = decide(known, (), {}, now, word)
    writer.apply([change], now)
    return change.after
