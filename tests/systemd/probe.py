"""Tries what an intruder would, from within the sandbox of the unit; prints what came of each attempt as JSON."""

import ctypes
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return type(error).__name__ + f" {error.errno}"
    except Exception as error:  # noqa: BLE001  whatever it is, it is in the answer
        return type(error).__name__
    return "allowed"


def call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "write its state": lambda: Path("/var/lib/feedsync/probe").write_text("x"),
    "read its configuration": lambda: Path("/etc/feedsync/feedsync.toml").read_text(),
    "write its configuration": lambda: Path("/etc/feedsync/feedsync.toml").write_text(""),
    "write /etc": lambda: Path("/etc/probe").write_text("x"),
    "write /usr": lambda: Path("/usr/lib/probe").write_text("x"),
    "write its program": lambda: Path("/opt/feedsync/probe").write_text("x"),
    "write /srv": lambda: Path("/srv/open/probe").write_text("x"),
    "read root's files": lambda: Path("/root", "secret").read_text(),
    "read a home": lambda: Path("/home/somebody/public").read_text(),
    "read another user's file": lambda: Path("/srv/private").read_text(),
    "see others' temporary files": lambda: Path("/tmp/others").read_text(),
    "read the kernel log": lambda: Path("/dev/kmsg").read_text(),
    "set a kernel variable": lambda: Path("/proc/sys/kernel/core_pattern").write_text("x"),
    "become root": lambda: os.setuid(0),
    "give files away": lambda: os.chown("/var/lib/feedsync/probe", 0, 0),
    "make a namespace": lambda: call("unshare", 0x10000000),
    "raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "raw IP": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "TCP": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "writable code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "trace others": lambda: call("ptrace", 16, 1, 0, 0),
    "mount": lambda: call("mount", 0, 0, 0, 0, 0),
    "reboot": lambda: call("reboot", 0x01234567),
    "set-user-ID file": lambda: os.chmod("/var/lib/feedsync/probe", 0o4755),
    "set the priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
}

if __name__ == "__main__":
    found = {name: outcome(attempt) for name, attempt in ATTEMPTS.items()}
    found["processes seen"] = str(sum(name.isdecimal() for name in os.listdir("/proc")))
    json.dump(found, sys.stdout)
