# SPDX-License-Identifier: Apache-2.0
"""The service's life: one test after the other, on one machine, which ends with them."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

WATCHED = "127.0.0.5"
ROOT = Path(__file__).parents[2]
OPTIONS = Path("/etc/default/sockwatch")
LOG = Path("/var/log/sockwatch/events.jsonl")
LOGROTATE = Path("/usr/share/doc/sockwatch/examples/sockwatch.logrotate")
DEADLINE = 300  # seconds; all is emulated
SENDER = f"""
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.sendto(b"x", ("{WATCHED}", 7070))
"""


def run(*argv, status=0):
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == status, (argv, done.stdout, done.stderr, journal())
    return done.stdout


def systemctl(*arguments, status=0):
    return run("systemctl", *arguments, status=status)


def journal():
    argv = ["journalctl", "--no-pager", "--output=cat", "--unit=sockwatch", "--lines=30"]
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout


def shown(name):
    return systemctl("show", "--value", f"--property={name}", "sockwatch").strip()


def wait_for(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, journal()
        time.sleep(0.1)


def options(*words):
    OPTIONS.write_text(f'OPTIONS="{" ".join(words)}"\n')


def sent(log=LOG):
    whole = log.read_text().rpartition("\n")[0]  # the last line may be under way
    events = map(json.loads, whole.splitlines())
    return [event for event in events if event["event"] == "send"]


def send(count, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(count):
            sock.sendto(b"x" * 64, (WATCHED, port))


@pytest.fixture(scope="module", autouse=True)
def _installed():
    (package,) = (ROOT / "build").glob("sockwatch_*_all.deb")
    run("dpkg", "--install", str(package))


def test_it_is_not_started_by_its_installation():
    assert (shown("ActiveState"), shown("UnitFileState")) == ("inactive", "disabled")


def test_it_does_not_trace_everything():
    """Before anybody has said what to watch; nor does it try again and again."""
    assert "#OPTIONS=" in OPTIONS.read_text()
    systemctl("start", "sockwatch", status=1)
    assert "refuses to trace everything: say what to watch" in journal()
    assert (shown("ActiveState"), shown("NRestarts")) == ("failed", "0")


def test_no_kprobe_for_this_unit():
    options("--dst", WATCHED, "--probe", "kprobe")
    systemctl("start", "sockwatch", status=1)
    assert "kprobe cannot be attached" in journal()
    assert "kernel.perf_event_paranoid is 3" in journal()
    assert (shown("ActiveState"), shown("NRestarts")) == ("failed", "0")


def test_it_goes_on_with_a_log_that_root_began():
    done = run("sockwatch", "--dst", WATCHED, "-q", "--duration", "0.1")
    assert done == ""
    options("--dst", WATCHED, "--log-max-size", "0")
    systemctl("start", "sockwatch")
    assert shown("ActiveState") == "active"
    assert '"event":"start"' in LOG.read_text()
    assert LOG.stat().st_uid != 0
    log = Path(LOG).resolve()
    systemctl("stop", "sockwatch")
    # once more, in the folder that is the service's by now
    log.unlink()
    run("sockwatch", "--dst", WATCHED, "-q", "--duration", "0.1")
    assert log.stat().st_uid == log.parent.stat().st_uid != 0
    systemctl("start", "sockwatch")


def test_it_uses_its_cache():
    """It compiled with the first start; /var/cache/sockwatch is a link there."""
    kept = list(Path("/var/cache/private/sockwatch").iterdir())
    assert kept
    systemctl("restart", "sockwatch")
    assert list(Path("/var/cache/private/sockwatch").iterdir()) == kept


def test_it_has_a_user_of_its_own_and_the_best_probe():
    status = Path(f"/proc/{shown('MainPID')}/status").read_text()
    assert status.partition("\nUid:")[2].split()[0] != "0"
    (*_, start) = (
        line for line in map(json.loads, LOG.read_text().splitlines()) if line["event"] == "start"
    )
    assert start["probe"] == "fexit"
    assert "Main PID" in systemctl("status", "sockwatch")


def test_a_unit_that_sends_is_named():
    run("systemd-run", "--wait", "--quiet", "--unit=talker", sys.executable, "-c", SENDER)
    wait_for(lambda: [event for event in sent() if event["dst"]["port"] == 7070])
    whole = run("sockwatch", "report", "--expand", "--dport", "7070", str(LOG)).splitlines()
    (event,) = (event for event in map(json.loads, whole) if event["event"] == "send")
    assert event["process"]["unit"] == "talker.service"
    assert event["process"]["cgroup"] == "/system.slice/talker.service"
    assert event["process"]["args"][1:] == ["-c", SENDER]


def test_a_reload_before_it_is_ready():
    systemctl("stop", "sockwatch")
    systemctl("start", "--no-block", "sockwatch")
    wait_for(lambda: handles_hangup(shown("MainPID")))
    assert shown("ActiveState") == "activating"
    pid = shown("MainPID")
    run("kill", "-HUP", pid)
    systemctl("reload", "--no-block", "sockwatch")
    wait_for(lambda: shown("ActiveState") == "active")
    assert (shown("MainPID"), shown("NRestarts")) == (pid, "0")
    systemctl("reload", "sockwatch")
    assert (shown("MainPID"), shown("ActiveState")) == (pid, "active")


def handles_hangup(pid):
    """From its own first instruction on."""
    if pid == "0":
        return False
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nSigCgt:")[2].split()[0], 16) & 1


def test_logrotate_loses_nothing():
    """2,000 datagrams and more, and two rotations while they are on their way."""
    rotate = Path("/etc/logrotate.d/sockwatch")
    kept = LOGROTATE.read_text().splitlines(keepends=True)
    rotate.write_text("".join(line for line in kept if "compress" not in line))
    numbers, said = {}, []
    for port in (7001, 7002):
        flood = subprocess.Popen([sys.executable, "-c", FLOOD, str(port)], **PIPES)
        wait_for(lambda port=port: [event for event in sent() if event["dst"]["port"] == port])
        said.append(logrotate(rotate))
        numbers[port] = int(flood.communicate(timeout=DEADLINE)[0])
        assert numbers[port] >= 1000
    files = [LOG, *LOG.parent.glob("events.jsonl.*")]
    assert len(files) == 3, said

    def counted(port):
        found = [[event["count"] for event in sent(path) if event["dst"]["port"] == port]
                 for path in files]  # fmt: skip
        return sum(map(sum, found)), sum(map(bool, found))

    for port, number in numbers.items():
        wait_for(lambda port=port, number=number: counted(port)[0] >= number)
        assert counted(port) == (number, 2)


def logrotate(configuration):
    argv = ["logrotate", "--verbose", "--force", str(configuration)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=DEADLINE)
    return done.stderr


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
# Until standard input has ended and a little longer, at most a minute; says how many it has sent.
FLOOD = f"""
import select, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
number, left = 0, 1000
while left and number < 20000:
    sock.sendto(b"x", ("{WATCHED}", int(sys.argv[1])))
    number += 1
    left -= left > 100 or bool(select.select([sys.stdin], [], [], 0)[0])
    time.sleep(0.003)
