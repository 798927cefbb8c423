"""Readers in a hurry: `load.py URL-PATH THREADS` asks until it is told to stop (SIGTERM), then prints what came of it.

Half of them keep their connection, and, as every HTTP client does, ask again on a new one when the server closed
the old one between two requests. On a new connection nothing is forgiven.
"""

import http.client
import json
import signal
import sys
import threading
import time

ADDRESS = ("127.0.0.1", 8080)
stop = threading.Event()


class Reader(threading.Thread):
    def __init__(self, path: str, *, keeps: bool) -> None:
        super().__init__()
        self.path = path
        self.keeps = keeps
        self.answers = 0
        self.slowest = 0.0
        self.failures: list[str] = []

    def run(self) -> None:
        connection = None
        while not stop.is_set():
            fresh = connection is None
            connection = connection or http.client.HTTPConnection(*ADDRESS, timeout=30)
            started = time.monotonic()
            try:
                connection.request("GET", self.path, headers={} if self.keeps else {"Connection": "close"})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200 or not body.rstrip().endswith((b"</feed>", b"</html>")):
                    self.failures.append(f"status {answer.status}, {len(body)} bytes")
                self.answers += 1
                self.slowest = max(self.slowest, time.monotonic() - started)
            except (OSError, http.client.HTTPException) as error:
                if fresh:
                    self.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
                connection = None
                continue
            if not self.keeps or answer.will_close:
                connection.close()
                connection = None
        if connection:
            connection.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    readers = [Reader(sys.argv[1], keeps=bool(number % 2)) for number in range(int(sys.argv[2]))]
    for reader in readers:
        reader.start()
    print("started", flush=True)
    stop.wait()
    for reader in readers:
        reader.join()
    failures = [failure for reader in readers for failure in reader.failures]
    print(json.dumps({
        "answers": sum(reader.answers for reader in readers),
        "failures": len(failures),
        "slowest_s": round(max(reader.slowest for reader in readers), 3),
        "examples": failures[:5],
    }))  # fmt: skip
