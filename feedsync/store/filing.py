"""Under what an article is filed: everything it says itself. What is published of that, options decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedsync.model import ALL, CATEGORY, OUTLET, SYMBOL, TAG
from feedsync.parse import is_topic

if TYPE_CHECKING:
    from feedsync.model import Known

Filed = dict[tuple[str, str], tuple[str, str]]
"""By scheme and value: the role of the article there, and the label it suggests ("" for none)."""

LEARNT = (CATEGORY, SYMBOL)
"""The schemes whose labels articles suggest; entries and pages show the most suggested."""


def filed(known: Known | None) -> Filed:
    """Where an article stands; nowhere while it is held or withdrawn."""
    if known is None or known.hidden:
        return {}
    article = known.article
    places: Filed = {(ALL, ""): ("", "")}
    places |= {(CATEGORY, category.term): ("", category.label) for category in article.categories}
    if article.credit:
        places[OUTLET, article.credit.outlet] = "", ""
    places |= {(TAG, tag): ("", "") for tag in article.tags if is_topic(tag)}
    places |= {(SYMBOL, symbol.value): (symbol.role.value, symbol.name) for symbol in article.symbols}
    return places
