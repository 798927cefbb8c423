"""Bytes from the web come out as the text that was meant, whatever the server says of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.errors import Refused
from feedsync.parse.charset import decode_web

SIMPLIFIED = "中国人民银行今日开展逆回购操作，规模为一千亿元人民币，中标利率不变。朱镕基讲话全文如下。"
TRADITIONAL = "台灣股市今日開盤上漲，電子類股領軍，成交金額達到兩千億元，投資人信心明顯回升。"


def html(text: str, meta: str = "", xml: str = "") -> str:
    declared = f'<meta charset="{meta}">' if meta else ""
    return f"{xml}<html><head>{declared}<title>{text[:6]}</title></head><body><p>{text}</p></body></html>"


@pytest.mark.parametrize(
    "header", ["", "gbk", "gb2312", "GB18030", "utf-8", "big5", "x-foo", "utf-7", "iso-8859-1", "cp936"]
)
@pytest.mark.parametrize("meta", ["", "gbk", "gb2312", "utf-8", "big5", "x-foo", "utf-7", "utf-16", "iso-8859-1"])
@pytest.mark.parametrize("real", ["utf-8", "gb18030", "big5"])
def test_every_declaration_may_lie(header: str, meta: str, real: str) -> None:
    text = html(TRADITIONAL if real == "big5" else SIMPLIFIED, meta)
    media_type = f"text/html; charset={header}" if header else "text/html"
    assert decode_web(text.encode(real), media_type) == text


@pytest.mark.parametrize("codec", ["gb18030", "gbk", "gb2312", "big5", "big5hkscs", "utf-8"])
def test_short_texts_need_a_declaration(codec: str) -> None:
    text = "{'title': '股票'}"
    assert decode_web(text.encode(codec), f"application/json; charset={codec}") == text


def test_short_texts_without_one_are_utf8_or_gb18030() -> None:
    assert decode_web("股票".encode(), "") == "股票"
    assert decode_web("股票".encode("gb18030"), "") == "股票"
    # Valid UTF-8 of two bytes each, too: the declaration decides.
    telecom = "联通".encode("gbk")
    assert decode_web(b"<p>\xc2\xb7\xc2\xb7</p>", "text/html; charset=gbk") == b"<p>\xc2\xb7\xc2\xb7</p>".decode("gbk")
    assert decode_web(telecom, "text/html; charset=gbk") == "联通"


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"])
def test_a_byte_order_mark_beats_the_header(mark: bytes) -> None:
    codec = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}[mark]
    assert decode_web(mark + SIMPLIFIED.encode(codec), "text/html; charset=gbk") == SIMPLIFIED


def test_declarations_are_found_where_they_stand() -> None:
    text = html("甲乙", xml="<?xml version='1.0' encoding='GBK'?>\n")
    assert decode_web(text.encode("gbk"), "application/xml") == text
    old = '<meta http-equiv="Content-Type" content="text/html; charset=big5"><p>股票</p>'
    assert decode_web(old.encode("big5"), "text/html") == old
    commented = '<!-- <meta charset="big5"> --><meta charset=gbk><p>股票</p>'
    assert decode_web(commented.encode("gbk"), "text/html") == commented
    late = " " * 1100 + '<meta charset="big5"><p>股票</p>'
    assert decode_web(late.encode("gbk"), "") == late
    assert decode_web("甲".encode("gbk"), "text/html;charset='gbk' ; boundary=x") == "甲"
    assert decode_web("価格".encode("shift_jis"), "text/html; charset=Shift_JIS") == "価格"
    assert decode_web("Цена".encode("koi8-r"), "text/html; charset=koi8-r") == "Цена"
    assert decode_web("Café Zürich".encode("latin-1"), "text/html; charset=iso-8859-1") == "Café Zürich"
    assert decode_web(SIMPLIFIED.encode("utf-16-le"), "text/html; charset=utf-16le") == SIMPLIFIED


def test_utf7_is_never_read() -> None:
    assert decode_web(b"+ADw-script+AD4-", "text/html; charset=utf-7") == "+ADw-script+AD4-"
    assert decode_web(b"~{<;~}", "text/html; charset=hz-gb-2312") == "~{<;~}"


def test_a_few_wrong_bytes_are_shown_as_such() -> None:
    text = SIMPLIFIED * 10
    broken = text.encode()[:300] + b"\xff" + text.encode()[300:]
    assert decode_web(broken, "text/html; charset=utf-8").replace("\ufffd", "") == text
    gbk = text.encode("gbk")[:300] + b"\xff" + text.encode("gbk")[300:]
    assert decode_web(gbk, "text/html; charset=gbk").count("\ufffd") == 1


def test_line_ends_are_one() -> None:
    assert decode_web(b"a\r\nb\rc\n", "") == "a\nb\nc\n"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty"), (b" \n", "empty"), (b"\x89PNG\0\0", "binary"), (b"\xff\xfd\x81\x20" * 9, "encoding")],
)
def test_what_is_no_text_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        decode_web(content, "text/html; charset=x-foo")
    assert refused.value.code == code
    assert refused.value.remedy


@given(
    st.binary(max_size=200),
    st.sampled_from(["", "gbk", "big5", "utf-8", "utf-16", "latin1", "iso-2022-jp", "x", "utf-7"]),
)
def test_any_bytes_are_text_or_refused(content: bytes, label: str) -> None:
    try:
        assert "\0" not in decode_web(content, f"text/html; charset={label}")
    except Refused as refused:
        assert refused.remedy


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda t: t.strip()),
    st.booleans(),
)
def test_utf8_is_read_whatever_else_is_declared_unless_it_could_be_both(text: str, lie: bool) -> None:
    media_type = "text/html; charset=gbk" if lie and max(text) > "\u0800" else ""
    assert decode_web(text.encode(), media_type) == text.removeprefix("\ufeff").removeprefix("\ufeff")
