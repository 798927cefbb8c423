"""What a run tells at its end, in the shape of `resync --json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from feedsync.model import Outcome
from feedsync.shares import PublishReport
from feedsync.values import Struct, asdict, field

if TYPE_CHECKING:
    from datetime import datetime


class Fault(Struct, frozen=True):
    """A URL that brought nothing: why, and when it is asked again at the earliest."""

    url: str
    code: str
    reason: str
    due: datetime

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"due": self.due.isoformat(timespec="seconds").replace("+00:00", "Z")}


class SourceReport(Struct):
    """What became of the documents of one source; the first six add up as the contract says."""

    seen: int = 0
    new: int = 0
    revised: int = 0
    merged: int = 0
    unchanged: int = 0
    quarantined: int = 0
    failed: int = 0
    pending: int = 0
    requests: int = 0
    bytes: int = 0
    error: str | None = None
    faults: list[Fault] = field(default_factory=list)

    def add_up(self) -> None:
        """What was seen is what something became of."""
        self.seen = self.new + self.revised + self.merged + self.unchanged + self.quarantined

    def count(self, outcome: Outcome) -> None:
        """Count what became of a document."""
        match outcome:
            case Outcome.NEW:
                self.new += 1
            case Outcome.REVISED:
                self.revised += 1
            case Outcome.MERGED:
                self.merged += 1
            case Outcome.UNCHANGED:
                self.unchanged += 1
            case Outcome.QUARANTINED:
                self.quarantined += 1
            case _:
                assert_never(outcome)

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"faults": [fault.to_json() for fault in self.faults]}


class SyncReport(Struct):
    """The result of one run, in the shape of `resync --json`."""

    sources: dict[str, SourceReport] = field(default_factory=dict)
    feeds: PublishReport = field(default_factory=PublishReport)
    missing: list[str] = field(default_factory=list)
    busy: dict[str, frozenset[bytes]] = field(default_factory=dict)
    seconds: float = 0.0
    dry_run: bool = False

    @property
    def clean(self) -> bool:
        """Whether nothing was refused, nothing failed and nothing asked for was missing."""
        return not self.missing and not any(
            report.quarantined or report.failed or report.error for report in self.sources.values()
        )

    def to_json(self) -> dict[str, object]:
        """`busy` is for the watcher alone: these files are being written, and worth another look soon."""
        report = asdict(self)
        del report["busy"]
        return report | {
            "sources": {name: source.to_json() for name, source in self.sources.items()},
            "feeds": asdict(self.feeds),
            "seconds": round(self.seconds, 3),
        }