print(number)
"""


def test_a_kill_is_not_the_end():
    pid = shown("MainPID")
    run("kill", "-KILL", pid)
    wait_for(lambda: shown("ActiveState") == "active" and shown("MainPID") not in ("0", pid))
    assert shown("NRestarts") == "1"
    send(1, 7005)
    wait_for(lambda: [event for event in sent() if event["dst"]["port"] == 7005])


def test_a_network_namespace_by_name():
    """It has no CAP_SYS_ADMIN to look into it: it warns, and sees what is sent there."""
    run("ip", "netns", "add", "blue")
    run("ip", "-n", "blue", "link", "set", "lo", "up")
    options("-N", "blue", "--log-max-size", "0")
    systemctl("restart", "sockwatch")
    assert "not shown: sockets from before the start" in journal()
    sender = SENDER.replace("7070", "7006")
    run("ip", "netns", "exec", "blue", sys.executable, "-c", sender)
    wait_for(lambda: [event for event in sent() if event["dst"]["port"] == 7006])
    systemctl("stop", "sockwatch")
    run("ip", "netns", "del", "blue")


def test_it_stops():
    options("--dst", WATCHED)
    systemctl("start", "sockwatch")
    systemctl("stop", "sockwatch")
    assert (shown("ActiveState"), shown("Result")) == ("inactive", "success")
    assert json.loads(LOG.read_text().splitlines()[-1])["event"] == "stop"


def test_its_removal_ends_it():
    systemctl("start", "sockwatch")
    run("dpkg", "--remove", "sockwatch")
    assert shown("ActiveState") == "inactive"
    assert LOG.exists()
    run("dpkg", "--purge", "sockwatch")
    assert not Path("/var/log/sockwatch").exists()
