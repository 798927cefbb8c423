"""The service in a real systemd: installed, started, reloaded, hung, killed, restarted under load, uninstalled.

Run by `make systemd`. The tests share one machine; each leaves the service running.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import ROOT, post
from tests.systemd import machine as machines
from tests.systemd.machine import Machine

FIRST, SECOND = "202503142600000001", "202503142600000002"
CONFIG = "/etc/feedsync/feedsync.toml"
INBOX = "/var/lib/feedsync/inbox"
ROOTS_SECRET = "/root" + "/secret"
PLACES = ("/etc", "/opt", "/usr/local", "/var", "/srv", "/home", "/root")

if reason := machines.missing():
    pytest.skip(f"no real systemd can be booted here: {reason}", allow_module_level=True)


def files(machine: Machine) -> set[str]:
    """All there is on the machine, but for what systemd keeps for itself."""
    found = set(machine.run("find", *PLACES, "-xdev", "-not", "-path", "/srv/checkout*").splitlines())
    return {
        path
        for path in found
        if not path.startswith(("/var/log/journal", "/var/lib/systemd", "/var/tmp", "/var/cache"))
    }


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machines.booted(tmp_path_factory.mktemp("machine")) as machine:
        machine.run("mkdir", "-p", *PLACES)
        yield machine


@pytest.fixture(scope="module")
def before(bare: Machine) -> set[str]:
    return files(bare)


@pytest.fixture(scope="module")
def machine(bare: Machine, before: set[str]) -> Machine:
    assert before
    bare.make("install")
    bare.write("/var/lib/feedsync/inbox/first.md", post(FIRST, "第一篇"), "feedsync:feedsync")
    bare.run("systemctl", "enable", "--now", "feedsync")
    bare.until(lambda: FIRST in bare.fetch())
    return bare


def main_pid(machine: Machine) -> str:
    return machine.show("MainPID")["MainPID"]


def restarts(machine: Machine) -> int:
    return int(machine.show("NRestarts")["NRestarts"])


def as_service(machine: Machine, *command: str, code: int = 0) -> str:
    """A command as the service's user."""
    user = ("setpriv", "--reuid=feedsync", "--regid=feedsync", "--init-groups", "--reset-env")
    return machine.run(*user, "/usr/local/bin/feedsync", *command, code=code)


def edit(machine: Machine, old: str, new: str) -> str:
    """Change the configuration in place; what it was before."""
    text = machine.run("cat", CONFIG)
    assert old in text
    machine.write(CONFIG, text.replace(old, new), "root:feedsync", "640")
    return text


@contextmanager
def override(machine: Machine, text: str) -> Iterator[None]:
    """What `systemctl edit` does, for a while."""
    machine.write("/etc/systemd/system/feedsync.service.d/test.conf", text)
    machine.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        machine.run("rm", "-r", "/etc/systemd/system/feedsync.service.d")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "feedsync")


def test_it_starts_and_is_ready(machine: Machine) -> None:
    shown = machine.show("ActiveState", "Type", "StatusText", "User", "NRestarts")
    assert shown == {"ActiveState": "active", "Type": "notify", "StatusText": "Serving http://127.0.0.1:8080/",
                     "User": "feedsync", "NRestarts": "0"}  # fmt: skip
    assert machine.show("ActiveState", unit="feedsync.socket") == {"ActiveState": "active"}
    assert "第一篇" in machine.fetch(f"/article/{FIRST}.html")
    assert machine.run("systemctl", "is-enabled", "feedsync.service", "feedsync.socket").split() == ["enabled"] * 2
    assert re.search(r"ready .*address=\"http://127\.0\.0\.1:8080/\"", machine.journal())
    modes = machine.run("stat", "-c", "%n %U:%G %a", CONFIG, "/var/lib/feedsync", INBOX).splitlines()
    assert modes == [f"{CONFIG} root:feedsync 640", "/var/lib/feedsync feedsync:feedsync 750", f"{INBOX} feedsync:feedsync 2770"]  # fmt: skip
    status = json.loads(as_service(machine, "status", "--json"))
    assert status["daemon"]["health"] == "ok"
    assert str(status["daemon"]["pid"]) == main_pid(machine)


