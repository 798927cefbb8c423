"""Bytes to text that may be published.

Decoding knows UTF-8 (with or without BOM) and GB18030, in that order and strictly: the reverse order would
read every UTF-8 file as GB18030 rubbish without an error.
"""

from __future__ import annotations

from feedsync.errors import Refused

_BOM = b"\xef\xbb\xbf"


def decode(content: bytes) -> str:
    """Text of a document, line ends as LF.

    Raises Refused: `empty`, `binary` (NUL bytes), `encoding` (neither UTF-8 nor GB18030).
    """
    if content.startswith(_BOM):
        content = content[len(_BOM) :]
    if not content.strip():
        raise Refused("empty", "the file is empty", remedy="write the article again, or delete the file")
    if b"\0" in content:
        raise Refused("binary", "the file holds NUL bytes: it is binary, or UTF-16", remedy="save it as UTF-8 text")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        if cut_short(content):
            raise _undecodable(error) from error
        text = _decode_otherwise(content, error)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _decode_otherwise(content: bytes, error: UnicodeDecodeError) -> str:
    """UTF-8 that holds surrogates (pairs are joined, lone ones dropped), else GB18030."""
    try:
        text = content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        try:
            return content.decode("gb18030").removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise _undecodable(error) from error
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def cut_short(content: bytes) -> bool:
    """Whether this is UTF-8 that ends in the middle of a character."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.start > 0
    return False


def _undecodable(error: UnicodeDecodeError) -> Refused:
    return Refused(
        "encoding",
        f"the text is neither UTF-8 (byte {error.start} is wrong) nor GB18030",
        remedy="save it as UTF-8",
    )
