"""The configuration of docs/howto/serve.md in a real nginx, beside our own server on the same tree."""

import contextlib
import gzip
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import brotli
import pytest

from feedsync.outputs import Tree
from feedsync.publish import Publisher
from feedsync.sync import Request, run
from tests.conftest import ROOT, Desk, post
from tests.test_web import FEED, PUBLISHED, TYPES, Answer, Web, serving, until

NGINX = shutil.which("nginx") or next((p for p in ("/usr/sbin/nginx",) if os.path.exists(p)), None)
MODULE = Path("/usr/lib/nginx/modules/ngx_http_brotli_static_module.so")
SAME = ("content-type", "cache-control", "content-encoding", "vary", "content-security-policy", "x-content-type-options",
        "x-frame-options", "referrer-policy", "access-control-allow-origin", "last-modified", "content-length", "allow")  # fmt: skip

TOLD = ("text/html; charset=utf-8", "no-store")


class Nginx(Web):
    """nginx, asked as our server is."""

    def __init__(self, port: int) -> None:
        self.port = port


def configuration(folder: Path, root: Path, port: int, ours: int) -> str:
    (text,) = re.findall(
        r"```nginx\n(map .*?)```", (ROOT / "docs/howto/serve.md").read_text(encoding="utf-8"), re.DOTALL
    )
    (folder / "redirects.map").write_text('"/category/old.atom" "/category/emnews.atom";\n')
    for old, new in (("/etc/nginx/feedsync-redirects*.map", f"{folder}/redirects*.map"), ("listen 80;", f"listen 127.0.0.1:{port};"),
                     ("root /var/lib/feedsync/public;", f"root {root};"), ("127.0.0.1:8080", f"127.0.0.1:{ours}")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    load = ""
    if MODULE.exists():
        text = text.replace("# brotli_static on;", "brotli_static on;").replace("disable_symlinks if_not_owner", "# ")
        load = f"load_module {MODULE};"
    paths = "".join(f"{k}_temp_path {folder}/{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return (
        f"{load} daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; absolute_redirect off; {paths}\n{text}\n}}\n"
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Web, Nginx]]:
    if NGINX is None:
        pytest.skip("nginx is not here: apt install nginx")
    folder = tmp_path_factory.mktemp("nginx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    desk = Desk(folder)
    desk.put("a.md", post())
    run(desk.store, Publisher(Tree(folder / "elsewhere"), desk.presentation), [desk.source], Request(), now=desk.now)
    told = {"store_url": f"sqlite:///{desk.store.path}", "presentation": desk.presentation.to_json()}
    with closing(desk), serving(folder / "public", **told) as ours:
        (folder / "nginx.conf").write_text(configuration(folder, ours.root, port, ours.port))
        process = subprocess.Popen([NGINX, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
        theirs = Nginx(port)
        try:

            def answers() -> bool:
                assert process.poll() is None, (folder / "error.log").read_text()
                with contextlib.suppress(OSError):
                    return theirs.ask("/robots.txt").status == 200
                return False

            until(answers)
            yield ours, theirs
        finally:
            process.terminate()
            process.wait()


def patient(server: Web, target: str) -> Answer:
    """As `ask`, by a client that closes nothing before it has its answer: nginx takes that for a client that left."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("GET", target)
        found = connection.getresponse()
        fields = {name.lower(): value for name, value in found.getheaders()}
        assert len(fields) == len(found.getheaders()), "a field twice"
        return Answer(found.status, fields, found.read())


def told(answer: Answer) -> dict[str, str | None]:
    return {name: answer.fields.get(name) for name in SAME}


@pytest.mark.parametrize("path", TYPES)
@pytest.mark.parametrize("accept", ["identity", "gzip"])
def test_files_are_served_alike(both: tuple[Web, Nginx], path: str, accept: str) -> None:
    ours, theirs = (server.ask(path, Accept_Encoding=accept) for server in both)
    assert theirs.status == ours.status == 200
    assert told(theirs) == told(ours)
    assert theirs.body == ours.body
    for server, answer in zip(both, (ours, theirs), strict=True):
        assert answer.fields["etag"][0] == '"'
        head = server.ask(path, "HEAD", Accept_Encoding=accept)
        assert told(head) == told(answer)
        for condition in ({"If_None_Match": answer.fields["etag"]}, {"If_None_Match": f'"x", W/{answer.fields["etag"]}'},
                          {"If_None_Match": "*"}, {"If_Modified_Since": answer.fields["last-modified"]}):  # fmt: skip
            same = server.ask(path, Accept_Encoding=accept, **condition)
            assert (same.status, same.body) == (304, b"")
            for name in ("cache-control", "vary"):
                assert same.fields[name] == answer.fields[name]
        assert server.ask(path, If_None_Match='"x"').status == 200


def test_encodings_have_validators_of_their_own(both: tuple[Web, Nginx]) -> None:
    for server in both:
        plain, packed = server.ask(Accept_Encoding="identity"), server.ask(Accept_Encoding="gzip")
        assert plain.fields["etag"] != packed.fields["etag"]
        assert gzip.decompress(packed.body) == plain.body == FEED
        if MODULE.exists() or type(server) is Web:
            assert brotli.decompress(server.ask(Accept_Encoding="br").body) == FEED


@pytest.mark.parametrize(
    "target",
    [
        "/nope.atom", "/all.atom.gz", "/all.atom.br", "/.hidden.txt", "/category/", "/category", "/notes.md",
        "/%2e%2e/redirects.map", "/all.atom/",
    ],
)  # fmt: skip
def test_nothing_else_is_served(both: tuple[Web, Nginx], target: str) -> None:
    for name in (".hidden.txt", "notes.md"):
        (both[0].root / name).write_text("secret")
    for server in both:
        answer = server.ask(target)
        if answer.status != 400:  # nginx on paths above the root
            assert (answer.status, answer.body) == (404, PUBLISHED["404.html"])
            assert answer.fields["cache-control"] == "no-store"
            assert "script" not in answer.fields["content-security-policy"]


def test_what_was_withdrawn_is_gone_for_good(both: tuple[Web, Nginx]) -> None:
    for server in both:
        for target in ("/article/202503142600000002.html", "/large/article/202503142600000002.html"):
            answer = server.ask(target)
            assert (answer.status, answer.body) == (410, PUBLISHED["410.html"])
            assert (answer.fields["content-type"], answer.fields["cache-control"]) == TOLD
            assert "script" not in answer.fields["content-security-policy"]
        assert server.ask("/article/202503142600000002.html.gone").status == 404


@pytest.mark.parametrize("path", ["/search", "/search.atom", "/search.json"])
def test_searches_are_passed_on(both: tuple[Web, Nginx], path: str) -> None:
    ours, theirs = (patient(server, f"{path}?q=%E6%AD%A3%E6%96%87") for server in both)
    assert ours.status == theirs.status == 200
    assert "202503142600000001" in ours.body.decode()
    assert (told(theirs), theirs.body) == (told(ours), ours.body)
    assert theirs.fields["etag"] == ours.fields["etag"]


def test_methods_and_moved_paths(both: tuple[Web, Nginx]) -> None:
    for server in both:
        for method in ("POST", "PUT", "DELETE"):
            answer = server.ask("/all.atom", method)
            assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD, OPTIONS")
        preflight = server.ask("/all.atom", "OPTIONS")
        assert (preflight.status, preflight.fields["access-control-allow-origin"]) == (204, "*")
        assert preflight.fields["access-control-allow-headers"] == "If-None-Match, If-Modified-Since"
        moved = server.ask("/category/old.atom")
        assert (moved.status, moved.fields["location"]) == (301, "/category/emnews.atom")


def test_a_new_version_is_seen_at_once(both: tuple[Web, Nginx]) -> None:
    ours, _ = both
    for number in range(5):
        content = FEED + str(number).encode()
        ours.publish(**{"category/news.atom": content})
        for server in both:
            assert server.ask("/category/news.atom").body == content
            assert gzip.decompress(server.ask("/category/news.atom", Accept_Encoding="gzip").body) == content


def test_a_tree_that_is_gone_is_no_404(both: tuple[Web, Nginx]) -> None:
    ours, _ = both
    aside = ours.root.with_name("aside")
    os.rename(ours.root, aside)
    try:
        assert {server.ask("/unknown.atom").status for server in both} == {503}
    finally:
        os.rename(aside, ours.root)


def test_large_type_is_the_same_pages(both: tuple[Web, Nginx]) -> None:
    for server in both:
        pages = [server.ask(path) for path in ("/index.html", "/large/index.html")]
        assert pages[0].status == pages[1].status == 200
        assert pages[0].body == pages[1].body
        assert server.ask("/large/all.atom").status == 404
