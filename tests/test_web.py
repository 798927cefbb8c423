"""The HTTP server as its clients meet it: over real sockets, with raw bytes where a client library would tidy up."""

import contextlib
import gzip
import os
import re
import resource
import shutil
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

import brotli
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedsync.errors import ServerError
from feedsync.outputs import Tree
from feedsync.server import HttpServer, listen
from feedsync.web import Options
from feedsync.web.conditions import codings, seconds
from feedsync.web.files import Files, Gone
from feedsync.web.message import File
from feedsync.web.protocol import MAX_FIELDS, MAX_HEAD_BYTES, MAX_TARGET_BYTES

FEED = "<feed>文章</feed>\n".encode() * 4000
CSS = "assets/site.0123456789abcdef.css"
LARGE = bytes(range(256)) * 80_000
"""More than the kernel takes off a server's hands; its names end in .png, which are not encoded."""
PUBLISHED = {
    "all.atom": FEED,
    "all.rss": b"<rss/>",
    "all.json": b"{}",
    "feeds.opml": b"<opml/>",
    "index.html": b"<p>index</p>",
    "404.html": "<p>没有</p>".encode(),
    "405.html": "<p>只能读取</p>".encode(),
    "410.html": "<p>撤下</p>".encode(),
    "article/202503142600000002.html.gone": b"",
    "category/emnews.html": b"<p>emnews</p>",
    "category/emnews.atom": b"<feed/>",
    "article/202503142600000001.html": "<p>正文</p>".encode() * 200,
    CSS: b"p{}",
    "assets/plain.css": b"p{}",
    "icon.png": b"\x89PNG",
    "favicon.ico": b"ico",
    "icon.svg": b"<svg/>",
    "robots.txt": b"",
    "large/assets/site.0123456789abcdef.css": b"p{font-size:2em}",
}


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes


class Web:
    """A served tree."""

    def __init__(self, root: Path, **options: object) -> None:
        self.root = root
        self.publish(**PUBLISHED)
        for alias, target in (("index.html", "../index.html"), ("article", "../article"), ("category", "../category")):
            (root / "large" / alias).symlink_to(target)
        self.socket = listen("127.0.0.1", 0)
        self.port: int = self.socket.getsockname()[1]
        self.options = Options(str(root), redirects={"/category/old.atom": "/category/emnews.atom"}, **options)  # type: ignore[arg-type]
        self.server = HttpServer(self.options, [self.socket])

    def publish(self, **files: bytes) -> None:
        with Tree(self.root).batch() as batch:
            for path, content in files.items():
                batch.put(path, content)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, sent: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        with self.connect() as client:
            client.sendall(sent)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            return read_all(client)

    def ask(self, target: str | bytes = "/all.atom", method: str = "GET", **fields: str) -> Answer:
        target = target.encode() if isinstance(target, str) else target
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        host = "" if "Host" in fields else "Host: localhost\r\n"
        return parse(
            self.raw(f"{method} ".encode() + target + f" HTTP/1.1\r\n{host}{lines}\r\n".encode("latin-1")), method
        )

    def files_open(self) -> int:
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def memory_bytes(self) -> int:
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024


