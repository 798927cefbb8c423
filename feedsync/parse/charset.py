"""Bytes from the web to text: what the server says of the charset, checked against the bytes.

Labels mean what the WHATWG Encoding Standard says (`gb2312` and `gbk` are GB18030 with fewer characters, UTF-7
is nothing). What is declared is tried strictly; a declaration that lies is beaten by bytes that can only be
something else. No statistics over letters: short texts defeat them.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

import webencodings

from feedsync.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_PRESCAN = 1024
"""Bytes in which HTML looks for its own charset; of a header, more than anybody needs."""

_HEADER = re.compile(r";\s*charset\s*=\s*[\"']?([^\s\"';,]{1,40})", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_META = re.compile(rb"<meta[\s/][^>]*?charset\s*=\s*[\"']?\s*([^\s\"'/>;]{1,40})", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"'>]{1,40})[\"']", re.IGNORECASE)

_ALIASES = {"cp936": "gb18030", "utf8mb4": "utf-8", "big5hkscs": "big5"}
_CODECS = {"gbk": "gb18030", "replacement": "", "x-user-defined": ""}
"""Where the WHATWG name is not the codec to read with."""
_EAST_ASIAN = frozenset({"gb18030", "big5hkscs", "euc_jp", "cp932", "cp949", "iso2022_jp"})
_WEST = "cp1252"
"""What servers declare that were never told otherwise."""

_PAIR = re.compile(rb"[\x81-\xfe][\x40-\xff]")
_FREQUENT_GB = re.compile(rb"[\xb0-\xd7\xa1-\xa3][\xa1-\xfe]")
_FREQUENT_BIG5 = re.compile(rb"[\xa4-\xc6\xa1-\xa3][\x40-\x7e\xa1-\xfe]")
_MIN_PAIRS, _SAMPLE = 8, 20_000
_FREQUENT = 0.9
_MAX_WRONG = 0.02


def decode_web(content: bytes, media_type: str) -> str:
    """Text of a response, line ends as LF. `media_type` is the raw Content-Type header.

    Raises Refused: `empty`, `binary` (NUL bytes), `encoding` (nothing fits).
    """
    if not content.strip():
        raise Refused("empty", "the server sent nothing", remedy="ask again later")
    text = _decode(content, media_type)
    if "\0" in text:
        raise Refused("binary", "the response holds NUL characters: it is binary", remedy="check the URL")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _decode(content: bytes, media_type: str) -> str:
    for mark, codec in _MARKS:
        if content.startswith(mark):
            if (text := _strictly(content, codec)) is not None:
                return text
            return content.decode(codec, "replace")
    if content.isascii() and b"\0" not in content and b"\x1b" not in content:
        return content.decode("ascii")
    declared = list(dict.fromkeys(_declared(content, media_type)))
    if b"\0" in content:
        wide = next((codec for codec in declared if codec.startswith("utf-16")), "")
        text = _strictly(content, wide) if wide else None
        if text is None:
            raise Refused("binary", "the response holds NUL bytes: it is binary", remedy="check the URL")
        return text
    text = _strictly(content, "utf-8")
    if text is not None and not (declared and _outweighs(declared[0], content, text)):
        return text
    for codec in _candidates(content, declared):
        if (text := _strictly(content, codec)) is not None:
            return text
    for codec in (*declared, "utf-8", "gb18030"):
        text = content.decode(codec, "replace")
        if text.count("\ufffd") <= _MAX_WRONG * sum(not c.isascii() for c in text):
            return text
    raise Refused(
        "encoding",
        "the text is neither in the charset it declares"
        + (f" ({', '.join(declared)})" if declared else " (none)")
        + ", nor UTF-8, GB18030 or Big5",
        remedy="the server must name the charset it sends",
    )


def _declared(content: bytes, media_type: str) -> Iterator[str]:
    """The codecs named by the header, the XML declaration and the meta element, in this order."""
    start = content[:_PRESCAN]
    if match := _HEADER.search(media_type[:_PRESCAN]):
        yield from _codec(match.group(1))
    if xml := _XML.match(start):
        yield from _codec(xml.group(1).decode("latin-1"))
    if meta := _META.search(_COMMENT.sub(b"", start)):
        # Read as ASCII to get here, so it is no UTF-16 whatever it says.
        yield from ("utf-8" if c.startswith("utf-16") else c for c in _codec(meta.group(1).decode("latin-1")))


def _codec(label: str) -> Iterator[str]:
    found = webencodings.lookup(_ALIASES.get(label.strip().lower(), label))
    codec = _CODECS.get(found.name, found.codec_info.name) if found else ""
    if codec:
        yield codec


def _outweighs(codec: str, content: bytes, as_utf8: str) -> bool:
    """Whether a declared charset is to be believed though the bytes are valid UTF-8.

    Sequences of three bytes do not come about by chance. Those of two do in East Asian charsets, where a third
    of the frequent characters look like one.
    """
    return codec in _EAST_ASIAN and max(as_utf8) < "\u0800" and _strictly(content, codec) is not None


def _candidates(content: bytes, declared: list[str]) -> Iterator[str]:
    chinese = _likelier(content)
    for codec in declared:
        if codec == _WEST and (chinese or len(declared) > 1):
            continue  # the default of servers; it fits any bytes at all
        if codec in ("gb18030", "big5hkscs") and chinese and chinese != codec:
            yield chinese
        yield codec
    if chinese:
        yield chinese
    if _WEST in declared:
        yield _WEST
    if not declared:
        yield "gb18030"
        yield "big5hkscs"
        yield "cp950"


def _likelier(content: bytes) -> str:
    """GB18030 or Big5 when nearly all pairs of bytes are frequent characters of the one and not of the other."""
    pairs = [match.group() for match in islice(_PAIR.finditer(content), _SAMPLE)]
    if len(pairs) < _MIN_PAIRS:
        return ""
    simplified = sum(_FREQUENT_GB.match(pair) is not None for pair in pairs) / len(pairs)
    traditional = sum(_FREQUENT_BIG5.match(pair) is not None for pair in pairs) / len(pairs)
    if max(simplified, traditional) < _FREQUENT or simplified == traditional:
        return ""
    likelier = "gb18030" if simplified > traditional else "big5hkscs"
    return likelier if _strictly(content, likelier) is not None else ""


def _strictly(content: bytes, codec: str) -> str | None:
    try:
        return content.decode(codec)
    except UnicodeDecodeError:
        return None