def test_a_dropped_file_is_published_and_a_big_pass_works_in_the_sandbox(machine: Machine) -> None:
    """Worker processes, their semaphores and their memory are all inside it."""
    machine.write(f"{INBOX}/dropped.md", post(SECOND, "第二篇"), "root:feedsync", "640")
    machine.until(lambda: SECOND in machine.fetch())
    script = "import sys\nfor n in range(2000): open(f'{sys.argv[1]}/{n}.md', 'w').write(sys.argv[2].replace('NUMBER', f'{n:05d}'))"
    machine.run("mkdir", f"{INBOX}/many")
    machine.run("python3", "-c", script, f"{INBOX}/many", post("2025031427000NUMBER", "很多"))

    def stored() -> int:
        return int(json.loads(as_service(machine, "status", "--json"))["counts"]["articles"])

    machine.until(lambda: stored() == 2002, 120)
    as_service(machine, "publish", "--check")
    assert "Traceback" not in machine.journal()


def test_it_reloads_good_and_refuses_faulty_configurations(machine: Machine) -> None:
    pid = main_pid(machine)
    old = edit(machine, 'title = "财经快讯"', 'title = "换了名字"')
    machine.run("systemctl", "reload", "feedsync")
    machine.until(lambda: "换了名字" in machine.fetch())
    edit(machine, "[store]", "[stroe]")
    machine.run("systemctl", "reload", "feedsync")
    machine.until(lambda: "Reload refused" in machine.show("StatusText")["StatusText"])
    assert "stroe: there is no such key; did you mean 'store'?" in machine.journal()
    assert machine.show("ActiveState") == {"ActiveState": "active"}
    assert "换了名字" in machine.fetch()
    machine.write(CONFIG, old, "root:feedsync", "640")
    machine.run("systemctl", "reload", "feedsync")
    machine.until(lambda: "财经快讯" in machine.fetch())
    assert main_pid(machine) == pid


