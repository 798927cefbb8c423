"""Front matter as the pipeline wrote it, and as people write it."""

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from feedsync.errors import Refused
from feedsync.parse.frontmatter import FrontMatter, split


def fields(lines: str) -> FrontMatter:
    found = split(f"---\n{lines}\n---\n正文")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('title: "某公司回应"涨价"传闻"', '某公司回应"涨价"传闻'),
        (r'title: "路径C:\new"', r"路径C:\new"),
        (r'title: "他说\"好\""', '他说"好"'),
        (r'title: "\x00\x0b\ud800"', r"\x00\x0b\ud800"),
        ("title: '单''引号'", "单'引号"),
        ('title: "“引号”在前"', "“引号”在前"),
        ("title: @某号：第一 #1", "@某号：第一 #1"),
        ("title: *ST某某", "*ST某某"),
        ("title: &某某", "&某某"),
        ("title: !重要", "!重要"),
        ("title: % 某某", "% 某某"),
        ("title: 0123456", "0123456"),
        ("title: no", "no"),
        ("title: 12:30:45", "12:30:45"),
        ("title: [快讯] 某某", "[快讯] 某某"),
        ("title: a: b", "a: b"),
        ("title:   前后有空格   ", "前后有空格"),
        ("title:", ""),
        ('title: ""', ""),
        ("Title: 大写", "大写"),
        ("title:没有空格", "没有空格"),
        ('title:"没有空格"', "没有空格"),
        ("title：全角冒号：二", "全角冒号：二"),
        ("\ttitle: 缩进", "缩进"),
        ("title: [快讯, 重要]", "[快讯, 重要]"),
        ("title: [快讯, 重要] 某某", "[快讯, 重要] 某某"),
        ("title: 甲\ndate:2022-04-21 18:36:14 +0800", "甲"),
    ],
)
def test_a_line_is_read_as_written(line: str, value: str) -> None:
    assert fields(line).text("title") == value


def test_known_fields_are_read_without_a_blank_and_with_a_colon_of_full_width() -> None:
    found = fields("layout:post\ntitle：甲\ndate:2022-04-21 18:36:14 +0800\n\ncategories：emnews\ntags:乙新闻")
    assert found.text("date") == "2022-04-21 18:36:14 +0800"
    assert (found.text("title"), found.texts("categories"), found.texts("tags")) == ("甲", ("emnews",), ("乙新闻",))


def test_lists_and_blocks_are_yaml() -> None:
    found = fields("tags:\n  - 甲\n  - 乙\ncategories: [丙, 丁]\nsummary: |\n  一\n  二")
    assert found.texts("tags") == ("甲", "乙")
    assert found.texts("categories") == ("丙", "丁")
    assert found.text("summary") == "一\n二"


def test_one_raw_line_does_not_spoil_the_lists() -> None:
    found = fields('title: "a "b" c"\ntags:\n- 甲\n- 乙')
    assert found.text("title") == 'a "b" c'
    assert found.texts("tags") == ("甲", "乙")


def test_an_empty_repetition_does_not_overwrite() -> None:
    assert fields("title: 一\ntitle:").text("title") == "一"
    assert fields("title:\ntitle: 二").text("title") == "二"


def test_blank_lines_and_a_bom_before_the_fence() -> None:
    for start in ("\n", "\n\n", "\ufeff", " \n"):
        found = split(f"{start}---\ntitle: 一\n---\n正文")
        assert found is not None
        assert found.text("title") == "一"


def test_a_fence_in_the_body_stays_there() -> None:
    found = split("---\ntitle: 一\n---\n上\n---\n下")
    assert found is not None
    assert found.body == "上\n---\n下"


def test_unclosed_front_matter_ends_where_fields_end() -> None:
    found = split("---\ntitle: 一\ndate: 2025-01-01\n正文在此\n第二段")
    assert found is not None
    assert not found.closed
    assert found.text("date") == "2025-01-01"
    assert found.body == "正文在此\n第二段"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [" + ",".join([f"*{chr(97 + n)}"] * 9) + "]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (BOMB, "yaml-alias"),
        ("x: !!python/object/apply:os.system ['touch /tmp/feedsync-pwned']", "yaml-tag"),
        ("a: " + "[" * 15000 + "]" * 15000, "yaml-depth"),
        ("a: [x]\nb:\n" + "- " * 15000 + "x", "yaml-depth"),
        ("a: " + '["]",' * 7000 + "1" + "]" * 7000, "front-matter"),
        ('b: "' + "]" * 95000 + '"\na: ' + "[" * 40000, "front-matter"),
        ("- a\n- b", "front-matter"),
        ("a: " + "x" * 300_000, "front-matter"),
    ],
)
def test_hostile_front_matter_is_refused_at_once(text: str, code: str) -> None:
    started = time.process_time()
    with pytest.raises(Refused) as refused:
        split(f"---\n{text}\n---\nx")
    assert refused.value.code == code
    assert time.process_time() - started < 0.05


_plain = st.text(st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="\x85\u2028\u2029"), max_size=30)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True), _plain, max_size=5))
def test_what_yaml_dumps_as_plain_or_quoted_lines_is_read_back(values: dict[str, str]) -> None:
    lines = [f"{k}: '{v.replace(chr(39), chr(39) * 2)}'" for k, v in values.items()]
    assert yaml.load("\n".join(lines) or "{}", Loader=yaml.CBaseLoader) == values
    found = fields("\n".join(lines))
    assert {k: found.text(k) for k in values} == {k: v.strip() for k, v in values.items()}


@given(st.text(max_size=200))
def test_anything_gives_fields_or_a_refusal(text: str) -> None:
    try:
        split(f"---\n{text}")
    except Refused as refused:
        assert refused.remedy


VALUES = st.sampled_from(["", " ", "甲", " 乙 ", "b"])


@given(st.dictionaries(st.sampled_from("abc"), VALUES | st.lists(VALUES, max_size=3).map(tuple)))
def test_the_text_of_fields_is_the_first_of_their_texts(said: dict[str, str | tuple[str, ...]]) -> None:
    front = FrontMatter(said, "")
    assert front.text("a", "b", "c") == next(iter(front.texts("a", "b", "c")), "")
