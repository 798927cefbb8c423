"""The day an address must change."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from feedsync import config
from feedsync.cli import command
from feedsync.daemon import _web
from feedsync.errors import ConfigError
from feedsync.values import replace
from feedsync.web.application import Application
from feedsync.web.message import Request

SITE_TABLE = '[site]\ntitle = "站"\nbase_url = "https://news.example.org/f/"\nauthority = "example.org,2026"\n'


def configured(folder: Path, redirects: str) -> Path:
    file = folder / "feedsync.toml"
    file.write_text(f"{SITE_TABLE}[feeds.redirects]\n{redirects}\n", encoding="utf-8")
    return file


def test_redirects_are_read_and_told_to_nginx(tmp_path: Path) -> None:
    file = configured(tmp_path, '"/category/old.atom" = "/category/new.atom"\n"/emnews/" = "/category/emnews.html"')
    assert config.load(file).redirects == {
        "/category/old.atom": "/category/new.atom",
        "/emnews/": "/category/emnews.html",
    }
    told = CliRunner().invoke(command, ["--config", str(file), "check-config", "--nginx-redirects"])
    assert told.stdout.splitlines() == [
        '"/category/old.atom" "https://news.example.org/f/category/new.atom";',
        '"/emnews/" "https://news.example.org/f/category/emnews.html";',
    ]
    assert (
        "redirect /emnews/: /category/emnews.html\n"
        in CliRunner().invoke(command, ["--config", str(file), "check-config"]).stdout
    )


@pytest.mark.parametrize(
    ("redirects", "fault"),
    [
        ('"/all.atom" = "/x.atom"', "write a path that is published no more"),
        ('"/all.rss" = "/all.atom"', "write a path that is published no more"),
        ('"old.atom" = "/x.atom"', "write a path that is published no more"),
        ('"/a/../b" = "/x.atom"', "write a path that is published no more"),
        ('"/a b" = "/x.atom"', "write a path that is published no more"),
        ('"/a\\";" = "/x.atom"', "write a path that is published no more"),
        ('"/a.atom" = "https://evil.example/"', "write the path it moved to"),
        ('"/a.atom" = "//evil.example/"', "write the path it moved to"),
        ('"/a.atom" = "/b.atom"\n"/b.atom" = "/c.atom"', "'/b.atom' is redirected itself"),
        ('"/a.atom" = "/a.atom"', "'/a.atom' is redirected itself"),
        ('"/a.atom" = 1', "feeds.redirects: Expected str"),
    ],
)
def test_a_redirect_that_cannot_be_served_is_refused(tmp_path: Path, redirects: str, fault: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.load(configured(tmp_path, redirects))
    assert any(fault in problem for problem in raised.value.problems), raised.value.problems


def test_an_address_in_chinese_is_published_in_ascii(tmp_path: Path) -> None:
    file = configured(tmp_path, '"/old.atom" = "/all.atom"')
    file.write_text(
        file.read_text(encoding="utf-8").replace("https://news.example.org/f/", "https://新闻.example.org:8443/财经"),
        encoding="utf-8",
    )
    loaded = config.load(file)
    assert loaded.presentation.site.base_url == "https://xn--efvy88h.example.org:8443/%E8%B4%A2%E7%BB%8F"
    (tmp_path / "all.atom").touch()
    options = replace(_web(loaded), root=str(tmp_path))
    moved = Application(options).respond(Request("GET", b"/old.atom", b"", {}))
    assert b"Location: https://xn--efvy88h.example.org:8443/%E8%B4%A2%E7%BB%8F/all.atom\r\n" in moved.head


@pytest.mark.parametrize("url", ["https://a:99999/", "https://a{b}/", "https://[::1/", "https://@/", "https:///x"])
def test_a_base_url_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    file = configured(tmp_path, "")
    file.write_text(file.read_text(encoding="utf-8").replace("https://news.example.org/f/", url), encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        config.load(file)
    assert [problem.partition(":")[0] for problem in raised.value.problems] == ["site.base_url"]


def test_a_path_of_a_format_that_is_left_out_may_be_redirected(tmp_path: Path) -> None:
    file = configured(tmp_path, '"/all.rss" = "/all.atom"')
    file.write_text(
        file.read_text(encoding="utf-8").replace("[feeds.", "[feeds]\nrss = false\n[feeds."), encoding="utf-8"
    )
    loaded = config.load(file)
    assert loaded.redirects == {"/all.rss": "/all.atom"}
    assert loaded.presentation.site.formats == ("atom", "json")
