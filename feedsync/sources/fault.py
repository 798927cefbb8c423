"""What can go wrong with one request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


class FetchFault(Exception):
    """A request that brought nothing usable.

    `code` is stable: `address connect dns encoding http method redirect robots status timeout tls too-large url`.
    `host` when it says something of the whole host rather than of one URL. `retry_after` is what the server asked
    for. `status` is the HTTP status when there was one.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        remedy: str = "",
        host: bool = False,
        status: int = 0,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.host = host
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message
