"""The exception tree. Each error says what is wrong, where, and what to do about it.

Exit codes are those of the contract: 2 usage or configuration, 3 a store, output folder or lock
that could not be used. `Refused` is different: it concerns one document and never ends a run.
"""

from __future__ import annotations


class FeedsyncError(Exception):
    """Base of all errors feedsync raises on purpose; `remedy` tells the operator what to do."""

    exit_code = 3

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class ConfigError(FeedsyncError):
    """The configuration cannot be used; `problems` lists every fault found, each with its place."""

    exit_code = 2

    def __init__(self, message: str, problems: tuple[str, ...] = (), *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.problems = problems


class UsageError(FeedsyncError):
    """A command was asked for something that does not exist (a source, a code)."""

    exit_code = 2


class StoreError(FeedsyncError):
    """The database cannot be used."""


class OutputError(FeedsyncError):
    """The output folder cannot be written."""


class LockError(FeedsyncError):
    """Another process holds the lock and did not release it in time."""


class ServerError(FeedsyncError):
    """The HTTP server cannot listen."""


class ClockError(FeedsyncError):
    """The clock says what cannot be."""


class Interrupted(FeedsyncError):
    """The run was asked to stop; what it had stored stays, the rest is due next time."""


class SourceError(FeedsyncError):
    """A whole source cannot be read (missing folder, suspiciously empty); other sources go on."""

    exit_code = 1


class Refused(FeedsyncError):
    """One document cannot become an article. `code` is stable, for machines; the rest is for people."""

    exit_code = 1

    def __init__(self, code: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        # Crosses from a worker process to the main one.
        return _refused, (self.code, self.message, self.remedy)


def _refused(code: str, message: str, remedy: str) -> Refused:
    return Refused(code, message, remedy=remedy)
