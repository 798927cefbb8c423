"""Where a page's text lives."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.parse.rewrite import Rewrite, text_url

CODE = "NW202503142600000001"
TEXT = f"/NewsData/GetNewsText.do?id={CODE}"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (f"http://h.example/html_News/NewsShare.html?infoCode={CODE}", f"http://h.example{TEXT}"),
        (f"https://127.0.0.1:8080/html_News/NewsShare.html?infoCode={CODE}", f"https://127.0.0.1:8080{TEXT}"),
        (f"http://[::1]:80/html_News/NewsShare.html?infoCode={CODE}", f"http://[::1]:80{TEXT}"),
        (f"http://h.example/html_News/NewsShare.html?a=1&infoCode={CODE}&b=2#top", f"http://h.example{TEXT}"),
        (f"HTTP://H.example/html_news/newsshare.html?infocode={CODE}", f"HTTP://H.example{TEXT}"),
        (f"http://h.example/html_News/NewsShare.html?xinfoCode={CODE}", ""),
        (f"http://h.example/html_News/NewsShare.html?a#infoCode={CODE}", ""),
        ("http://h.example/html_News/NewsShare.html?infoCode=", ""),
        ("http://h.example/html_News/NewsShare.html?infoCode=../x", ""),
        (f"http://h.example/x/html_News/NewsShare.html?infoCode={CODE}", ""),
        (f"ftp://h.example/html_News/NewsShare.html?infoCode={CODE}", ""),
        (f"http://h.example/a/{CODE[2:]}.html", ""),
    ],
)
def test_share_pages_are_read_where_their_text_lives(page: str, text: str) -> None:
    assert text_url(page, ()) == (text or page)


def test_rules_come_first_and_the_first_that_matches_wins() -> None:
    rules = [
        Rewrite(re.compile(r"https://h\.example/share/(\d+)"), r"https://h.example/api/\1.json"),
        Rewrite(re.compile(r"https://h\.example/(?P<what>\w+)/.*"), r"https://h.example/\g<what>"),
        Rewrite(re.compile(r"http://h\.example/html_News/.*"), "http://h.example/mine"),
    ]
    assert text_url("https://h.example/share/17", rules) == "https://h.example/api/17.json"
    assert text_url("https://h.example/other/17?x", rules) == "https://h.example/other"
    assert text_url(f"http://h.example/html_News/NewsShare.html?infoCode={CODE}", rules) == "http://h.example/mine"
    assert text_url("https://else.example/share/17", rules) == "https://else.example/share/17"


@pytest.mark.parametrize(
    ("match", "to"), [(r"a(\d)", r"\2"), (r"a", r"\g<name>"), (r"a", "\\"), (r"a|b(c)", r"\2"), (r"a", r"\q")]
)
def test_a_template_that_does_not_fit_is_refused_at_once(match: str, to: str) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Rewrite(re.compile(match), to)


def test_a_group_that_took_no_part_is_blank() -> None:
    assert text_url("http://h/b", [Rewrite(re.compile(r"(http://h/)(?:a(c)|b)"), r"\1x\2")]) == "http://h/x"


@given(st.text(max_size=60))
def test_any_url_stays_or_is_rewritten(url: str) -> None:
    assert text_url(url, ()) == url


def test_long_urls_take_no_time() -> None:
    started = time.process_time()
    text_url("http://h.example/html_News/NewsShare.html?" + "infoCode=&" * 50_000, ())
    text_url("http://h.example/html_News/NewsShare.html?" + "infoCode=A&" * 50_000 + " ", ())
    assert time.process_time() - started < 0.5


def test_a_template_without_a_host_takes_the_place_of_what_matched() -> None:
    rules = [
        Rewrite(re.compile(r"/share/(\d+)"), r"/api/\1.json"),
        Rewrite(re.compile(r"id=(\d+)"), r"http://t.example/\1"),
    ]
    assert text_url("https://h.example/share/17?x=1", rules) == "https://h.example/api/17.json?x=1"
    assert text_url("https://h.example/page?id=17&x=1", rules) == "http://t.example/17"
