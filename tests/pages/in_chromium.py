"""Each kind of page in a real browser, at phone and desktop width, light and dark, in both sizes: `make pages`.

The tree is served by a plain static server with the policy that forbids scripts, so this also shows that no page
needs feedsync's own server.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from feedsync import archive
from tests.conftest import REAL, ROOT, Desk, post

HOME = ROOT / ".cache/pages"
POLICY = "default-src 'none'; img-src http: https:; style-src 'self'; base-uri 'none'; form-action 'none'"
CODE = "202503142600000001"


class Quiet(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Real articles where they are, else the samples, and one that has everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "PER_PAGE", 10)
        desk = Desk(tmp_path_factory.mktemp("pages"))
        for number, path in enumerate(sorted((REAL if REAL.is_dir() else ROOT / "seeds").rglob("*.md"))):
            if path.is_file():
                desk.put(f"{number}-{path.name}", path.read_bytes())
        for number in range(60):
            code = f"2025031327{number:08d}"
            desk.put(
                f"{code}.md",
                post(
                    code,
                    f"第{number}篇：行情播报与要闻速览",
                    date=f"2025-03-13 {10 + number // 10}:{number % 60:02d}:00",
                ),
            )
        body = (
            "<p>正文第一段，1,234.56亿元，同比增长8.9%；“引号”与《书名号》，以及（括号）。</p>" * 3
            + '<p><img src="http://img.example.com/a_w800h450.png" alt="走势图"></p><h3>小标题</h3>'
            + '<p>有<a href="http://example.com/x">链接</a>和<strong>强调</strong>。</p><blockquote><p>引文。</p></blockquote>'
            + "<table><tr><th>代码</th><th>名称</th><th>涨跌幅</th></tr>" + "<tr><td>600000</td><td>样本股份</td><td>+1.23%</td></tr>" * 4 + "</table>"
            + "<table><tr>" + "".join(f"<td>第{n}列很宽</td>" for n in range(14)) + "</tr></table>"
            + '<p><img src="http://img.example.com/unknown.png"></p>'
            + '<ul><li>一</li><li>二</li></ul><p class="em_media">（文章来源：样本日报）</p>'
        )  # fmt: skip
        desk.put("all.md", post(CODE, "旧标题：一篇什么都有的文章", body))
        desk.run()
        desk.put("all.md", post(CODE, "一篇什么都有的文章：标题长到在手机上要折成好几行，看看断行是否得体", body))
        (desk.inbox / "all.md").touch()
        desk.run()
        yield desk.tree.root
        desk.close()


def test_axe_finds_nothing_and_nothing_overflows(tree: Path) -> None:
    assert (HOME / "node_modules/axe-core").is_dir(), "run `make pages`, which installs what is needed"
    paths = [
        "index.html",
        "category/emnews.html",
        "category/emnews/2025-2.html",
        f"article/{CODE}.html",
        "404.html",
        "405.html",
    ]
    longest = max((tree / "article").glob("*.html"), key=lambda path: path.stat().st_size)
    paths.append(str(longest.relative_to(tree)))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tree))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}/"
        for path in tree.glob("40?.html"):  # their links are absolute
            path.write_bytes(path.read_bytes().replace(b"http://127.0.0.1:8080/", base.encode()))
        done = subprocess.run(
            ["node", str(Path(__file__).with_name("look.mjs")), str(HOME), base, str(HOME / "shots"), *paths],
            capture_output=True, text=True, timeout=500, env=os.environ | {"NO_PROXY": "*"},
        )  # fmt: skip
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
