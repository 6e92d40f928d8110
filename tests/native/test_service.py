# SPDX-License-Identifier: Apache-2.0
"""What a service manager and a logrotate see."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from tests.logs import lines_of
from tests.native.conftest import DEADLINE, generate, refusal, sockwatch, wait_for
from tests.native.test_output import signal_handled
from tests.native.test_privileges import NOBODY, as_nobody

WATCHED = "127.0.0.5"
QUIET: dict[str, Any] = {
    "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL,
    "timeout": DEADLINE,
}  # fmt: skip
UNIT = ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """Takes what a service says of itself."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(DEADLINE)
        sock.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield lambda: sock.recv(1000).decode().splitlines()


@pytest.mark.native
def test_a_services_life(start, manager, tmp_path):
    log = tmp_path / "mine"
    tracer = start("--dst", WATCHED, "-q", "--log", str(log))
    assert manager() == ["READY=1"]
    log.rename(tmp_path / "moved")
    tracer.process.send_signal(signal.SIGHUP)
    reloading, when = manager()
    assert (reloading, when.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
    assert manager() == ["READY=1"]
    assert log.exists()  # with nothing to write
    generate("sendto", WATCHED)
    run = tracer.finish(signal.SIGTERM)
    assert manager() == ["STOPPING=1"]
    assert run.status == 0
    lines = [line["event"] for line in lines_of(log)]
    assert lines == ["alive", "send", "stop"]


@pytest.mark.native
def test_a_bug_is_no_failure_that_would_come_again():
    """The unit tells them apart by the status (RestartPreventExitStatus)."""
    script = (
        "from tracer import __main__; from tracer.cli import main;"
        "main.main = lambda _: 1 / 0; __main__.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, **QUIET)
    assert done.returncode == 70


@pytest.mark.native
def test_a_hangup_at_any_time():
    """From the first instruction on, when there is no log yet that could be opened anew, to the
    last."""
    argv = sockwatch("--dst", WATCHED, "-q", "--no-log", "--duration", "0.5")
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: signal_handled(process.pid, signal.SIGHUP))
    end = time.monotonic() + DEADLINE
    while process.poll() is None:
        assert time.monotonic() < end
        process.send_signal(signal.SIGHUP)
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 0, process.stderr.read()
    process.stderr.close()


def take_terminal():
    """As a login does it: the session's terminal, and a hangup that counts."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(tmp_path):
    """Starts a command that has a terminal of its own; gives the process and how to close that."""
    ours, theirs = os.openpty()
    processes = []

    def run(*argv):
        with (tmp_path / "said").open("w") as said:
            process = subprocess.Popen(
                argv,
                stdin=theirs,
                stdout=said,
                stderr=said,
                start_new_session=True,
                preexec_fn=take_terminal,  # noqa: PLW1509
            )
        os.close(theirs)
        processes.append(process)
        return process, lambda: os.close(ours)

    yield run
    for process in processes:
        process.kill()
        process.wait(DEADLINE)


@pytest.mark.native
@pytest.mark.parametrize(("before", "outlives"), [((), False), (("nohup",), True)])
def test_a_terminal_that_goes_away(terminal, tmp_path, before, outlives):
    log, ready = tmp_path / "log", tmp_path / "ready"
    argv = sockwatch("--dst", WATCHED, "-q", "--log", log, "--ready-file", ready)
    tracer, close = terminal(*before, *argv)
    wait_for(ready.exists)
    close()
    if outlives:
        generate("sendto", WATCHED)
        wait_for(lambda: '"event":"send"' in log.read_text())
        tracer.terminate()
    assert tracer.wait(DEADLINE) == 0


@pytest.mark.native
@pytest.mark.parametrize("before", [(), ("nohup",)])
def test_a_command_hears_of_a_hangup_as_without_us(before):
    line = "grep SigIgn /proc/self/status"
    alone = subprocess.run([*before, "sh", "-c", line], check=True, **QUIET)
    argv = [*before, *sockwatch("-q", "--no-log", "--", "sh", "-c", line)]
    assert subprocess.run(argv, check=True, **QUIET).stdout == alone.stdout


@pytest.mark.native
def test_a_new_log_belongs_to_its_folders_owner(tmp_path):
    """So that the service, which has a user of its own, can go on with what root began."""
    os.chown(tmp_path, NOBODY.pw_uid, NOBODY.pw_gid)
    log = tmp_path / "log"
    rotate = ("--log", log, "--log-max-size", "1K")
    argv = sockwatch("--dst", WATCHED, "-q", *rotate, "--duration", "0.5")
    assert subprocess.run(argv, check=False, timeout=DEADLINE).returncode == 0
    argv = sockwatch("-q", *rotate, "--", sys.executable, "-c", SENDER)
    assert subprocess.run(argv, check=False, timeout=DEADLINE).returncode == 0
    files = list(tmp_path.glob("log*"))
    assert len(files) > 1
    owners = {(path.stat().st_uid, path.stat().st_gid, path.stat().st_mode) for path in files}
    assert owners == {(NOBODY.pw_uid, NOBODY.pw_gid, 0o100640)}


SENDER = f"""
import socket
for _ in range(5):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("{WATCHED}", 9))
"""


@pytest.fixture
def as_the_unit():
    """The command to begin with; skips where nobody cannot read this checkout."""
    command = as_nobody(*UNIT)
    reads = [*command, sys.executable, "-c", "import tracer.cli.main"]
    if subprocess.run(reads, check=False, capture_output=True, timeout=DEADLINE).returncode:
        pytest.skip("another user cannot read this checkout")
    return command


def test_a_namespace_that_it_cannot_enter(as_the_unit, namespaces):
    """It traces what is sent there all the same."""
    argv = [*as_the_unit, *sockwatch("--no-log", "-q", "-N", namespaces.near, "--duration", "1")]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    assert "not shown: sockets from before the start, since the network namespace" in done.stderr
    assert "already connected unknown" in done.stderr


def test_no_kprobe_for_a_paranoid_kernel(as_the_unit):
    """perf_event_open(2) wants more than CAP_PERFMON there."""
    if refusal("kprobe"):
        pytest.skip("this kernel has no kprobes")
    setting = Path("/proc/sys/kernel/perf_event_paranoid")
    before = setting.read_text()
    setting.write_text("3")
    try:
        if int(setting.read_text()) != 3:
            pytest.skip("not a Debian kernel")
        argv = [*as_the_unit, *sockwatch("--no-log", "--probe", "kprobe", "--duration", "0")]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    finally:
        setting.write_text(before)
    assert done.returncode == 2
    assert "kernel.perf_event_paranoid is 3" in done.stderr
    assert "CAP_SYS_ADMIN" in done.stderr
    assert "'sysctl kernel.perf_event_paranoid=2'" in done.stderr
