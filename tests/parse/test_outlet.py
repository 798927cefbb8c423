"""The category of an outlet is named as the old site named its pages, but read right."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.parse.credit import outlet_of_tag
from feedsync.parse.outlet import READINGS, category_of_outlet
from tests.conftest import ROOT

AS_ON_THE_OLD_SITE = """
20社 20she; 21世纪经济报道 21shijijingjibaodao; 21世纪经济报道 21财经APP 21shijijingjibaodao 21caijingAPP
21世纪经济报道  南财理财通 21shijijingjibaodao  nancailicaitong; 36氪 36ke; 36氪财经 36kecaijing; 42号车库 42haocheku
99期货 99qihuo; AI财经社 AIcaijingshe; CBC金属网 CBCjinshuwang; CCTD中国煤炭市场网 CCTDzhongguomeitanshichangwang
FT中文网 FTzhongwenwang; IPO早知道 IPOzaozhidao; IT之家 ITzhijia; IT时报 ITshibao; Wind资讯 Windzixun; TechWeb TechWeb
MedTrend医趋势 MedTrendyiqushi; ZOL中关村在线 ZOLzhongguancunzaixian; 阿根廷农业部 agentingnongyebu; 爱范儿 aifaner
爱建证券 aijianzhengquan; 爱集微 aijiwei; 阿克苏地区融媒体中心 akesudiqurongmeitizhongxin; 安徽发改委 anhuifagaiwei
安徽日报 anhuiribao; 安徽省发展改革委 anhuishengfazhangaigewei; 安信国际证券(香港) anxinguojizhengquan(xianggang)
大众证券报 dazhongzhengquanbao; 银川新闻网 yinchuanxinwenwang; 财联社 cailianshe; 证券时报 zhengquanshibao
法治日报 fazhiribao; 新京报 xinjingbao
"""


@pytest.mark.parametrize("pair", [p.strip() for p in re.split(r"[;\n]", AS_ON_THE_OLD_SITE) if p.strip()])
def test_categories_are_those_of_the_old_site_in_lower_case(pair: str) -> None:
    half = re.fullmatch(r"(.*[^\x00-\x7f][^ ]*?(?: [0-9]+[^\x00-\x7f]+APP|  南财理财通)?|TechWeb) (.*)", pair)
    assert half is not None
    assert category_of_outlet(half.group(1)).term == half.group(2).lower()


@pytest.mark.parametrize(
    ("outlet", "term"),
    [
        ("厦门日报", "xiamenribao"),
        ("重庆日报", "chongqingribao"),
        ("西藏日报", "xizangribao"),
        ("中国银行", "zhongguoyinhang"),
        ("Career In 投行PEVC", "career in touhangpevc"),
        ("大厦", "dasha"),
        ("绿色中国", "lvsezhongguo"),
        ("六安日报", "luanribao"),
        ("长三角新闻", "changsanjiaoxinwen"),
        ("江苏长三角", "jiangsuchangsanjiao"),
        ("甲-乙", "jiayi"),
        ("Ａ股", "ａgu"),
        ("安信国际证券（香港）", "anxinguojizhengquan（xianggang）"),
        ("", ""),
    ],
)
def test_readings_that_the_old_site_got_wrong_and_odd_names(outlet: str, term: str) -> None:
    assert category_of_outlet(outlet).term == term


def test_the_label_is_the_tag_of_the_old_posts() -> None:
    assert category_of_outlet("每日经济新闻").label == "每日经济新闻新闻"
    assert outlet_of_tag(category_of_outlet(" 财联社\n").label) == "财联社"


def test_the_table_is_documented_and_needed() -> None:
    text = (ROOT / "docs/reference/pages-to-articles.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| (\S+) \| `([a-z]+)` \|$", text, re.MULTILINE)) == READINGS
    from pypinyin import lazy_pinyin

    assert not [word for word, reading in READINGS.items() if "".join(lazy_pinyin(word)) == reading]


@given(st.text(max_size=20))
def test_any_name_gives_a_term_without_capitals_and_hyphens(outlet: str) -> None:
    term = category_of_outlet(outlet).term
    assert term == term.lower().strip()
    assert "-" not in term
