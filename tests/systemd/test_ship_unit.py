# SPDX-License-Identifier: Apache-2.0
"""The unit that ships the log: one test after the other, beside the tracer's unit."""

import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.servers import scripted

WATCHED = "127.0.0.5"
ROOT = Path(__file__).parents[2]
TRACER = Path("/etc/default/sockwatch")
SHIP = Path("/etc/default/sockwatch-ship")
PASSWORD = Path("/etc/sockwatch/ship-password")
CURSOR = Path("/var/lib/private/sockwatch-ship/cursor")
DEADLINE = 300  # seconds; all is emulated


def run(*argv, status=0):
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == status, (argv, done.stdout, done.stderr, journal())
    return done.stdout


def journal():
    argv = ["journalctl", "--no-pager", "--output=cat", "--unit=sockwatch*", "--lines=30"]
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout


def shown(unit, name):
    return run("systemctl", "show", "--value", f"--property={name}", unit).strip()


def status_of(unit):
    lines = Path(f"/proc/{shown(unit, 'MainPID')}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def wait_for(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, journal()
        time.sleep(0.1)


def send(port, count=3):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(count):
            sock.sendto(b"x", (WATCHED, port))


def shipped(server, port):
    return sum(row["count"] for row in server.rows["events"] if row["dport"] == port)


@pytest.fixture(scope="module", autouse=True)
def _installed():
    (package,) = (ROOT / "build").glob("sockwatch_*_all.deb")
    run("dpkg", "--install", str(package))
    yield
    run("dpkg", "--purge", "sockwatch")
    assert not CURSOR.parent.exists()


@pytest.fixture(scope="module")
def server():
    server = scripted.Scripted()
    server.password = "s3cret"
    with scripted.running(server) as port:
        server.port = port
        yield server


def test_it_is_not_started_by_its_installation():
    assert shown("sockwatch-ship", "ActiveState") == "inactive"
    assert shown("sockwatch-ship", "UnitFileState") == "disabled"


def test_without_a_password_it_says_what_is_missing():
    run("systemctl", "start", "sockwatch-ship", status=1)
    assert shown("sockwatch-ship", "AssertResult") == "no"


def test_without_a_server_it_says_so():
    PASSWORD.parent.mkdir(mode=0o700)
    PASSWORD.touch(mode=0o600)
    PASSWORD.write_text("s3cret\n")
    run("systemctl", "start", "--no-block", "sockwatch-ship")
    wait_for(lambda: "--to is no URL of a ClickHouse server" in journal())
    wait_for(lambda: shown("sockwatch-ship", "SubState") == "auto-restart")
    run("systemctl", "stop", "sockwatch-ship")


def test_it_ships_what_the_tracer_logs(server):
    """It is started first: the log is not there yet. (Compiling takes long here: so that is done
    before, not while systemd waits.)"""
    run("sockwatch", "--dst", WATCHED, "-q", "--no-log", "--duration", "0.1")
    SHIP.write_text(
        f"TO=clickhouse://default@127.0.0.1:{server.port}/net\nOPTIONS=--no-tls --every 0.2\n"
    )
    run("systemctl", "start", "sockwatch-ship")
    TRACER.write_text(f'OPTIONS="--dst {WATCHED}"\n')
    run("systemctl", "start", "sockwatch")
    send(7001)
    wait_for(lambda: shipped(server, 7001) == 3)


def test_it_has_the_tracers_user_and_none_of_its_rights():
    tracer, ship = status_of("sockwatch"), status_of("sockwatch-ship")
    assert ship["Uid"] == tracer["Uid"] != ["0"] * 4
    assert int(tracer["CapEff"][0], 16)
    assert int(ship["CapEff"][0], 16) == int(ship["CapBnd"][0], 16) == 0
    assert ship["NoNewPrivs"] == ["1"]
    log = Path("/var/log/private/sockwatch/events.jsonl")
    assert str(log.stat().st_uid) == ship["Uid"][0]


def test_it_goes_on_where_it_was(server):
    run("systemctl", "stop", "sockwatch-ship")
    send(7002)
    run("systemctl", "restart", "sockwatch")  # its folder is not given to another user
    run("systemctl", "start", "sockwatch-ship")
    send(7003)
    wait_for(lambda: shipped(server, 7003) == 3)
    assert (shipped(server, 7001), shipped(server, 7002)) == (3, 3)


def test_its_end_is_none_of_the_tracers():
    run("systemctl", "kill", "--signal=KILL", "sockwatch-ship")
    run("systemctl", "stop", "sockwatch-ship")
    assert shown("sockwatch", "ActiveState") == "active"
    run("systemctl", "stop", "sockwatch")
    assert shown("sockwatch", "Result") == "success"