def test_a_faulty_configuration_at_start_is_not_tried_again(machine: Machine) -> None:
    old = edit(machine, "[store]", "[stroe]")
    machine.run("systemctl", "restart", "feedsync", code=1)
    time.sleep(6)  # longer than RestartSec=
    assert machine.show("ActiveState", "Result", "ExecMainStatus", "NRestarts") == {
        "ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "2", "NRestarts": "0"}  # fmt: skip
    assert "stroe: there is no such key" in machine.journal()
    machine.write(CONFIG, old, "root:feedsync", "640")
    machine.run("systemctl", "start", "feedsync")
    assert FIRST in machine.fetch("/article/" + FIRST + ".html")


def test_whoever_is_killed_comes_back_and_knows_everything(machine: Machine) -> None:
    feed, before, pid = machine.fetch(), restarts(machine), main_pid(machine)
    machine.run("kill", "-KILL", pid)
    machine.until(lambda: restarts(machine) == before + 1)
    # A reader who comes now waits, and is served.
    assert machine.fetch() == feed
    machine.until(lambda: machine.show("ActiveState")["ActiveState"] == "active")
    assert main_pid(machine) != pid
    as_service(machine, "publish", "--check")


def test_the_watchdog_ends_what_hangs(machine: Machine) -> None:
    with override(machine, "[Service]\nWatchdogSec=3s\nRestartSec=100ms\n"):
        machine.run("systemctl", "restart", "feedsync")
        time.sleep(7)  # fed, it lives on
        assert restarts(machine) == 0
        pid, feed = main_pid(machine), machine.fetch()
        machine.run("kill", "-STOP", pid)
        machine.until(lambda: restarts(machine) == 1)
        assert "Watchdog timeout" in machine.journal()
        machine.until(lambda: machine.show("ActiveState")["ActiveState"] == "active")
        assert main_pid(machine) != pid
        assert machine.fetch() == feed
        # The stacks of all threads are in the journal.
        machine.until(lambda: "most recent call first" in machine.journal())


def test_an_http_server_that_hangs_or_dies_is_replaced(machine: Machine) -> None:
    """It is a process of its own; the daemon goes on, and so do its sockets."""
    pid, before = main_pid(machine), restarts(machine)
    for number, told, within_s in (("KILL", "the HTTP server died", 20), ("STOP", "the HTTP server hangs", 90)):
        child = machine.run("pgrep", "-P", pid, "-f", "feedsync.web").strip()
        machine.run("kill", f"-{number}", child)
        machine.until(lambda told=told: told in machine.journal(), within_s)  # type: ignore[misc]
        assert FIRST in machine.fetch(f"/article/{FIRST}.html")
        assert machine.run("pgrep", "-P", pid, "-f", "feedsync.web").strip() != child
    assert (main_pid(machine), restarts(machine)) == (pid, before)


def test_no_request_is_lost_in_restarts_under_load(machine: Machine) -> None:
    network = ["nsenter", "-t", str(machine.leader), "-n", "--"]
    command = [*network, sys.executable, str(ROOT / "tests/systemd/load.py"), f"/article/{FIRST}.html", "8"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout
        assert load.stdout.readline() == "started\n"
        for _ in range(5):
            machine.run("systemctl", "restart", "feedsync")
            time.sleep(0.5)
        load.terminate()
        result = json.loads(load.stdout.read())
    print(result)
    machine.until(lambda: machine.show("ActiveState")["ActiveState"] == "active")
    assert result["answers"] > 500
    assert result["failures"] == 0, result


SANDBOX = {
    "write its state": "allowed",
    "read its configuration": "allowed",
    "TCP": "allowed",
    "write its configuration": "OSError 30",
    "write /etc": "OSError 30",
    "write /usr": "OSError 30",
    "write its program": "OSError 30",
    "write /srv": "OSError 30",
    "read root's files": "PermissionError 13",
    "read a home": "PermissionError 13",
    "read another user's file": "PermissionError 13",
    "see others' temporary files": "FileNotFoundError 2",
    "read the kernel log": "FileNotFoundError 2",
    "set a kernel variable": "FileNotFoundError 2",
    "become root": "PermissionError 1",
    "give files away": "PermissionError 1",
    "make a namespace": "PermissionError 1",
    "raw packets": "OSError 97",
    "raw IP": "PermissionError 1",
    "netlink": "OSError 97",
    "writable code": "PermissionError 1",
    "trace others": "PermissionError 1",
    "mount": "PermissionError 1",
    "reboot": "PermissionError 1",
    "set-user-ID file": "PermissionError 1",
    "set the priority": "PermissionError 1",
    "processes seen": "1",
}


@pytest.mark.parametrize("name", ["feedsync.service", "feedsync-resync@.service"])
def test_the_sandbox_holds(machine: Machine, name: str) -> None:
    """A program that tries things, started exactly as the unit starts ours."""
    machine.write(ROOTS_SECRET, "root's")
    machine.write("/home/somebody/public", "theirs")
    machine.write("/srv/private", "nobody else's", "nobody:nogroup", "600")
    machine.write("/srv/open/anything", "everybody's", mode="666")
    machine.run("chmod", "777", "/srv/open")
    machine.write("/tmp/others", "others'", mode="644")
    machine.write("/srv/probe.py", (ROOT / "tests/systemd/probe.py").read_text(encoding="utf-8"))
    unit = machine.run("cat", f"/etc/systemd/system/{name}")
    unit = re.sub(
        r"^ExecStart=.*",
        "ExecStart=/opt/feedsync/bin/python /srv/probe.py\nStandardOutput=file:/run/probed",
        unit,
        flags=re.M,
    )
    unit = re.sub(r"^(Type|Restart)=.*\n", "", unit, flags=re.M)
    machine.write("/run/systemd/system/probe.service", unit.replace("[Service]", "[Service]\nType=oneshot"))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "probe.service")
    assert json.loads(machine.run("cat", "/run/probed")) == SANDBOX
    machine.run("rm", "/run/probed", "/run/systemd/system/probe.service", "/var/lib/feedsync/probe")


def test_the_daemon_itself_is_in_it(machine: Machine) -> None:
    status = machine.run("cat", f"/proc/{main_pid(machine)}/status")
    for line in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"):
        assert line in status
    assert "Uid:\t0" not in status


def test_a_pass_by_hand_shares_everything_with_the_daemon(machine: Machine) -> None:
    """For a source of any name; its unit is named by systemd-escape."""
    old = machine.run("cat", CONFIG)
    for number, name in enumerate(["my-source", "文章"]):
        folder, code = f"/srv/articles{number}", f"20250314280000000{number}"
        machine.write(CONFIG, old + f'\n[[sources]]\nname = "{name}"\nkind = "files"\npath = "{folder}"\ninterval_s = 86400\n',
                      "root:feedsync", "640")  # fmt: skip
        machine.write(f"{folder}/a.md", post(code))
        unit = machine.run("systemd-escape", "--template=feedsync-resync@.service", name).strip()
        machine.run("systemctl", "start", unit)
        assert f"{name}: 1 seen, 1 new" in machine.journal(unit)
        assert code in machine.fetch()
        # What was refused is no failure of the unit, and a source that does not exist is.
        machine.write(f"{folder}/bad.md", post("202503142800000009", date="2025-02-30 10:00:00 +0800"))
        machine.run("systemctl", "start", unit)
        assert "1 quarantined" in machine.journal(unit)
        assert machine.run("systemctl", "is-failed", unit, code=None).strip() == "inactive"
    machine.run("systemctl", "start", "feedsync-resync@nowhere.service", code=1)
    assert "there is no source 'nowhere'" in machine.journal("feedsync-resync@nowhere.service")
    timer = machine.run("systemd-escape", "--template=feedsync-resync@.timer", "文章").strip()
    machine.run("systemctl", "enable", "--now", timer)
    assert machine.show("ActiveState", unit=timer) == {"ActiveState": "active"}
    machine.write(CONFIG, old, "root:feedsync", "640")
    owners = machine.run("find", "/var/lib/feedsync", "-not", "-path", f"{INBOX}*", "-printf", "%u\\n")
    assert set(owners.split()) == {"feedsync"}


def test_there_is_only_one_daemon(machine: Machine) -> None:
    refused = as_service(machine, "run", code=3)
    assert f"another feedsync (pid {main_pid(machine)}) holds" in refused
    assert machine.show("ActiveState") == {"ActiveState": "active"}


def test_what_is_in_its_way_at_the_start_may_go_away_by_itself(machine: Machine) -> None:
    """It never gives up: here, its database is locked away and comes back after many attempts."""
    with override(machine, "[Service]\nRestartSec=100ms\n"):
        machine.run("systemctl", "stop", "feedsync.socket", "feedsync.service")
        machine.run("mv", "/var/lib/feedsync/feedsync.db", "/var/lib/feedsync/aside")
        machine.run("mkdir", "/var/lib/feedsync/feedsync.db")
        machine.run("systemctl", "start", "--no-block", "feedsync.service")
        machine.until(lambda: restarts(machine) >= 8, 60)
        machine.run("rmdir", "/var/lib/feedsync/feedsync.db")
        machine.run("mv", "/var/lib/feedsync/aside", "/var/lib/feedsync/feedsync.db")
        machine.until(lambda: machine.show("ActiveState")["ActiveState"] == "active", 60)
        assert FIRST in machine.fetch(f"/article/{FIRST}.html")


def test_an_upgrade_and_a_restart_keep_everything(machine: Machine) -> None:
    feed, config = machine.fetch(), machine.run("cat", CONFIG)
    machine.make("install")
    machine.run("systemctl", "restart", "feedsync")
    assert machine.fetch() == feed
    assert machine.run("cat", CONFIG) == config
    as_service(machine, "publish", "--check")


def test_uninstalling_leaves_data_and_configuration(machine: Machine, before: set[str]) -> None:
    """The last of all."""
    articles = machine.run("find", "/var/lib/feedsync/public", "-name", "*.html")
    machine.make("uninstall")
    left = files(machine) - before
    ours = {path for path in left if not path.startswith(("/etc/feedsync", "/var/lib/feedsync", "/srv/"))}
    # The user stays, for it owns the data; the folders are every machine's, but for one as bare as this.
    account = {f"/etc/{name}-" for name in ("passwd", "shadow", "group", "gshadow")}
    folders = {"/etc/systemd", "/etc/systemd/system", "/etc/sysusers.d", "/etc/tmpfiles.d", "/usr/local/bin"}
    assert ours - account - folders == {"/home/somebody", "/home/somebody/public", ROOTS_SECRET}
    assert machine.run("find", "/var/lib/feedsync/public", "-name", "*.html") == articles
    assert machine.run("cat", CONFIG)
    assert machine.run("systemctl", "list-unit-files", "--no-legend", "feedsync*", code=None) == ""
    assert machine.run("systemctl", "list-units", "--all", "--no-legend", "feedsync*") == ""
    assert not machine.run("find", "/var/lib/systemd", "-name", "stamp-feedsync*")
    # And installed again, it goes on where it was.
    machine.make("install")
    machine.run("systemctl", "enable", "--now", "feedsync")
    assert FIRST in machine.fetch(f"/article/{FIRST}.html")
