# SPDX-License-Identifier: Apache-2.0
"""What is new since the log began, and a command for it."""

import json
import subprocess

import pytest

from tests.logs import lines_of, whole
from tests.native.conftest import DEADLINE

ADDRESS = "127.0.0.50"
# send.py PORT...
SEND = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in sys.argv[1:]:
    sock.sendto(b"x", ("127.0.0.50", int(port)))
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "send.py"
    path.write_text(SEND)
    return path


def send(script, *ports):
    subprocess.run(["python3", script, *map(str, ports)], check=True, timeout=DEADLINE)


def new_of(run):
    return [line["dst"]["port"] for line in whole(run.out)]


def test_what_the_log_has_is_not_new(start, script, tmp_path):
    """It is logged, and counts in the answer."""
    log = tmp_path / "log.jsonl"
    options = ("--dst", ADDRESS, "--json", "--new", "--log", str(log))
    first = start(*options)
    send(script, 701, 702, 701)
    assert new_of(first.finish()) == [701, 702]
    second = start(*options)
    send(script, 701, 703)
    send(script, 703)
    run = second.finish()
    assert new_of(run) == [703]
    assert " ×2 " in run.err
    logged = lines_of(log)
    assert [one["dst"]["port"] for one in logged if one["event"] == "send"] == [
        701, 702, 701, 701, 703, 703,
    ]  # fmt: skip


def test_a_command_gets_each_line(start, script, tmp_path):
    out = tmp_path / "out"
    tracer = start("--dst", ADDRESS, "-q", "--new", "--exec", f"cat >> {out}; id -u >> {out}")
    send(script, 701, 702, 701)
    run = tracer.finish()
    first, uid, second, _ = out.read_text().splitlines()
    assert [json.loads(line)["dst"]["port"] for line in (first, second)] == [701, 702]
    assert uid == "0"
    assert json.loads(first) == run.events[0]  # with all that is known of its process


def test_the_command_has_all_privileges(start, script, tmp_path):
    """The tracer has given up most of its own by then."""
    out = tmp_path / "out"
    tracer = start(
        "--dst", ADDRESS, "-q", "--exec", f"grep -E 'CapEff|NoNewPrivs' /proc/self/status > {out}"
    )
    send(script, 701)
    tracer.finish()
    own = subprocess.run(["grep", "-E", "CapEff|NoNewPrivs", "/proc/self/status"], check=True,
                         capture_output=True, text=True)  # fmt: skip
    assert out.read_text() == own.stdout


def test_a_slow_command_does_not_stop_tracing(start, script):
    tracer = start("--dst", ADDRESS, "-q", "--exec", "sleep 2", "-c", "3")
    send(script, 701, 702, 703)
    run = tracer.finish(None)
    assert run.status == 0
    assert len(run.events) == 3
