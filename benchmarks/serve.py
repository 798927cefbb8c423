"""Our server beside nginx on the same files in the same run; and while a burst of articles is published.

    python benchmarks/serve.py [--rounds 5] [--seconds 10] [--connections 64]

Rounds alternate between them, so that all meet the same noise; the figure is the median of the ratios of neighbours.
Seconds of processor time a request are given too: they say the same on a machine that does other things.
Needs nginx and wrk (Debian: apt install nginx wrk).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from corpus import post, write_corpus
from ingest import configure

from feedsync.outputs import Tree
from feedsync.server import HttpServer, listen
from feedsync.web import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

FEED_BYTES = 300_000
NGINX = """
worker_processes {workers}; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 12000; }}
worker_rlimit_nofile 15000;
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; gzip_static on;
  types {{ "application/atom+xml; charset=utf-8" atom; }}
  add_header Cache-Control "public, max-age=60";
  add_header Vary Accept-Encoding;
  add_header Content-Security-Policy "default-src 'none'; frame-ancestors 'none'; sandbox";
  add_header X-Content-Type-Options nosniff;
  add_header X-Frame-Options DENY;
  add_header Referrer-Policy no-referrer;
  add_header Access-Control-Allow-Origin "*";
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@dataclass
class Rival:
    """A server under load: its processes, and what was measured of it."""

    name: str
    port: int
    pids: list[int]
    per_second: dict[str, list[float]] = field(default_factory=dict)
    p99_ms: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)

    def cpu_s(self) -> float:
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def load(self, kind: str, seconds: float, connections: int) -> None:
        """One run of wrk; errors end the benchmark."""
        url = f"http://127.0.0.1:{self.port}/all.atom"
        fields = {"304": ("If-None-Match", etag(url)), "gzip": ("Accept-Encoding", "gzip"), "identity": ("X", "y")}
        name, value = fields[kind]
        before = self.cpu_s()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-H", f"{name}: {value}", url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if "Socket errors" in told or ("Non-2xx" in told and kind != "304"):
            sys.exit(f"{self.name}: {told}")
        count = int(found(r"(\d+) requests in", told))
        self.per_second.setdefault(kind, []).append(float(found(r"Requests/sec:\s+([\d.]+)", told)))
        self.p99_ms.setdefault(kind, []).append(milliseconds(found(r"99%\s+(\S+)", told)))
        self.cpu_us.setdefault(kind, []).append((self.cpu_s() - before) / count * 1e6)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if not match:
        sys.exit(f"wrk said: {text}")
    return match.group(1)


def milliseconds(text: str) -> float:
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    value, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(value) * units[unit]


def etag(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return str(answer.headers["ETag"])


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def nginx(folder: Path, root: Path, workers: int) -> Iterator[Rival]:
    port = free_port()
    folder.mkdir()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, root=root, port=port, workers=workers))
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    process = subprocess.Popen(command)
    try:
        wait_for(f"http://127.0.0.1:{port}/all.atom", "")
        yield Rival(f"nginx, {workers} worker{'s' if workers > 1 else ''}", port, children(process.pid))
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def ours(root: Path) -> Iterator[Rival]:
    with listen("127.0.0.1", 0) as listener, HttpServer(Options(str(root)), [listener]) as server:
        assert server.pid
        yield Rival("feedsync", listener.getsockname()[1], [server.pid])


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):>9.1f} ({min(values):.1f} to {max(values):.1f})"


