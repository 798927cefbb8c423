"""Content-Encoding undone within bounds: what a server sent small may be a bomb when it is unpacked."""

from __future__ import annotations

import zlib

from feedsync.sources.fault import FetchFault

ACCEPTED = "gzip, deflate"
"""Brotli and zstd are not asked for: one well-understood decoder is enough, and it stops where it is told."""

_STEP = 65_536
_GZIP = b"\x1f\x8b"


class Inflater:
    """Takes the bytes of a body as they come and keeps the decoded text, never more than `limit` bytes of it."""

    def __init__(self, encoding: str, limit: int) -> None:
        """`encoding` is the Content-Encoding header. Raises FetchFault when it is stacked or unknown."""
        codings = [coding for part in encoding.split(",") if (coding := part.strip().lower()) not in ("", "identity")]
        if len(codings) > 1 or (codings and codings[0] not in ("gzip", "x-gzip", "deflate")):
            raise FetchFault("encoding", f"it is encoded as {encoding[:60]!r}, which was not asked for")
        self._coding = codings[0] if codings else ""
        self._limit = limit
        self._decoder = zlib.decompressobj(wbits=47) if codings else None
        self._raw_tried = False
        self._fed = False
        self._parts: list[bytes] = []
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        """Take some bytes. Raises FetchFault when they are not what was promised, or too many."""
        self._fed = self._fed or bool(chunk)
        if self._decoder is None:
            self._keep(chunk)
            return
        while chunk:
            if self._decoder.eof:
                if not chunk.startswith(_GZIP):
                    return  # padding behind the stream
                self._decoder = zlib.decompressobj(wbits=31)
            chunk = self._inflate(chunk)

    def _inflate(self, chunk: bytes) -> bytes:
        assert self._decoder is not None
        try:
            self._keep(self._decoder.decompress(chunk, _STEP))
        except zlib.error as error:
            if self._coding != "deflate" or self._raw_tried or self.size:
                raise FetchFault("encoding", f"its {self._coding} encoding is damaged: {error}") from error
            # Some servers send raw deflate where the standard (RFC 9110, 8.4.1.2) means the zlib format.
            self._raw_tried = True
            self._decoder = zlib.decompressobj(wbits=-15)
            return chunk
        return self._decoder.unconsumed_tail or self._decoder.unused_data

    def finish(self) -> bytes:
        """The whole body. Raises FetchFault when its encoding was cut short."""
        if self._decoder is not None and self._fed:
            while part := self._decoder.decompress(b"", _STEP):  # what it still held back
                self._keep(part)
            if not self._decoder.eof:
                raise FetchFault("encoding", f"its {self._coding} encoding ends in the middle")
        return b"".join(self._parts)

    def _keep(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > self._limit:
            raise FetchFault(
                "too-large", f"it has more than {self._limit} bytes", remedy="raise max_body_bytes if that is meant"
            )
        if part:
            self._parts.append(part)
