"""A list and its details say what the old pipeline's files said."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.errors import Refused
from feedsync.model import Credit, Document, Parsed, Response
from feedsync.parse.credit import cut_headline
from feedsync.parse.dates import read_moment
from feedsync.parse.decode import decode
from feedsync.parse.document import parse
from feedsync.parse.footer import split_footer
from feedsync.parse.frontmatter import split
from feedsync.parse.listing import ListShape, Record, parse_detail, parse_list
from feedsync.parse.outlet import category_of_outlet
from feedsync.values import replace
from tests.conftest import REAL, ROOT, SHANGHAI, needs_real

CODE = "NW202503142600000001"
FIELDS = {
    "info_code": "infocode",
    "title": "title",
    "published": "showtime",
    "outlet": "from",
    "digest": "digest",
    "page_url": "url_w",
}
DERIVED = ListShape("nodeList", FIELDS)
FIXED = ListShape("records", {k: v for k, v in FIELDS.items() if k != "outlet"}, "content", "emnews", "东财滚动新闻")


def line(**fields: object) -> dict[str, object]:
    return {"infocode": CODE, "title": "标题", "showtime": "2025-03-14 10:00:00", "from": "每日经济新闻"} | fields


def listing(*lines: object, shape: ListShape = DERIVED, around: str = "%s") -> bytes:
    return (around % json.dumps({shape.records: lines}, ensure_ascii=False)).encode()


def response(
    content: object, url: str = "http://127.0.0.1/NewsData/GetNewsText.do?id=1", page_url: str = ""
) -> Response:
    body = content.encode() if isinstance(content, str) else json.dumps(content, ensure_ascii=False).encode()
    return Response("s", CODE, url, page_url, "application/json", body)


def record(**fields: object) -> Record:
    return parse_list(listing(line(**fields)), "", DERIVED, SHANGHAI).records[0]


def as_list_and_detail(text: str) -> Parsed | None:
    """The article of a file of the old pipeline, served as the list and the detail that file was made from."""
    front = split(text)
    if front is None or not front.text("title") or not (date := front.text("date")):
        return None
    body, url = split_footer(front.body)
    tag, category = front.text("tags"), front.text("categories")
    code = re.search(r"(?:NW)?[0-9]{18}", url)
    derived = category_of_outlet(tag.removesuffix("新闻")).term
    if code is None or category.lower() not in ("emnews", derived):
        return None
    digest, text = "", body.strip("\n")
    if match := re.match(r"> (.*)\n+", text):
        digest, text = f"【{front.text('title')}】{match.group(1)}", text[match.end() :]
    shape = FIXED if category == "emnews" else DERIVED
    served = line(
        infocode=code.group(), title=front.text("title"), showtime=date, digest=digest, url_w=url,
        **({"from": tag.removesuffix("新闻")} if shape is DERIVED else {}),
    )  # fmt: skip
    records = parse_list(
        listing(served, shape=shape, around="callback(%s);"), "text/javascript", shape, SHANGHAI
    ).records
    return parse_detail(records[0], response({shape.body: text, "infoCode": code.group()}), shape, SHANGHAI)


def same_as_file(path: Path) -> bool:
    try:
        text = decode(path.read_bytes())
    except Refused:
        return False
    served = as_list_and_detail(text)
    if served is None:
        return False
    # The old site kept the capitals of Latin names; a category derived from a name has none.
    text = re.sub(r"(?m)^categories: .*$", lambda line: line.group().lower(), text, count=1)
    assert served == parse(Document("s", path.name, path.name, text.encode()), SHANGHAI)
    return True


@needs_real
def test_the_real_articles_are_the_same_from_lists() -> None:
    files = [p for p in sorted(REAL.rglob("*")) if p.suffix in (".md", ".txt")]
    compared = sum(map(same_as_file, files))
    assert compared >= len(files) - 4  # the half-published one, the notice, the plain texts


def test_articles_of_ours_are_the_same_from_lists() -> None:
    files = sorted([*(ROOT / "tests/golden").glob("*.md"), *(ROOT / "seeds").rglob("*.md")])
    assert sum(map(same_as_file, files)) >= 5


@pytest.mark.parametrize(
    "around",
    ["%s", "callback(%s)", "/**/jQuery.cb_1(%s);", "var list = %s;", "window.list=%s", "(%s)", ")]}',\n%s", "\ufeff%s"],
)
def test_wrappers_are_taken_off(around: str) -> None:
    records = parse_list(listing(line(), around=around), "application/javascript", DERIVED, SHANGHAI).records
    assert [one.code for one in records] == [CODE]


def test_a_record_says_what_the_fields_map() -> None:
    published = read_moment("2025-03-14 10:00:00", SHANGHAI)
    assert published is not None
    assert record(digest="【标题】文。（新华社）", url_w="http://x.example/a/202503142600000001.html") == Record(
        code=CODE,
        key="202503142600000001",
        title="标题",
        published=published,
        outlet="每日经济新闻",
        digest="【标题】文。（新华社）",
        page_url="http://x.example/a/202503142600000001.html",
        categories=("meirijingjixinwen",),
        tags=("每日经济新闻新闻",),
    )


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "not-json"),
        (b"callback(", "not-json"),
        (b"{" * 200_000, "not-json"),
        (b"[" * 200_000, "not-json"),
        (b'{"nodeList": null}', "list"),
        (b'{"nodeList": {}}', "list"),
        (b'{"code": -1, "message": "no"}', "list"),
        (b"[]", "list"),
        (b"null", "list"),
        (b"1" * 5000, "not-json"),
        (b"\x00\x01", "binary"),
    ],
)
def test_what_is_no_list_is_refused_whole(content: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_list(content, "application/json", DERIVED, SHANGHAI)
    assert refused.value.code == code
    assert refused.value.remedy


def test_an_empty_list_is_a_list() -> None:
    assert parse_list(b'{"nodeList": []}', "", DERIVED, SHANGHAI).records == ()
    assert parse_list(b"[]", "", replace(DERIVED, records=""), SHANGHAI).records == ()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"infocode": None}, "infocode"),
        ({"infocode": ""}, "infocode"),
        ({"infocode": {}}, "infocode"),
        ({"infocode": "../x"}, "infoCode"),
        ({"title": None}, "title"),
        ({"title": " "}, "title"),
        ({"showtime": None}, "showtime"),
        ({"showtime": "昨天"}, "昨天"),
        ({"showtime": "2025-02-30 10:00:00"}, "2025-02-30"),
    ],
)
def test_a_record_with_a_missing_field_is_refused_by_its_number(fields: dict[str, object], word: str) -> None:
    found = parse_list(
        listing(line(), line(infocode="NW202503142600000002", **{}) | fields, line()), "", DERIVED, SHANGHAI
    )
    assert len(found.records) == 1
    ((number, refused),) = found.refused
    assert number == 2
    assert "record 2" in refused.message
    assert word in refused.message


def test_what_is_no_record_is_refused_alone() -> None:
    found = parse_list(listing(None, 1, "a", [], line()), "", DERIVED, SHANGHAI)
    assert [number for number, _ in found.refused] == [1, 2, 3, 4]
    assert len(found.records) == 1


def test_a_repeated_code_adds_and_must_not_contradict() -> None:
    found = parse_list(
        listing(line(digest=""), line(infocode=CODE[2:], digest="摘要"), line(title="别的"), line(showtime="2025-03-15")),
        "", DERIVED, SHANGHAI,
    )  # fmt: skip
    assert [one.digest for one in found.records] == ["摘要"]
    assert [number for number, _ in found.refused] == [3, 4]
    assert "record 1" in found.refused[0][1].message


@pytest.mark.parametrize(
    "written",
    [1741917600, 1741917600000, "1741917600", "1741917600000", "2025/3/14 10:00", "20250314100000", 20250314100000],
)
def test_times_in_many_forms(written: object) -> None:
    assert record(showtime=written).published == read_moment("2025-03-14 10:00:00", SHANGHAI)


def test_codes_may_be_numbers_and_codes_in_page_urls() -> None:
    assert record(infocode=202503142600000001).key == "202503142600000001"
    assert record(infocode=None, url_w="http://x.example/a/202503142600000001.html").key == "202503142600000001"
    assert record(infocode=None, url_w="http://x.example/one").key.startswith("t-")


def test_fixed_and_given_categories() -> None:
    fixed = parse_list(listing(line(), shape=FIXED), "", FIXED, SHANGHAI).records[0]
    assert (fixed.categories, fixed.tags) == (("emnews",), ("东财滚动新闻",))
    shape = replace(DERIVED, fields=FIELDS | {"categories": "channel.names", "tags": "words"})
    mapped = parse_list(listing(line(channel={"names": ["a", "b"]}, words="股市")), "", shape, SHANGHAI).records[0]
    assert (mapped.categories, mapped.tags) == (("a", "b"), ("股市",))
    without = parse_list(listing({k: v for k, v in line().items() if k != "from"}), "", DERIVED, SHANGHAI).records[0]
    assert (without.categories, without.tags) == ((), ())


def test_the_outlet_of_a_fixed_category_is_the_credit() -> None:
    shape = replace(FIXED, fields=FIELDS)
    one = parse_list(listing(line(), shape=shape), "", shape, SHANGHAI).records[0]
    assert parse_detail(one, response({"text": "正文。"}), shape, SHANGHAI).article.credit == Credit(
        Credit.LINE, "每日经济新闻"
    )
    derived = parse_detail(record(), response({"text": "正文。"}), DERIVED, SHANGHAI).article
    assert derived.credit == Credit(Credit.TAG, "每日经济新闻")


@pytest.mark.parametrize(
    ("detail", "body"),
    [
        ({"text": "正文。"}, "<p>正文。</p>"),
        ({"text": "", "content": "正文。"}, "<p>正文。</p>"),
        ({"text": None, "content": "<p>正文<script>x</script>。</p>"}, "<p>正文。</p>"),
        ({"text": "正文。", "infoCode": CODE[2:], "code": 0, "id": 7}, "<p>正文。</p>"),
        ({"text": "<p><img src='/a.png'></p>"}, '<p><img src="http://127.0.0.1/a.png" alt=""></p>'),
    ],
)
def test_the_body_comes_from_the_detail(detail: object, body: str) -> None:
    assert parse_detail(record(), response(detail), DERIVED, SHANGHAI).html == body


def test_the_body_may_lie_deep() -> None:
    shape = replace(DERIVED, body="data.news.0.body")
    detail = {"code": 0, "data": {"news": [{"body": "正文。"}]}}
    assert parse_detail(record(), response(detail), shape, SHANGHAI).html == "<p>正文。</p>"


@pytest.mark.parametrize(
    ("detail", "code"),
    [
        ({}, "no-text"),
        ({"text": ""}, "no-text"),
        ({"text": " \n\u3000"}, "no-text"),
        ({"text": "<p> </p><!-- x -->"}, "no-text"),
        ({"text": None}, "no-text"),
        ({"text": "null"}, "no-text"),
        ({"text": {"a": 1}}, "no-text"),
        ({"text": ["正文"]}, "no-text"),
        ([], "no-text"),
        ({"code": -1, "message": "文章不存在"}, "not-an-article"),
        ({"code": -1, "text": "请联系管理员。"}, "not-an-article"),
        ({"status": "404", "text": "请联系管理员。"}, "not-an-article"),
        ({"success": False, "text": "请联系管理员。"}, "not-an-article"),
        ({"text": "参数错误"}, "not-an-article"),
        ({"text": "系统繁忙，请稍后再试！"}, "not-an-article"),
        ({"text": "<p>您访问的页面不存在</p>"}, "not-an-article"),
        ({"text": "404 Not Found"}, "not-an-article"),
        ({"text": "正文。", "infoCode": "NW202503142600000002"}, "mismatch"),
        ({"text": "正文。", "id": "NW202503142600000002"}, "mismatch"),
        ("<html><body>502 Bad Gateway</body></html>", "not-json"),
        ("正文。", "not-json"),
        ({"text": "<div>" * 100_000}, "too-deep"),
    ],
)
def test_a_detail_without_its_article_is_refused(detail: object, code: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_detail(record(), response(detail), DERIVED, SHANGHAI)
    assert refused.value.code == code
    assert refused.value.remedy


@pytest.mark.parametrize(
    "text",
    ["500强企业名单公布，404家上榜。", "502亿元资金净流入。", "登录科创板首日大涨。", "验证码短信服务商完成融资。", "网络安全新规发布。",
     "页面设计公司上市。", "403只个股涨停。", "系统性风险可控，央行回应。", "服务器需求大增。", "数据安全法实施。"],
)  # fmt: skip
def test_news_about_errors_is_news(text: str) -> None:
    assert parse_detail(record(title=text), response({"text": text}), DERIVED, SHANGHAI).article.title.text == text


@pytest.mark.parametrize(
    ("digest", "title", "kept"),
    [
        ("【标题在此】正文。（新华社）", "标题在此", "正文。（新华社）"),
        ("【标题 在此】正文。", "标题在此", "正文。"),
        ("【业绩兑现成关键 关注板块两大主线】正文。", "业绩兑现成关键 关注板块两主线", "正文。"),
        ("【独家】正文。", "标题在此", "【独家】正文。"),
        ("正文【一】在后。", "标题在此", "正文【一】在后。"),
        ("【标题在此】【独家】正文】完。", "标题在此", "【独家】正文】完。"),
        ("【标题在此】", "标题在此", ""),
        ("【】正文", "标题在此", "【】正文"),
        ("", "标题在此", ""),
    ],
)
def test_a_digest_loses_its_headline_and_nothing_else(digest: str, title: str, kept: str) -> None:
    assert cut_headline(digest, title) == kept


def test_the_last_bracket_of_a_digest_is_the_credit() -> None:
    one = record(digest="【标题】文在此。（新华社）", **{"from": ""})
    article = parse_detail(one, response({"text": "<p>正文。</p>"}), DERIVED, SHANGHAI).article
    assert article.summary == "文在此。"
    assert article.credit == Credit(Credit.DIGEST, "新华社")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*FIELDS.values(), "text", "code", "nodeList"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(_json, _json)
def test_any_json_is_records_or_refused(value: object, detail: object) -> None:
    try:
        found = parse_list(listing(value, line()), "", DERIVED, SHANGHAI)
        parse_list(json.dumps(value).encode(), "", DERIVED, SHANGHAI)
    except Refused as refused:
        assert refused.remedy
        return
    for one in found.records:
        try:
            parsed = parse_detail(one, response(detail), DERIVED, SHANGHAI)
        except Refused as refused:
            assert refused.remedy
        else:
            assert parsed.article.key == one.key


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_refused(content: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_list(content, "", DERIVED, SHANGHAI)
    assert refused.value.remedy


def test_what_an_escape_names_is_text_too() -> None:
    served = json.dumps({"nodeList": [line(title="甲\x0b乙\ud800", digest="摘\x00要")]}).encode()
    (one,) = parse_list(served, "", DERIVED, SHANGHAI).records
    parsed = parse_detail(one, response(json.dumps({"text": "<p>正\x01文\udfff。</p>"})), DERIVED, SHANGHAI)
    assert (parsed.article.title.text, parsed.article.summary, parsed.html) == ("甲乙", "摘要", "<p>正文。</p>")


@pytest.mark.parametrize(
    "status", [{"code": 0}, {"code": 1}, {"code": 200}, {"status": "ok"}, {"ret": 0}, {"success": True}, {"code": CODE}]
)
def test_statuses_of_success(status: dict[str, object]) -> None:
    assert parse_detail(record(), response({"text": "正文。"} | status), DERIVED, SHANGHAI).html == "<p>正文。</p>"
