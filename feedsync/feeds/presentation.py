"""The options that take part in published bytes."""

from __future__ import annotations

from typing import Self

import msgspec

from feedsync import __version__
from feedsync.feeds.schemes import SCHEMES, Scheme
from feedsync.feeds.style import SHEETS
from feedsync.feeds.window import Window
from feedsync.model import OUTLET, SYMBOL, TAG, CustomFeed, Site
from feedsync.values import Struct, field, replace


class Presentation(Struct, frozen=True):
    """All options that take part in published bytes."""

    site: Site
    window: Window = field(default_factory=Window)
    labels: dict[str, str] = field(default_factory=dict)
    pages: bool = True
    tombstone_days: int = 30
    explain: bool = False
    """Article pages say where the article came from."""
    search: bool = True
    """The index has a form for searches; whatever serves the tree must answer them."""

    outlets: bool = True
    tags: bool = True
    symbols: bool = True
    """Whether there are feeds of outlets, of tags, of symbols."""
    custom: tuple[CustomFeed, ...] = ()
    """Feeds of the configuration; the store knows what changed of them."""

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """What has feeds, besides everything."""
        off = {OUTLET: not self.outlets, TAG: not self.tags, SYMBOL: not self.symbols}
        return tuple(scheme for name, scheme in SCHEMES.items() if not off.get(name, False))

    @property
    def fingerprint(self) -> str:
        """Changes when anything but the articles and the custom feeds changes what is published."""
        return (
            f"{__version__} {' '.join(SHEETS)} "
            + msgspec.json.encode(replace(self, custom=()), order="sorted").decode()
        )

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        return msgspec.json.decode(text, type=cls)