def read_all(client: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def parse(answer: bytes, method: str = "GET") -> Answer:
    """Exactly one answer: its length is as promised."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(fields) == len(lines), "a field twice"
    status = int(re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z -]+", line)[1])  # type: ignore[index]
    expected = 0 if method == "HEAD" or status in (204, 304) else int(fields["content-length"])
    assert len(body) == expected
    assert "Traceback" not in body.decode("latin-1")
    return Answer(status, fields, body)


@contextlib.contextmanager
def serving(root: Path, **options: object) -> Iterator[Web]:
    web = Web(root, **options)
    with web.socket, web.server:
        yield web


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    (folder / "secret.txt").write_text("secret")
    with serving(folder / "public") as web:
        (web.root / "link.html").symlink_to(folder / "secret.txt")
        (web.root / "linked").symlink_to(folder)
        (web.root / ".hidden.txt").write_text("secret")
        (web.root / "notes.md").write_text("secret")
        yield web


def until(true: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


TYPES = {
    "/all.atom": ("application/atom+xml; charset=utf-8", "public, max-age=60"),
    "/all.rss": ("application/rss+xml; charset=utf-8", "public, max-age=60"),
    "/all.json": ("application/feed+json; charset=utf-8", "public, max-age=60"),
    "/feeds.opml": ("text/x-opml; charset=utf-8", "public, max-age=300"),
    "/": ("text/html; charset=utf-8", "public, max-age=60"),
    "/index.html": ("text/html; charset=utf-8", "public, max-age=60"),
    "/category/emnews.html": ("text/html; charset=utf-8", "public, max-age=60"),
    "/article/202503142600000001.html": ("text/html; charset=utf-8", "public, max-age=300"),
    f"/{CSS}": ("text/css; charset=utf-8", "public, max-age=31536000, immutable"),
    "/assets/plain.css": ("text/css; charset=utf-8", "public, max-age=3600"),
    "/icon.png": ("image/png", "public, max-age=3600"),
    "/favicon.ico": ("image/x-icon", "public, max-age=3600"),
    "/icon.svg": ("image/svg+xml; charset=utf-8", "public, max-age=3600"),
    "/robots.txt": ("text/plain; charset=utf-8", "public, max-age=3600"),
    "/large/index.html": ("text/html; charset=utf-8", "public, max-age=60"),
    "/large/category/emnews.html": ("text/html; charset=utf-8", "public, max-age=60"),
    "/large/article/202503142600000001.html": ("text/html; charset=utf-8", "public, max-age=300"),
    f"/large/{CSS}": ("text/css; charset=utf-8", "public, max-age=31536000, immutable"),
}


@pytest.mark.parametrize("path", TYPES)
def test_every_kind_of_file_is_served_as_what_it_is(web: Web, path: str) -> None:
    answer = web.ask(path)
    assert answer.status == 200
    name = path[1:] or "index.html"
    assert answer.body == PUBLISHED.get(name, PUBLISHED.get(name.removeprefix("large/")))
    assert (answer.fields["content-type"], answer.fields["cache-control"]) == TYPES[path]
    assert answer.fields["vary"] == "Accept-Encoding"
    assert answer.fields["x-content-type-options"] == "nosniff"
    assert answer.fields["x-frame-options"] == "DENY"
    assert answer.fields["referrer-policy"] == "no-referrer"
    policy = answer.fields["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
    assert ("sandbox" in policy) == ("html" not in answer.fields["content-type"])
    feed = path.endswith((".atom", ".rss", ".json", ".opml"))
    assert answer.fields.get("access-control-allow-origin") == ("*" if feed else None)
    head = web.ask(path, "HEAD")
    assert head.fields | {"date": ""} == answer.fields | {"date": ""}
    assert "set-cookie" not in answer.fields


def test_pages_name_their_feeds(web: Web) -> None:
    assert web.ask("/category/emnews.html").fields["link"] == (
        '</category/emnews.atom>; rel="alternate"; type="application/atom+xml"'
    )
    assert web.ask("/").fields["link"].count('rel="alternate"') == 3
    assert "link" not in web.ask("/article/202503142600000001.html").fields


def test_conditional_requests(web: Web) -> None:
    answer = web.ask()
    etag, modified = answer.fields["etag"], answer.fields["last-modified"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
    for condition in (etag, f'"x", {etag}', f"W/{etag}", "*", f'W/"a,b",{etag},"c"', ", ".join([f'"{n:032x}"' for n in range(300)] + [etag])):  # fmt: skip
        for since in ("nonsense", formatdate(0, usegmt=True)):
            same = web.ask(If_None_Match=condition, If_Modified_Since=since)
            assert same.status == 304, condition
            assert same.body == b""
            assert {"etag", "cache-control", "vary", "date"} <= set(same.fields)
            assert same.fields["etag"] == etag
            assert not {"content-type", "content-length"} & set(same.fields)
    assert web.ask("/all.atom", "HEAD", If_None_Match=etag).status == 304
    for condition in ('"x"', etag.strip('"'), "W/", '"', "", "é", f'"{etag}'):
        assert web.ask(If_None_Match=condition, If_Modified_Since=modified).status == 200, condition
    moment = seconds(modified.encode()) or 0
    soon = formatdate(time.time() - 1, usegmt=True) if moment < time.time() - 1 else modified
    obsolete = time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(moment))
    for since in (modified, soon, obsolete, time.asctime(time.gmtime(moment))):
        assert web.ask(If_Modified_Since=since).status == 304, since
    for since in ("Fri, 31 Dec 9999 23:59:59 GMT", "x", formatdate(moment - 1, usegmt=True), "99999999999999999999"):
        assert web.ask(If_Modified_Since=since).status == 200, since
    assert web.ask(If_Match='"x"').status == 412
    assert web.ask(If_Match=f"W/{etag}").status == 412
    assert web.ask(If_Match=etag).status == 200
    assert web.ask(If_Unmodified_Since=formatdate(moment - 1, usegmt=True)).status == 412
    assert web.ask(If_Unmodified_Since=modified).status == 200
    assert web.ask(Range="bytes=0-3").body == FEED


def test_repeated_fields_are_one_list(web: Web) -> None:
    etag = web.ask().fields["etag"]
    answer = parse(web.raw(
        f'GET /all.atom HTTP/1.1\r\nHost: a\r\nIf-None-Match: "x"\r\nIf-None-Match: {etag}\r\n\r\n'.encode()
    ))  # fmt: skip
    assert answer.status == 304


def test_each_encoding_is_an_answer_of_its_own(web: Web) -> None:
    tags = set()
    for accept, coding in (
        (None, None), ("gzip", "gzip"), ("br", "br"), ("gzip, br", "br"), ("gzip, br;q=0.5", "gzip"), ("*", "br"),
        ("identity", None), ("gzip;q=0", None), ("gzip;q=0, *", "br"), ("x-gzip", "gzip"), ("GZIP;Q=0.8", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"), ("identity, gzip;q=0.1", None), ("identity;q=0", None), ("", None),
        ("*;q=0", None), ("deflate, zstd", None), ("gzip;q=x, br;q=", None), (";;,,gzip", "gzip"), ("gzip;q=1.5", "gzip"),
    ):  # fmt: skip
        answer = web.ask(**({"Accept_Encoding": accept} if accept is not None else {}))
        assert (answer.status, answer.fields.get("content-encoding")) == (200, coding), accept
        decode = {"gzip": gzip.decompress, "br": brotli.decompress}.get(coding or "", bytes)
        assert decode(answer.body) == FEED
        assert answer.fields["vary"] == "Accept-Encoding"
        tags.add((coding, answer.fields["etag"]))
        assert web.ask(Accept_Encoding=accept or "identity", If_None_Match=answer.fields["etag"]).status == 304
    assert len(tags) == 3
    assert len({tag for _, tag in tags}) == 3
    assert len({web.ask(Accept_Encoding=a).fields["last-modified"] for a in ("gzip", "br", "identity")}) == 1
    small = web.ask("/category/emnews.html", Accept_Encoding="gzip")
    assert "content-encoding" not in small.fields


@given(st.text(st.characters(codec="latin-1"), max_size=60))
@example("gzip;q=0.5;q=0.1, br;q=nan")
def test_any_accept_encoding_gives_codings_we_have(accept: str) -> None:
    assert set(codings(accept.encode("latin-1"))) <= {"gzip", "br"}


GARBAGE = st.binary(max_size=80).map(lambda b: b.translate(None, b"\r\n\0").decode("latin-1"))


@given(st.sampled_from(["If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "Accept-Encoding"]), GARBAGE)  # fmt: skip
def test_garbage_in_a_field_is_never_an_error_of_ours(web: Web, name: str, value: str) -> None:
    assert web.ask(**{name: value}).status in (200, 304, 400, 412)


@given(st.binary(min_size=1, max_size=200))
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
@example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
def test_garbage_for_a_request_is_never_an_error_of_ours(web: Web, sent: bytes) -> None:
    answer = web.raw(sent)
    assert answer == b"" or parse(answer).status in (400, 404, 405, 505)


@pytest.mark.parametrize(
    "target",
    [
        "/nope.atom", "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/..%5csecret.txt", "/%252e%252e/secret.txt",
        "/category/../../secret.txt", "/category/%2e%2e/%2e%2e/secret.txt", "/./all.atom", "//all.atom", "//etc/passwd",
        "/..;/secret.txt", "/%c0%ae%c0%ae/secret.txt", "/%ef%bc%8e%ef%bc%8e/secret.txt", "/....//secret.txt", "/\\..\\secret.txt",
        "/link.html", "/linked/secret.txt", "/.hidden.txt", "/%2ehidden.txt", "/notes.md", "/all.atom.gz", "/all.atom%00.html",
        "/all.atom/", "/all.atom/x.html", "/category", "/category/", "/.all.atom.1.tmp", "/a%00b", "/%", "/%zz", "/%ff.html",
        "/ALL.ATOM", "/" + "a" * 5000, "/" + "a/" * 500 + "a.html", "/" + "a" * 300 + ".html", "/文章.html", "/<script>alert(1)</script>",
    ],
)  # fmt: skip
def test_nothing_else_can_be_read(web: Web, target: str) -> None:
    answer = web.ask(target)
    assert answer.status in (400, 404)
    assert b"secret" not in answer.body
    assert b"script" not in answer.body
    if answer.status == 404:
        assert answer.body == PUBLISHED["404.html"]
        assert answer.fields["content-type"] == "text/html; charset=utf-8"
        assert answer.fields["cache-control"] == "no-store"


def test_nul_and_overlong(web: Web) -> None:
    assert parse(web.raw(b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n")).status == 400
    assert web.ask("/" + "a" * MAX_TARGET_BYTES).status == 414
    assert web.ask(X="a" * MAX_HEAD_BYTES).status == 431
    assert web.ask(X="a" * (MAX_HEAD_BYTES - 100)).status == 200
    assert web.ask(**{f"X{n}": "" for n in range(MAX_FIELDS)}).status == 431
    # Without an end in sight: refused long before it is over.
    with web.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000)
        assert parse(read_all(client)).status == 431


def test_what_the_client_says_of_hosts_is_nowhere_in_the_answer(web: Web) -> None:
    plain = web.ask("/")
    for fields in ({"Host": "evil.example"}, {"Host": "[::1]:80"}, {"X_Forwarded_Host": "evil.example"},
                   {"Forwarded": "host=evil.example"}, {"X_Original_URL": "/secret"}):  # fmt: skip
        answer = web.ask("/", **fields)
        assert (answer.status, answer.body) == (200, plain.body)
        assert answer.fields | {"date": ""} == plain.fields | {"date": ""}
    assert web.ask("http://evil.example/index.html?x#y").body == plain.body
    assert web.ask("HTTP://evil.example").body == plain.body
    assert web.ask("/?utm_source=x&a=%00").body == plain.body
    for host in ('a"><x>', "a b", "a/b", "a@b", "a:b", "a\\b", "[zz]", "é"):
        assert web.ask("/", Host=host).status == 400, host
    assert web.ask("http://a b/").status == 400
    assert web.ask('http://a">/').status == 400
    assert web.ask("ftp://a/").status == 400
    assert web.ask("all.atom").status == 400
    assert parse(web.raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")).status == 400
    assert parse(web.raw(b"GET / HTTP/1.1\r\n\r\n")).status == 400
    assert parse(web.raw(b"GET / HTTP/1.0\r\n\r\n")).status == 200


def test_methods(web: Web) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "FOO", "get", "CONNECT", "PROPFIND", "M-SEARCH"):
        answer = web.ask("/all.atom", method)
        assert (answer.status, answer.fields.get("allow")) == (405, "GET, HEAD, OPTIONS"), method
        assert "只能读取".encode() in answer.body
    preflight = web.ask("/all.atom", "OPTIONS", Origin="https://reader.example", Access_Control_Request_Method="GET")
    assert preflight.status == 204
    assert preflight.fields["access-control-allow-origin"] == "*"
    assert "If-None-Match" in preflight.fields["access-control-allow-headers"]
    assert "access-control-allow-origin" not in web.ask("/", "OPTIONS").fields
    assert web.ask("*", "OPTIONS").status == 204


def test_moved_paths(web: Web) -> None:
    answer = web.ask("/category/old.atom?x=1")
    assert (answer.status, answer.fields["location"]) == (301, "/category/emnews.atom")
    assert web.ask("/category/old.atom", "HEAD").status == 301


def test_a_format_that_is_left_out_leads_to_the_atom_feed(tmp_path: Path) -> None:
    with serving(tmp_path, formats=("atom", "json")) as web:
        web.publish(**{"category/lone.atom": b"<feed/>"})
        answer = web.ask("/category/lone.rss?x=1")
        assert (answer.status, answer.fields["location"]) == (301, "lone.atom")
        assert answer.fields["access-control-allow-origin"] == "*"
        assert web.ask("/category/lone.json").status == 404  # it will be there again
        assert web.ask("/category/none.rss").status == 404
        assert web.ask("/category/lone.xml").status == 404
        assert "all.rss" not in web.ask("/").fields["link"]  # though it may not be removed yet
        (tmp_path / "category/loop.atom").symlink_to("loop.atom")
        assert web.ask("/category/loop.rss").status == web.ask("/category/loop.atom").status == 503


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: -1\r\n", b"Content-Length: 1\r\nContent-Length: 2\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", b"X: a\r\n b\r\n", b"X : a\r\n", b"\r\rX: a\r\n", b"X: a\0\r\n",
    ],
)  # fmt: skip
def test_smuggling_is_refused_and_the_connection_closed(web: Web, fields: bytes) -> None:
    second = b"GET /all.rss HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = web.raw(b"POST /all.atom HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n0\r\n\r\n" + second)
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b"<rss/>" not in answer
    if answer:
        assert parse(answer).status in (400, 405)


def test_content_in_a_request_is_not_read(web: Web) -> None:
    answer = web.raw(
        b"GET /all.rss HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\nGET /all.json HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert parse(answer).body == b"<rss/>"
    assert parse(answer).fields["connection"] == "close"
    large = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000)
    assert parse(web.raw(large)).status == 405


def test_one_connection_many_requests(web: Web) -> None:
    many = (
        b"GET /all.rss HTTP/1.1\r\nHost: a\r\n\r\n" * 20
        + b"GET /all.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    answer = web.raw(many)
    assert answer.count(b"HTTP/1.1 200 OK") == 21
    assert answer.endswith(b"{}")
    with web.connect() as client:
        for part in many[:-10]:
            client.send(bytes([part]))
        client.sendall(many[-10:])
        assert read_all(client).count(b"HTTP/1.1 200 OK") == 21
    # Far more than anybody sends at once: a bounded number is answered, in order, then the connection is closed.
    flood = web.raw(b"GET /all.atom HTTP/1.1\r\nHost: a\r\n\r\n" * 2000)
    assert 1 <= flood.count(b"HTTP/1.1 200 OK") < 100
    bad = web.raw(b"GET /all.rss HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
    assert bad.startswith(b"HTTP/1.1 200 OK")
    upgrade = parse(
        web.raw(b"GET /all.rss HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n")
    )
    assert (upgrade.status, upgrade.body) == (200, b"<rss/>")


def test_a_new_version_is_served_at_once_and_an_old_one_never_again(tmp_path: Path) -> None:
    with serving(tmp_path) as web:
        wrong: list[object] = []
        state = {"published": 0, "stop": 0}
        body = b"%06d " * 5000

        def version(answer: Answer) -> int:
            content = gzip.decompress(answer.body) if "content-encoding" in answer.fields else answer.body
            found = set(content.split())
            assert len(found) == 1, "a mixture"
            return int(found.pop())

        def read(accept: str) -> None:
            newest, tag = 0, ""
            while not state["stop"]:
                floor = state["published"]
                answer = web.ask("/all.atom", Accept_Encoding=accept, If_None_Match=tag)
                if answer.status == 200:
                    newest, tag = version(answer), answer.fields["etag"]
                if answer.status not in (200, 304) or newest < floor:
                    wrong.append((answer.status, newest, floor))

        def put(number: int) -> None:
            web.publish(**{"all.atom": body.replace(b"%06d", b"%06d" % number)})
            state["published"] = number

        put(1)
        readers = [threading.Thread(target=read, args=(accept,)) for accept in ("gzip", "identity")]
        for reader in readers:
            reader.start()
        for number in range(2, 60):
            put(number)
        state["stop"] = 1
        for reader in readers:
            reader.join()
        assert not wrong
        modified = []
        for number in range(60, 63):
            put(number)
            modified.append(seconds(web.ask().fields["last-modified"].encode()) or 0)
        assert modified == sorted(set(modified))


def test_a_copy_of_another_version_is_not_served(web: Web) -> None:
    web.publish(**{"category/emnews.atom": FEED})
    copy = web.root / "category/emnews.atom.gz"
    os.utime(copy, ns=(1, 1))
    answer = web.ask("/category/emnews.atom", Accept_Encoding="gzip")
    assert (answer.fields.get("content-encoding"), answer.body) == (None, FEED)


def test_a_tree_that_is_gone_is_no_404(tmp_path: Path) -> None:
    with serving(tmp_path / "public") as web:
        known = web.ask("/all.atom")
        os.rename(web.root, tmp_path / "aside")
        assert web.ask("/all.atom").body == known.body
        assert web.ask("/all.atom", If_None_Match=known.fields["etag"]).status == 304
        for path in ("/all.rss", "/nope.atom", "/"):
            answer = web.ask(path)
            assert (answer.status, answer.fields["retry-after"]) == (503, "5")
        web.root.mkdir()
        assert web.ask("/all.atom").body == known.body
        assert web.ask("/all.rss").status == 503
        web.root.rmdir()
        shutil.copytree(tmp_path / "aside", web.root)
        (web.root / "all.atom").write_bytes(b"<feed>other</feed>")
        assert web.ask("/all.atom").body == b"<feed>other</feed>"
        assert web.ask("/all.rss").status == 200
        assert web.ask("/nope.atom").status == 404
        shutil.rmtree(web.root)
        web.root.write_text("not a folder")
        assert web.ask("/all.rss").status in (200, 503)
        assert web.ask("/all.json").status == 503


def test_memory_is_bounded_whatever_the_tree(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number}.atom").write_bytes(bytes([number]) * 100_000)
    (tmp_path / "all.atom").write_bytes(b"")
    files = Files(str(tmp_path), 1_000_000)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for number in range(60):
            found = files.find(f"{number}.atom", ("gzip",))
            assert found
            body = found.whole.body
            assert isinstance(body, File)
            assert os.pread(body.descriptor, 100_000, 0) == bytes([number]) * 100_000
            del body, found
            assert files.held_bytes <= 1_000_000
            assert len(os.listdir("/proc/self/fd")) <= before + 1_000_000 // 64_000
    for number in range(1000):
        (tmp_path / f"{number}.html").write_bytes(b"%d" % number * 2000)
        assert files.find(f"{number}.html", ())
        assert files.held_bytes <= 1_000_000
    for number in range(5000):
        assert files.find(f"none{number}.atom", ()) is None
    assert files.held_bytes <= 1_000_000
    (tmp_path / "all.atom").unlink()
    with pytest.raises(Gone):
        files.find("none.atom", ())


def test_a_large_file_comes_whole_from_the_disk(tmp_path: Path) -> None:
    with serving(tmp_path) as web:
        web.publish(**{"large.png": LARGE, "all.atom": FEED})
        answer = web.ask("/large.png")
        assert answer.body == LARGE
        assert web.ask("/large.png", If_None_Match=answer.fields["etag"]).status == 304
        assert web.ask("/large.png", "HEAD").fields["content-length"] == str(len(LARGE))
        web.publish(**{"large.txt": LARGE[:2_000_000]})
        assert web.ask("/large.txt").body == LARGE[:2_000_000]
        assert gzip.decompress(web.ask("/large.txt", Accept_Encoding="gzip").body) == LARGE[:2_000_000]
        # Replaced while it is sent: whoever began with the old one gets it whole.
        open_before = web.files_open()
        with web.connect() as client:
            client.sendall(b"GET /large.png HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            start = client.recv(1000)
            web.publish(**{"large.png": LARGE[::-1]})
            assert (start + read_all(client)).endswith(LARGE)
        assert web.ask("/large.png").body == LARGE[::-1]
        until(lambda: web.files_open() <= open_before)


def test_slow_clients_are_given_up_and_harm_nobody(tmp_path: Path) -> None:
    with serving(tmp_path, header_timeout_s=0.6, idle_timeout_s=0.6, write_timeout_s=0.6, max_connections=300) as web:
        web.publish(**{"large.png": LARGE})
        for path in ("/large.png", "/all.atom"):
            web.ask(path, "HEAD")  # from now on it is open
        before = web.files_open()
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(web.connect()) for _ in range(50)]
            dripping = [stack.enter_context(web.connect()) for _ in range(50)]
            idle = [stack.enter_context(web.connect()) for _ in range(50)]
            slow = [stack.enter_context(web.connect()) for _ in range(20)]
            for client in dripping:
                client.sendall(b"GET / HTTP/1.1\r\nX: ")
            for client in idle:
                client.sendall(b"GET /all.rss HTTP/1.1\r\nHost: a\r\n\r\n")
            for client in slow:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.sendall(b"GET /large.png HTTP/1.1\r\nHost: a\r\n\r\n" * 30)
            started = time.monotonic()
            assert web.ask("/all.atom").status == 200
            assert time.monotonic() - started < 1
            for _ in range(4):
                time.sleep(0.2)  # a byte now and then does not buy more time
                for client in dripping:
                    with contextlib.suppress(OSError):
                        client.send(b"T")
            assert all(read_all(client) == b"" for client in silent)
            assert all(parse(answer).status == 408 for client in dripping if (answer := read_all(client)))
            assert all(parse(read_all(client)).body == b"<rss/>" for client in idle)
            until(lambda: web.files_open() <= before + 20)
        until(lambda: web.files_open() <= before)


def test_a_slow_reader_is_given_up(tmp_path: Path) -> None:
    with serving(tmp_path, write_timeout_s=0.3) as web:
        web.publish(**{"huge.png": LARGE})
        web.ask("/huge.png", "HEAD")
        before, memory = web.files_open(), web.memory_bytes()
        clients = [web.connect() for _ in range(30)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /huge.png HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        until(lambda: web.files_open() >= before + 30)
        assert web.ask("/all.rss").status == 200
        assert web.memory_bytes() - memory < 30 * 100_000
        for client in clients:
            client.close()
        until(lambda: web.files_open() <= before)


def test_the_idle_make_room_for_the_new(tmp_path: Path) -> None:
    with serving(tmp_path, max_connections=40) as web, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(web.connect()) for _ in range(40)]
        for client in (clients[39], clients[0]):  # the server knows all of them by the time it answers the last
            client.sendall(b"GET /all.rss HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"<rss/>" in client.recv(4096)
        for client in clients[1:20]:
            client.sendall(b"GET / ")
        for _ in range(200):
            assert web.ask("/all.rss").status == 200
        assert web.files_open() < 80
        until(lambda: clients[1].recv(100) == b"")


def test_when_all_are_being_answered_one_more_is_told_503(tmp_path: Path) -> None:
    with serving(tmp_path, max_connections=3) as web, contextlib.ExitStack() as stack:
        web.publish(**{"huge.png": LARGE})
        busy = []
        for _ in range(3):
            client = stack.enter_context(web.connect())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /huge.png HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(4) == b"HTTP"
            busy.append(client)
        answer = web.ask("/all.rss")
        assert (answer.status, answer.fields["retry-after"]) == (503, "5")
        busy[0].close()
        until(lambda: web.ask("/all.rss").status == 200)


def test_clients_that_vanish_leave_nothing_behind(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path) as web:
        web.publish(**{"large.png": LARGE})
        for path in ("/large.png", "/all.atom"):
            web.ask(path, "HEAD")  # from now on it is open
        before = web.files_open()
        for number in range(100):
            client = web.connect()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"GET /large.png HTTP/1.1\r\nHost: a\r\n\r\n" * (1 + number % 3))
            if number % 2:
                client.recv(100)
            client.close()
        until(lambda: web.files_open() <= before)
        assert web.ask().status == 200
    assert capfd.readouterr().err == ""


def test_many_idle_connections_cost_little(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(1500, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    try:
        with serving(tmp_path) as web, contextlib.ExitStack() as stack:
            assert web.ask().status == 200
            before = web.memory_bytes()
            for _ in range(count):
                client = stack.enter_context(web.connect())
                client.sendall(b"GET /all.rss HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: web.files_open() > count)
            assert web.ask().status == 200
            # 10,000 of them within 100 MiB.
            assert (web.memory_bytes() - before) / count < 10_000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_that_dies_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path) as web:
        first = web.server.pid
        assert first
        os.kill(first, signal.SIGKILL)
        assert web.ask().status == 200  # waits in the socket's queue meanwhile
        until(lambda: web.server.pid != first)  # it serves before we hear that it does
        web.server.check()
        for _ in range(4):
            old = web.server.pid
            assert old
            os.kill(old, signal.SIGKILL)
            until(lambda old=old: web.server.pid != old or web.server._failed)  # type: ignore[misc]
        until(lambda: web.server._failed)
        with pytest.raises(ServerError, match="keeps dying"):
            web.server.check()


def test_other_options_take_over_without_a_lost_request(tmp_path: Path) -> None:
    with serving(tmp_path) as web:
        first = web.server.pid
        failed: list[object] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                try:
                    if web.ask("/all.rss", Connection="close").status != 200:
                        failed.append("status")
                except (OSError, AssertionError, TypeError) as error:
                    failed.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        web.server.adopt(web.options)
        assert web.server.pid == first
        web.server.adopt(Options(str(tmp_path), redirects={"/old.rss": "/all.rss"}))
        assert web.server.pid != first
        stop.set()
        asking.join()
        assert not failed
        assert web.ask("/old.rss").status == 301


def test_a_response_under_way_is_finished_when_it_stops(tmp_path: Path) -> None:
    with serving(tmp_path) as web:
        web.publish(**{"large.png": LARGE})
        with web.connect() as client, web.connect() as idle:
            client.sendall(b"GET /large.png HTTP/1.1\r\nHost: a\r\n\r\n")
            start = client.recv(100)
            stopping = threading.Thread(target=web.server.__exit__)
            stopping.start()
            assert read_all(idle) == b""
            assert parse(start + read_all(client)).body == LARGE
            stopping.join()
