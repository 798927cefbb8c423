"""Domain types: what a document is, what it says, and what becomes of it. Standard library only.

Instants are aware datetimes in UTC. All types are immutable values.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from feedsync.values import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_DIGITS = 18
"""An infoCode is `NW` and this many digits: YYYYMMDD and a ten-digit running counter."""

ALL, CATEGORY, OUTLET, TAG, SYMBOL, CUSTOM = "all", "category", "outlet", "tag", "symbol", "custom"
"""The schemes of what articles are filed under: everything (one term, of value ""), what they say themselves, and the
feeds of the configuration (by name)."""

_NO_TIME = datetime(1, 1, 1, tzinfo=UTC)

KEY_PATTERN = r"[0-9]{18}|x-[a-z0-9][a-z0-9._-]{0,63}|[tu]-[0-9a-f]{15}"
"""Every key, of whatever kind; see `parse.identity`."""


class Document(Struct, frozen=True):
    """One piece of input, as a source hands it over.

    `location` is unique within the source (for files: the path below the folder); `name` is its last part.
    """

    source: str
    location: str
    name: str
    content: bytes


class Response(Struct, frozen=True):
    """What a server answered, as far as parsing needs it.

    `location` is unique within the source: the page URL, the code of a list's record, the id of a feed's entry.
    `url` is where the bytes came from in the end, after redirects; `page_url` is what a person would open, ""
    when there is none. `media_type` is the raw Content-Type header. `content` is decoded from its
    Content-Encoding already.
    """

    source: str
    location: str
    url: str
    page_url: str
    media_type: str
    content: bytes


class Title(Struct, frozen=True, order=True):
    """Plain text on one line, never empty. `given` is false when it was taken from the text for want of one."""

    given: bool
    text: str


class Body(Struct, frozen=True, order=True):
    """The measure of a cleaned text; the HTML itself travels beside it, found by `digest`.

    Field order is the total order by which the richer of two bodies wins: more characters of text, then
    more images, then more markup, then the greater digest (arbitrary, but the same on every machine).
    """

    length: int
    images: int
    size: int
    digest: bytes
    text_digest: bytes

    @property
    def empty(self) -> bool:
        return not self.length and not self.images


class Moment(Struct, frozen=True):
    """A publication time in UTC; not `exact` when only the day is known (midnight of the site's zone)."""

    at: datetime
    exact: bool


class Credit(Struct, frozen=True, order=True):
    """The outlet (the medium that published) and how sure we are of it."""

    rank: int
    outlet: str

    TAG = 1  # from the tag of a post that came from a list of that outlet
    DIGEST = 2  # from the bracket that ends a digest or flash
    LINE = 3  # from a credit line or a field that names it


class Category(Struct, frozen=True, order=True):
    """A category value as found in documents, with the label its document suggests ("" when none)."""

    term: str
    label: str = ""


class Role(StrEnum):
    """What a symbol is to an article."""

    MENTION = "mention"
    SUBJECT = "subject"


class Symbol(Struct, frozen=True, order=True):
    """A stock or board: EastMoney market number and code (`1.601628`, `90.BK0493`)."""

    market: str
    code: str
    role: Role
    name: str = ""

    @property
    def value(self) -> str:
        return f"{self.market}.{self.code}"


def unite_symbols(symbols: Iterable[Symbol]) -> tuple[Symbol, ...]:
    """One symbol per value, sorted: the subject wins over the mention, a name over none, the lesser name."""
    united: dict[str, Symbol] = {}
    for symbol in symbols:
        sofar = united.setdefault(symbol.value, symbol)
        role = Role.SUBJECT if Role.SUBJECT in (sofar.role, symbol.role) else Role.MENTION
        name = min(filter(None, (sofar.name, symbol.name)), default="")
        united[symbol.value] = Symbol(symbol.market, symbol.code, role, name)
    return tuple(sorted(united.values()))


class Attribution(Struct, frozen=True):
    """The feed an article came from (`atom:source`): "" or None where that feed does not say.

    `updated` is the feed's own, as it was when the article was first read from it. `url` is the feed's.
    """

    id: str
    title: str
    updated: Moment | None = None
    url: str = ""

    @property
    def order(self) -> tuple[str, str, str, datetime]:
        """A total order, so that of two the same one is kept on every machine."""
        return self.id, self.title, self.url, self.updated.at if self.updated else _NO_TIME


class Article(Struct, frozen=True):
    """What one document says of an article, and equally what all its documents say together.

    `key` is the identity; everything else may be united with what other documents say (`plan.merge`).
    Tuples are sorted and free of repeats.
    """

    key: str
    title: Title
    body: Body
    published: Moment
    credit: Credit | None = None
    summary: str = ""
    urls: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    tags: tuple[str, ...] = ()
    symbols: tuple[Symbol, ...] = ()
    attribution: Attribution | None = None
    withdrawn: bool = False
    """Its document says that it is not to be shown."""

    @property
    def held(self) -> bool:
        """A half-published copy: neither title nor time of day. It waits for a better one."""
        return not self.title.given and not self.published.exact


class Parsed(Struct, frozen=True):
    """An article as read from one document, with its clean HTML and remarks worth a log line."""

    article: Article
    html: str
    remarks: tuple[str, ...] = ()


class Origin(Struct, frozen=True, order=True):
    """Where a document was found: the name of its source and its location there."""

    source: str
    location: str


class Withdrawal(Struct, frozen=True):
    """Since when an article is not to be shown any more, and what is told about that ("" when nothing)."""

    at: datetime
    reason: str = ""


class Word(Struct, frozen=True):
    """The operator's last word on an article: withdrawn or restored. It outlasts every copy, known or to come."""

    withdrawn: bool
    at: datetime
    reason: str = ""


class Known(Struct, frozen=True):
    """An article as the store holds it, with what each of its documents says."""

    article: Article
    arrived: datetime
    revised: datetime | None
    documents: dict[Origin, Article]
    withdrawal: Withdrawal | None = None

    @property
    def hidden(self) -> bool:
        """In no feed, on no page, found by no search: held or withdrawn."""
        return self.article.held or self.withdrawal is not None

    @property
    def unseen(self) -> bool:
        """Withdrawn from the beginning: nobody ever saw it, and when it is shown, it comes as new."""
        return self.withdrawal is not None and self.withdrawal.at <= self.arrived

    @property
    def published(self) -> datetime:
        """As shown to readers: never later than the arrival."""
        return min(self.article.published.at, self.arrived)

    @property
    def updated(self) -> datetime:
        """When the meaning last changed: the publication unless a later pass brought a revision."""
        return max(self.revised, self.published) if self.revised else self.published


class Outcome(StrEnum):
    """What became of one document in a run."""

    NEW = "new"
    REVISED = "revised"
    MERGED = "merged"
    UNCHANGED = "unchanged"
    QUARANTINED = "quarantined"


class Arrival(Struct, frozen=True):
    """A parsed document that is new or differs from its last reading."""

    origin: Origin
    parsed: Parsed


class Change(Struct, frozen=True):
    """What to write for one article: its new state and whether its meaning changed."""

    before: Known | None
    after: Known
    revision: bool
    bodies: dict[bytes, str]
    outcomes: dict[Origin, Outcome]
    overruled: bool = False
    """A document was edited to withdraw the article after the operator had restored it: that word is void."""


class Site(Struct, frozen=True):
    """Who publishes: the facts every identifier and link is built from."""

    title: str
    base_url: str
    authority: str
    language: str = "zh-CN"
    timezone: str = "Asia/Shanghai"
    icon: str = ""
    formats: tuple[str, ...] = ("atom", "rss", "json")
    """The extensions of what feeds are published as; Atom always is."""


class CustomFeed(Struct, frozen=True):
    """A feed of the configuration. What is left empty admits every article; the rest must all hold."""

    name: str
    title: str
    query: str = ""
    any_of: tuple[str, ...] = ()
    """Categories, one of which it has; `none_of`: none of which it has."""
    none_of: tuple[str, ...] = ()
    outlets: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    min_characters: int = 0
    """Of the text, without the title."""


class Entry(Struct, frozen=True):
    """An article ready to be shown: its known facts and its HTML."""

    known: Known
    html: str


class Place(Struct, frozen=True):
    """An article's place in a feed: when it was published, and when it came to stand there."""

    article_id: int
    published: datetime
    arrived: datetime
