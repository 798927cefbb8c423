"""What a run tells at its end, in the shape of `resync --json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from feedsync.publish import PublishReport


@dataclass(slots=True)
class SourceReport:
    """What became of the documents of one source; the first six add up as the contract says."""

    seen: int = 0
    new: int = 0
    revised: int = 0
    merged: int = 0
    unchanged: int = 0
    quarantined: int = 0
    failed: int = 0
    pending: int = 0
    error: str | None = None


@dataclass(slots=True)
class SyncReport:
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
        return {name: value for name, value in asdict(self).items() if name != "busy"} | {
            "seconds": round(self.seconds, 3)
        }
