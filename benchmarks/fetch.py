"""A list and its details behind a latency: how near to the ideal does fetching come?

    python benchmarks/fetch.py [--records 500] [--latency-ms 50] [--concurrency 16] [--runs 5]

The server is a process of its own on loopback that answers each request after the latency. The ideal is
records / concurrency x latency. Printed beside it: the seconds from the first detail asked for to the last one
answered, as the server saw it; the seconds `resync` reports for all of it, from importing the client to everything
published; and what an unchanged list costs in requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

CONFIG = """
[site]
title = "t"
base_url = "http://127.0.0.1:8080"
authority = "example.org,2026"
[store]
url = "sqlite:///feedsync.db"
[output]
path = "public"
[[sources]]
name = "list"
kind = "list"
url = "http://127.0.0.1:{port}/list"
records = "nodeList"
fields = {{ info_code = "infocode", title = "title", published = "showtime", outlet = "from" }}
detail_url = "http://127.0.0.1:{port}/detail?id={{info_code}}"
allow_private = true
per_host_concurrency = {concurrency}
"""


def serve(records: int, latency_s: float, told: Connection) -> None:
    """Answer for ever: /list with the records, anything else with a text, robots.txt with nothing."""
    lines = [
        {
            "infocode": f"NW2025031426{number:08d}",
            "title": f"第{number}条消息的标题",
            "showtime": f"2025-03-14 10:{number // 60 % 60:02d}:{number % 60:02d}",
            "from": "财联社",
        }
        for number in range(records)
    ]
    listing = json.dumps({"nodeList": lines}, ensure_ascii=False).encode()
    detail = json.dumps({"text": "<p>" + "这是一篇消息的正文。" * 250 + "</p>"}, ensure_ascii=False).encode()

    seen: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readline():
            path = request.split()[1]
            while (await reader.readline()).strip():
                pass
            status, body = "200 OK", listing if path == b"/list" else detail
            started = time.monotonic()
            if path == b"/robots.txt":
                status, body = "404 Not Found", b""
            elif path == b"/took":
                body = str(max(seen, default=0) - min(seen, default=0)).encode()
                seen.clear()
            else:
                await asyncio.sleep(latency_s)
            if body is detail:
                seen.extend((started, time.monotonic()))
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            )
            writer.write(body)

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def resync(folder: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "feedsync", "--config", "feedsync.toml", "resync", "--json"]
    found = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    report: dict[str, object] = json.loads(found.stdout)
    return report


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    ideal_s = options.records / options.concurrency * options.latency_ms / 1000
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(options.records, options.latency_ms / 1000, theirs))
    server.start()
    try:
        port = ours.recv()
        config = CONFIG.format(port=port, concurrency=options.concurrency)
        first, second, details = [], [], []
        for _ in range(options.runs):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                (folder / "feedsync.toml").write_text(config, encoding="utf-8")
                first.append(resync(folder))
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/took") as took:
                    details.append(float(took.read()))
                second.append(resync(folder))
    finally:
        server.terminate()
        server.join()
    requests = {report["sources"]["list"]["requests"] for report in second}  # type: ignore[index]
    print(f"ideal                       {ideal_s:.2f} s")
    for what, took_s in (
        ("details, first to last", details),
        ("all of resync", [float(str(report["seconds"])) for report in first]),
    ):
        middle = statistics.median(took_s)
        print(f"{what:27} {middle:.2f} s ({min(took_s):.2f} to {max(took_s):.2f}), ratio {middle / ideal_s:.2f}")
    print(f"an unchanged list costs {requests} requests")


if __name__ == "__main__":
    main()