def bench_ratios(folder: Path, rounds: int, seconds: float, connections: int) -> None:
    root = folder / "public"
    text = "".join(post(number)[1] for number in range(80)).encode()[:FEED_BYTES]
    with Tree(root).batch() as batch:
        batch.put("all.atom", text.decode(errors="ignore").encode())
    os.chmod(folder, 0o755)
    workers = sorted({1, os.cpu_count() or 1})
    with contextlib.ExitStack() as stack:
        us = stack.enter_context(ours(root))
        rivals = [stack.enter_context(nginx(folder / f"nginx{count}", root, count)) for count in workers]
        for kind in ("304", "gzip", "identity"):
            for _ in range(rounds):
                for server in (us, *rivals):
                    server.load(kind, seconds, connections)
        for kind in ("304", "gzip", "identity"):
            for server in (us, *rivals):
                print(
                    f"{kind:9} {server.name:18} {spread(server.per_second[kind])}/s   "
                    f"p99 {spread(server.p99_ms[kind])} ms   cpu {spread(server.cpu_us[kind])} us"
                )
            for rival in rivals:
                ratios = [a / b for a, b in zip(us.per_second[kind], rival.per_second[kind], strict=True)]
                cpu = [b / a for a, b in zip(us.cpu_us[kind], rival.cpu_us[kind], strict=True)]
                print(
                    f"{kind:9} to {rival.name:15} {statistics.median(ratios):6.2f} "
                    f"({min(ratios):.2f} to {max(ratios):.2f}), by processor time {statistics.median(cpu):.2f}",
                    flush=True,
                )


def bench_burst(folder: Path, seconds: float, connections: int) -> None:
    """304s from a daemon: at rest, then while 1,000 new articles are read, stored, drawn and published."""
    folder.mkdir()
    port = free_port()
    write_corpus(folder / "posts", 1000)
    write_corpus(folder / "burst", 1000, start=1000)
    configure(folder, pages=True, hours=48, most=500, port=port)
    feedsync = [sys.executable, "-m", "feedsync"]
    subprocess.run([*feedsync, "resync"], cwd=folder, check=True, capture_output=True)
    daemon = subprocess.Popen([*feedsync, "run"], cwd=folder, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/all.atom"
        wait_for(url, "<feed")
        time.sleep(2)
        server = next(p for p in children(daemon.pid) if "feedsync.web" in Path(f"/proc/{p}/cmdline").read_text())
        for name in ("at rest", "while 1,000 articles are published"):
            rival = Rival(name, port, [server])
            if name != "at rest":
                for path in (folder / "burst").iterdir():
                    path.rename(folder / "posts" / path.name)
            rival.load("304", seconds, connections)
            print(
                f"304 {name:36} {rival.per_second['304'][0]:9.0f}/s   p99 {rival.p99_ms['304'][0]:.1f} ms"
                f"   cpu {rival.cpu_us['304'][0]:.1f} us",
                flush=True,
            )
        wait_for(url, re.search(r"NW(\d{18})", post(1999)[0]).group(1), within_s=180)  # type: ignore[union-attr]
    finally:
        daemon.terminate()
        daemon.wait()


def bench_idle(folder: Path, count: int) -> None:
    """What idle connections cost, and what they do to others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 500, hard), hard))
    with Tree(folder / "idle").batch() as batch:
        batch.put("all.atom", b"<feed/>")
    with contextlib.ExitStack() as stack:
        us = stack.enter_context(ours(folder / "idle"))

        def resident() -> float:
            status = Path(f"/proc/{us.pids[0]}/status").read_text()
            return int(found(r"VmRSS:\s+(\d+)", status)) / 1024

        before = resident()
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", us.port)))
            client.sendall(b"GET /all.atom HTTP/1.1\r\nHost: a\r\n\r\n")
        started = time.perf_counter()
        etag(f"http://127.0.0.1:{us.port}/all.atom")
        taken_ms = (time.perf_counter() - started) * 1000
        print(f"{count} idle connections: {resident() - before:.1f} MiB; a request beside them {taken_ms:.1f} ms")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def wait_for(url: str, text: str, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url) as answer:
                if text in answer.read().decode():
                    return
        except OSError:
            pass
        time.sleep(0.002)
    sys.exit(f"{url} never showed {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="feedsync-serve-") as name:
        folder = Path(name)
        bench_idle(folder, 10_000)
        bench_burst(folder / "burst", options.seconds, options.connections)
        bench_ratios(folder, options.rounds, options.seconds, options.connections)


if __name__ == "__main__":
    main()
