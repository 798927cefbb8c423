"""The HTTP client against servers that misbehave, each in its own way."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import logging
import re
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsync.sources import FetchPolicy
from feedsync.sources.address import checked, shown
from feedsync.sources.client import Client, Host
from feedsync.sources.exchange import Answer, Ask
from feedsync.sources.fault import FetchFault
from feedsync.sources.freshness import MOST, back_off, freshness, retry_after
from feedsync.sources.guard import is_public
from feedsync.sources.inflate import Inflater
from feedsync.values import replace
from tests.upstream import Reply, Route, Upstream, as_html, raw, reset_after, validated

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
POLICY = FetchPolicy(
    allow_private=True,
    robots=False,
    connect_timeout_s=2,
    read_timeout_s=1,
    total_timeout_s=2,
    max_body_bytes=100_000,
    contact="mailto:operator@example.org",
)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


def fetch(
    *urls: str | Ask, policy: FetchPolicy = POLICY, hosts: dict[str, Host] | None = None
) -> tuple[dict[str, Answer], Client]:
    asks = [url if isinstance(url, Ask) else Ask(url, url) for url in urls]
    with Client("source", policy, hosts or {}, lambda: NOW) as client:
        answers = {answer.ask.name: answer for answer in client.answers(asks) if answer is not None}
    return answers, client


def one(upstream: Upstream, route: Route, policy: FetchPolicy = POLICY) -> Answer:
    upstream.routes["/page"] = route
    answers, _ = fetch(upstream.url + "/page", policy=policy)
    (answer,) = answers.values()
    return answer


def fault_of(answer: Answer) -> FetchFault:
    assert answer.fault is not None, answer
    return answer.fault


def test_a_body_comes_with_its_type_and_validators(upstream: Upstream) -> None:
    answer = one(upstream, as_html("<p>正文</p>", ETag='"1"', **{"Last-Modified": "Sun, 01 Mar 2026 07:00:00 GMT"}))
    assert answer.content == "<p>正文</p>".encode()
    assert (answer.media_type, answer.etag) == ("text/html; charset=utf-8", '"1"')
    assert answer.last_modified == "Sun, 01 Mar 2026 07:00:00 GMT"
    assert answer.fault is None


def test_each_request_is_logged_with_its_own_bytes(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    sizes = {f"/{number}": 1000 * number + 7 for number in range(1, 9)}
    for path, size in sizes.items():
        upstream.routes[path] = as_html("x" * size)
    with caplog.at_level(logging.INFO, "feedsync.fetch"):
        _, client = fetch(*(upstream.url + path for path in sizes), policy=replace(POLICY, per_host_concurrency=8))
    logged = [record.fields for record in caplog.records if record.message == "request"]  # type: ignore[attr-defined]
    assert {event["url"].removeprefix(upstream.url): event["bytes"] for event in logged} == sizes
    assert client.spent.bytes == sum(sizes.values())


def test_it_says_honestly_who_it_is(upstream: Upstream) -> None:
    one(upstream, as_html("x"))
    headers = upstream.asked[0].headers
    assert headers["User-Agent"].startswith("feedsync/")
    assert headers["User-Agent"].endswith("(+mailto:operator@example.org)")


def test_what_is_known_is_asked_conditionally(upstream: Upstream) -> None:
    upstream.routes["/page"] = validated(as_html("x"), '"1"')
    url = upstream.url + "/page"
    answers, _ = fetch(Ask(url, url, etag='"1"', last_modified="Sun, 01 Mar 2026 07:00:00 GMT"))
    assert answers[url].unchanged
    assert answers[url].etag == '"1"'
    assert upstream.asked[0].headers["If-Modified-Since"] == "Sun, 01 Mar 2026 07:00:00 GMT"


MISBEHAVIOUR: dict[str, tuple[Callable[[Upstream], Route], str]] = {
    "silence": (lambda u: u.hang(), "timeout"),
    "silence after the status line": (lambda u: u.hang(b"HTTP/1.1 200 OK\r\n"), "timeout"),
    "silence in the body": (lambda u: u.hang(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "timeout"),
    "an endless slow body": (lambda u: u.drip(b"x"), "timeout"),
    "an endless fast body": (lambda u: u.drip(b"x" * 20_000, 0.001), "too-large"),
    "a huge length": (lambda _: raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc"), "http"),
    "a body cut short": (lambda _: raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "http"),
    "a reset in the body": (lambda _: reset_after(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "http"),
    "a reset before anything": (lambda _: reset_after(b""), "http"),
    "no HTTP": (lambda _: raw(b"220 smtp.example.org ESMTP\r\n"), "http"),
    "broken chunks": (lambda _: raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"), "http"),
    "endless headers": (lambda _: raw(b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"a" * 9000 + b"\r\n"] * 40), "http"),
    "a truncated gzip": (
        lambda _: Reply(gzip.compress(b"x" * 5000)[:-12], 200, {"Content-Encoding": "gzip"}),
        "encoding",
    ),
    "a gzip that is none": (lambda _: Reply(b"plain text", 200, {"Content-Encoding": "gzip"}), "encoding"),
    "brotli": (lambda _: Reply(b"\x0b\x02\x80x\x03", 200, {"Content-Encoding": "br"}), "encoding"),
    "zstd": (lambda _: Reply(b"\x28\xb5\x2f\xfd", 200, {"Content-Encoding": "zstd"}), "encoding"),
    "stacked encodings": (
        lambda _: Reply(gzip.compress(gzip.compress(b"x")), 200, {"Content-Encoding": "gzip, gzip"}),
        "encoding",
    ),
    "a gzip bomb": (lambda _: Reply(gzip.compress(bytes(50_000_000)), 200, {"Content-Encoding": "gzip"}), "too-large"),
    "no content": (lambda _: Reply(status=204), "status"),
    "not modified, unasked": (lambda _: Reply(status=304), "status"),
    "unauthorized": (lambda _: Reply(b"login", 401), "status"),
    "forbidden": (lambda _: Reply(b"no", 403), "status"),
    "not found": (lambda _: Reply(b"no", 404), "status"),
    "gone": (lambda _: Reply(b"no", 410), "status"),
    "too many requests": (lambda _: Reply(b"no", 429), "status"),
    "a server error": (lambda _: Reply(b"no", 500), "status"),
    "a status nobody knows": (lambda _: Reply(b"no", 599), "status"),
    "a redirect to nowhere": (lambda _: Reply(b"", 302, {"Location": "http://[::bad"}), "redirect"),
    "a redirect to a file": (lambda _: Reply(b"", 302, {"Location": "file:///etc/hostname"}), "url"),
    "a redirect to itself": (lambda _: Reply(b"", 302, {"Location": "/page"}), "redirect"),
    "a redirect without a place": (lambda _: Reply(b"", 302), "status"),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_misbehaviour_is_a_fault_and_never_a_body(upstream: Upstream, name: str) -> None:
    route, code = MISBEHAVIOUR[name]
    started = time.monotonic()
    answer = one(upstream, route(upstream))
    assert fault_of(answer).code == code, fault_of(answer)
    assert answer.content == b""
    assert time.monotonic() - started < POLICY.total_timeout_s + 3


def test_a_fault_harms_no_other_url(upstream: Upstream) -> None:
    for number, (route, _) in enumerate(MISBEHAVIOUR.values()):
        upstream.routes[f"/{number}"] = route(upstream)
    upstream.routes["/good"] = as_html("good")
    urls = [f"{upstream.url}/{number}" for number in range(len(MISBEHAVIOUR))]
    good = [f"{upstream.url}/good"]
    answers, _ = fetch(*urls[:6], *good, *urls[6:], policy=FetchPolicy(
        allow_private=True, robots=False, per_host_concurrency=16, read_timeout_s=2, total_timeout_s=4, max_body_bytes=100_000,
    ))  # fmt: skip
    assert answers[good[0]].content == b"good"
    assert sum(answer.fault is not None or answer.deferred is not None for answer in answers.values()) == len(urls)


def test_a_kept_connection_that_the_server_had_closed_is_no_fault(upstream: Upstream) -> None:
    served: set[int] = set()

    def once(handler: Any) -> None:
        if handler.client_address[1] in served:
            handler.close_connection = True  # as if its patience had ended just when we asked
            return
        served.add(handler.client_address[1])
        as_html("x").send(handler)

    upstream.routes["*"] = once
    answers, client = fetch(*(f"{upstream.url}/{number}" for number in range(4)), policy=POLICY)
    assert [answer.content for answer in answers.values()] == [b"x"] * 4
    assert client.spent.requests == len(upstream.asked)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="acknowledges when it likes")
def test_a_server_that_writes_head_and_body_apart_waits_for_no_acknowledgment(upstream: Upstream) -> None:
    upstream.routes["*"] = as_html("x")  # its second write waits until the first is acknowledged
    policy = replace(POLICY, per_host_concurrency=1)
    times: list[float] = []
    with Client("source", policy, {}, lambda: NOW) as client:
        for answer in client.answers([Ask(str(number), f"{upstream.url}/{number}") for number in range(20)]):
            assert answer is None or answer.content == b"x"
            times.append(time.monotonic())
    assert min(later - earlier for earlier, later in itertools.pairwise(times[10:])) < 0.03


def test_a_bomb_does_not_fill_the_memory(upstream: Upstream) -> None:
    inflater = Inflater("gzip", 1_000_000)
    bomb = gzip.compress(bytes(100_000_000))
    with pytest.raises(FetchFault, match="more than 1000000 bytes"):
        inflater.feed(bomb)
    assert inflater.size <= 1_000_000 + 65_536


@given(
    st.binary(max_size=200_000),
    st.lists(st.integers(1, 5000), min_size=1),
    st.sampled_from(["gzip", "deflate", "raw", ""]),
)
def test_what_was_packed_is_unpacked(body: bytes, cuts: list[int], coding: str) -> None:
    match coding:
        case "gzip":
            packed, name = gzip.compress(body[: len(body) // 2]) + gzip.compress(body[len(body) // 2 :]), "gzip"
        case "deflate":
            packed, name = zlib.compress(body), "deflate"
        case "raw":
            packer = zlib.compressobj(wbits=-15)
            packed, name = packer.compress(body) + packer.flush(), "deflate"
        case _:
            packed, name = body, "identity"
    inflater = Inflater(name, 1_000_000)
    at = 0
    for cut in cuts:
        inflater.feed(packed[at : at + cut])
        at += cut
    inflater.feed(packed[at:])
    assert inflater.finish() == body


@pytest.mark.parametrize(
    "address",
    """127.0.0.1 127.255.1.1 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.100.100.200 0.0.0.0 224.0.0.1
    255.255.255.255 192.0.2.1 198.18.0.1 ::1 :: ::ffff:127.0.0.1 ::ffff:10.1.1.1 64:ff9b::7f00:1 64:ff9b::a00:1
    2002:7f00:1:: 2002:a00:1::1 fd00::1 fe80::1 fe80::1%eth0 ff02::1 fec0::1 ::127.0.0.1 64:ff9b:1::1
    2001:0:4136:e378:8000:63bf:f5ff:fffe""".split(),
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", "8.8.8.8 183.136.162.242 2400:3200::1 ::ffff:8.8.8.8 64:ff9b::808:808".split())
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    "127.0.0.1 localhost 127.1 2130706433 0x7f.1 0 [::1] [::ffff:127.0.0.1] 169.254.169.254 127。0。0。1 user:pw@127.0.0.1".split(),
)
def test_private_targets_are_refused_before_connecting(upstream: Upstream, host: str) -> None:
    upstream.routes["*"] = as_html("secret")
    answers, _ = fetch(f"http://{host}:{upstream.port}/", policy=FetchPolicy(robots=False, connect_timeout_s=5))
    (answer,) = answers.values()
    assert fault_of(answer).code in ("address", "dns"), fault_of(answer)
    assert upstream.asked == []
    assert "pw" not in str(fault_of(answer))


def test_a_redirect_into_the_private_network_is_refused(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream.routes["/page"] = Reply(b"", 302, {"Location": f"http://127.0.0.2:{upstream.port}/secret"})
    upstream.routes["/secret"] = as_html("secret")
    # 127.0.0.1 is taken for public here, as a public server that redirects to a private one.
    monkeypatch.setattr("feedsync.sources.guard.is_public", lambda address: address == "127.0.0.1")
    answers, _ = fetch(upstream.url + "/page", policy=FetchPolicy(robots=False))
    assert fault_of(next(iter(answers.values()))).code == "address"
    assert upstream.paths() == ["/page"]


def test_a_name_is_resolved_once_and_connected_to_what_was_checked(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, port: int, *args: object, **named: object) -> object:
        asked.append(host)
        return real("8.8.8.8" if len(asked) == 1 else "127.0.0.1", port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    policy = FetchPolicy(robots=False, connect_timeout_s=0.3, total_timeout_s=0.5)
    answers, _ = fetch(f"http://rebind.example:{upstream.port}/", policy=policy)
    assert fault_of(next(iter(answers.values()))).code in ("timeout", "connect")
    assert asked == ["rebind.example"]
    assert upstream.asked == []


def test_a_proxy_of_the_environment_is_not_used(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", upstream.url)
    monkeypatch.setenv("http_proxy", upstream.url)
    answers, _ = fetch("http://127.0.0.1:9/", policy=POLICY)
    assert fault_of(answers["http://127.0.0.1:9/"]).code == "connect"
    assert upstream.asked == []


def test_nothing_listens_and_no_such_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answers, client = fetch(f"http://127.0.0.1:{port}/", "http://no-such-host.invalid/")
    assert fault_of(answers[f"http://127.0.0.1:{port}/"]).code == "connect"
    assert fault_of(answers["http://no-such-host.invalid/"]).code == "dns"
    due = client.hosts[f"http://127.0.0.1:{port}"].due
    assert due is not None
    assert due > NOW


def test_a_host_that_is_down_is_asked_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    urls = [f"http://127.0.0.1:{port}/{number}" for number in range(20)]
    answers, client = fetch(*urls, policy=FetchPolicy(allow_private=True, robots=False, per_host_concurrency=1))
    assert [answer.fault is not None for answer in answers.values()] == [True] + [False] * 19
    assert all(answer.deferred for answer in list(answers.values())[1:])
    forced, _ = fetch(Ask("x", urls[0], forced=True), hosts=dict(client.hosts))
    assert fault_of(forced["x"]).code == "connect"


def test_one_that_says_slow_down_twice_is_left_alone_for_so_long(upstream: Upstream) -> None:
    upstream.routes["*"] = Reply(b"", 429, {"Retry-After": "7200"})
    urls = [f"{upstream.url}/{number}" for number in range(10)]
    answers, client = fetch(*urls, policy=FetchPolicy(allow_private=True, robots=False, per_host_concurrency=1))
    assert len(upstream.asked) == 2
    assert sum(answer.deferred == NOW + timedelta(hours=2) for answer in answers.values()) == 8
    assert fault_of(answers[urls[0]]).retry_after == timedelta(hours=2)
    assert client.hosts[upstream.url].due == NOW + timedelta(hours=2)


def test_passwords_are_used_and_never_shown(upstream: Upstream) -> None:
    upstream.routes["/page"] = as_html("x")
    url = f"http://user:geheim@127.0.0.1:{upstream.port}/page"
    answers, _ = fetch(url)
    assert answers[url].content == b"x"
    assert answers[url].url == f"http://127.0.0.1:{upstream.port}/page"
    assert upstream.asked[0].headers["Authorization"].startswith("Basic ")
    assert shown("http://user:geheim@bad:port/") == "…@bad:port/"


@pytest.mark.parametrize("name", ["token", "access_token", "key", "apikey", "X-Api-Key", "app_secret", "sign", "auth"])
def test_tokens_are_used_and_never_shown(upstream: Upstream, name: str) -> None:
    path = f"/page?id=7&{name}=geh.eim%2F1&n=2"
    upstream.routes[path] = as_html("x")
    answers, _ = fetch(upstream.url + path)
    (answer,) = answers.values()
    assert answer.content == b"x"
    assert re.fullmatch(re.escape(f"{upstream.url}/page?id=7&{name}=") + "hidden-[0-9a-f]{6}&n=2", answer.url)
    other = shown(upstream.url + path.replace("geh", "Geh"))
    assert other != answer.url
    assert shown(other) != upstream.url + path
    assert "geh" not in shown(f"http://bad:port/?{name}=geheim")


@pytest.mark.parametrize(
    "query", ["id=NW202503142600000001", "key=1234567", "keyword=股票", "author=a", "a&b=#key=x", ""]
)
def test_what_is_no_secret_is_shown(query: str) -> None:
    url = str(checked(f"http://example.org/a?{query}"))
    assert shown(url) == url


def test_set_headers_stay_with_their_host(upstream: Upstream) -> None:
    with Upstream() as other:
        upstream.routes["/page"] = Reply(b"", 302, {"Location": other.url + "/there"})
        other.routes["/there"] = as_html("x")
        answer = one(upstream, upstream.routes["/page"], FetchPolicy(
            allow_private=True, robots=False, headers=(("Authorization", "Bearer token"),)))  # fmt: skip
        assert answer.content == b"x"
        assert upstream.asked[0].headers["Authorization"] == "Bearer token"
        assert "Authorization" not in other.asked[0].headers


def test_robots_are_asked_once_and_obeyed(upstream: Upstream) -> None:
    upstream.routes["/robots.txt"] = Reply(b"User-agent: feedsync\nDisallow: /private\n")
    upstream.routes["*"] = as_html("x")
    policy = FetchPolicy(allow_private=True)
    answers, client = fetch(*(f"{upstream.url}/{p}" for p in ("a", "b", "private/c")), policy=policy)
    assert [a.fault.code if a.fault else "" for a in sorted(answers.values(), key=lambda a: a.ask.url)] == [
        "",
        "",
        "robots",
    ]
    assert sorted(asked.path for asked in upstream.asked) == ["/a", "/b", "/robots.txt"]
    again, _ = fetch(upstream.url + "/a", policy=policy, hosts=dict(client.hosts))
    assert again[upstream.url + "/a"].content == b"x"
    assert [asked.path for asked in upstream.asked].count("/robots.txt") == 1


@pytest.mark.parametrize(("status", "allowed"), [(404, True), (403, True), (500, False), (503, False), (429, False)])
def test_a_host_without_rules_allows_and_a_broken_one_does_not(upstream: Upstream, status: int, allowed: bool) -> None:
    upstream.routes["/robots.txt"] = Reply(b"?", status)
    answer = one(upstream, as_html("x"), FetchPolicy(allow_private=True))
    assert (answer.fault is None) is allowed
    assert allowed or fault_of(answer).code == "robots"


def test_no_more_at_once_than_agreed(upstream: Upstream) -> None:
    now, most = 0, 0
    lock, all_here = threading.Lock(), threading.Barrier(3)

    def count(handler: object) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        all_here.wait(5)  # three speak at once, or this breaks
        with lock:
            now -= 1
        as_html("x").send(handler)  # type: ignore[arg-type]

    upstream.routes["*"] = count
    urls = [f"{upstream.url}/{number}" for number in range(9)]
    answers, _ = fetch(*urls, policy=FetchPolicy(allow_private=True, robots=False, per_host_concurrency=3))
    assert [answer.content for answer in answers.values()] == [b"x"] * 9
    assert most == 3


def test_sources_share_the_places_of_a_host(upstream: Upstream) -> None:
    now, most = 0, 0
    lock, all_here = threading.Lock(), threading.Barrier(2)

    def count(handler: object) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        all_here.wait(5)  # two speak at once, or this breaks
        time.sleep(0.03)  # for a third to come, if one does
        with lock:
            now -= 1
        as_html("x").send(handler)  # type: ignore[arg-type]

    upstream.routes["*"] = count
    policy = FetchPolicy(allow_private=True, robots=False, per_host_concurrency=2)

    def source(name: str) -> list[bytes]:
        answers, _ = fetch(*(f"{upstream.url}/{name}/{number}" for number in range(6)), policy=policy)
        return [answer.content for answer in answers.values()]

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(source, "abc")) == [[b"x"] * 6] * 3
    assert most == 2


def test_one_that_gives_up_its_wait_takes_no_place(upstream: Upstream) -> None:
    policy = FetchPolicy(allow_private=True, robots=False, per_host_concurrency=1)
    arrived = threading.Event()

    def hang(handler: Any) -> None:
        arrived.set()
        upstream.hang()(handler)

    upstream.routes["/slow"] = hang
    upstream.routes["/quick"] = as_html("x")
    with Client("holds", policy, {}, lambda: NOW) as holds:
        assert next(holds.answers([Ask("slow", upstream.url + "/slow")], 0.01)) is None
        assert arrived.wait(5)
        for _ in range(2):
            with Client("waits", policy, {}, lambda: NOW) as waits:
                assert next(waits.answers([Ask("quick", upstream.url + "/quick")], 0.05)) is None
        assert "/quick" not in upstream.paths()
    answers, _ = fetch(upstream.url + "/quick", policy=policy)
    assert [answer.content for answer in answers.values()] == [b"x"]


def test_sources_share_the_pace_of_a_host(upstream: Upstream) -> None:
    times: list[float] = []

    def note(handler: object) -> None:
        times.append(time.monotonic())
        as_html("x").send(handler)  # type: ignore[arg-type]

    upstream.routes["*"] = note
    policy = FetchPolicy(allow_private=True, robots=False, per_host_concurrency=4, min_delay_ms=300)
    for number in range(2):  # one after the other, each by a client of its own
        fetch(f"{upstream.url}/{number}", policy=policy)
    assert times[1] - times[0] >= 0.15


def test_requests_keep_their_distance(upstream: Upstream) -> None:
    times: list[float] = []

    def note(handler: object) -> None:
        times.append(time.monotonic())
        as_html("x").send(handler)  # type: ignore[arg-type]

    upstream.routes["*"] = note
    fetch(*(f"{upstream.url}/{number}" for number in range(4)), policy=FetchPolicy(
        allow_private=True, robots=False, per_host_concurrency=4, min_delay_ms=80))  # fmt: skip
    assert all(later - earlier >= 0.06 for earlier, later in itertools.pairwise(times))


def test_giving_up_ends_what_is_under_way(upstream: Upstream) -> None:
    upstream.routes["*"] = upstream.hang()
    started = time.monotonic()
    with Client("source", FetchPolicy(allow_private=True, robots=False), {}, lambda: NOW) as client:
        answers = client.answers([Ask("a", upstream.url + "/a")], wait_s=0.01)
        assert next(answers) is None
    assert time.monotonic() - started < 5


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", str(path), "-out", str(path) + ".crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + Path(str(path) + ".crt").read_text())
    return path


def test_a_certificate_nobody_vouches_for_is_refused(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            with contextlib.suppress(OSError):  # the client hangs up on us
                context.wrap_socket(listener.accept()[0], server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        answers, _ = fetch(f"https://127.0.0.1:{port}/")
        thread.join()
    assert fault_of(answers[f"https://127.0.0.1:{port}/"]).code == "tls"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 0),
        ({"cache-control": "max-age=60"}, 60),
        ({"cache-control": "public, MAX-AGE=60", "age": "20"}, 40),
        ({"cache-control": "max-age=60, no-cache"}, 0),
        ({"cache-control": "no-store"}, 0),
        ({"cache-control": "max-age=99999999999999"}, 86400),
        ({"cache-control": "max-age=-5"}, 0),
        ({"expires": "Sun, 01 Mar 2026 09:00:00 GMT"}, 3600),
        ({"expires": "Sun, 01 Mar 2026 09:00:00 GMT", "cache-control": "max-age=5"}, 5),
        ({"expires": "0"}, 0),
        ({"expires": "Sun, 01 Mar 2020 09:00:00 GMT"}, 0),
    ],
)
def test_how_long_an_answer_is_good(headers: dict[str, str], expected: int) -> None:
    assert freshness(headers, NOW) == timedelta(seconds=expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", timedelta(seconds=120)),
        ("315360000", MOST),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("Sun, 01 Mar 2026 08:05:00 GMT", timedelta(minutes=5)),
        ("Sun, 01 Mar 2015 08:05:00 GMT", None),
        ("Sun, 01 Mar 2036 08:05:00 GMT", MOST),
    ],
)
def test_when_to_come_back(value: str, expected: timedelta | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == expected


@given(st.dictionaries(st.sampled_from(["cache-control", "expires", "age", "date", "retry-after"]), st.text()))
def test_whatever_a_server_says_is_bounded(headers: dict[str, str]) -> None:
    assert timedelta() <= freshness(headers, NOW) <= MOST
    wait = retry_after(headers, NOW)
    assert wait is None or timedelta() <= wait <= MOST


@given(st.integers(1, 100), st.integers(0, 2**32))
def test_back_off_grows_and_ends(failures: int, spread: int) -> None:
    pause = back_off(failures, spread)
    assert timedelta(minutes=1) <= pause <= timedelta(hours=15)
    assert back_off(failures + 1, spread) >= pause


@given(st.text())
def test_any_url_is_checked_or_refused(text: str) -> None:
    try:
        parsed = checked(text)
    except FetchFault as fault:
        assert fault.code == "url"
    else:
        assert parsed.scheme in ("http", "https")
        assert parsed.host
    shown(text)
