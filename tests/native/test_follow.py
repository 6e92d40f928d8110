# SPDX-License-Identifier: Apache-2.0
"""A command and its descendants, those of a pid, and filters by what is known of a process."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.native.conftest import DEADLINE, generate, sockwatch, talking
from tests.native.test_identity import A_CONTAINER, spawn, the_cgroup2
from tracer.filter import maps
from tracer.filter.filters import Filters
from tracer.kernel import session
from tracer.kernel.probes import PROBES

WATCHED = "127.0.0.5"
SEND = f"echo x > /dev/udp/{WATCHED}"


def run(tmp_path, *arguments):
    ready, log = tmp_path / "ready", tmp_path / "log"
    argv = sockwatch("--log", log, "--ready-file", ready, *arguments)
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)


@pytest.mark.native
@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15)]
)
def test_a_command_ends_the_run_with_its_status(tmp_path, script, status):
    done = run(tmp_path, "--", "bash", "-c", f"{SEND}/1; ({SEND}/2; {SEND}/3); {script}")
    assert done.returncode == status
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[-3] for row in rows] == [f"{WATCHED}:{port}" for port in (1, 2, 3)]
    assert {row[2] for row in rows} == {"bash"}


def test_a_command_from_its_first_instruction(tmp_path):
    """And nothing of anybody else."""
    program = tiny.write(tmp_path / "tiny", WATCHED, 7080)
    with talking("udp", WATCHED, "7081") as other:
        other.talk()
        done = run(tmp_path, "-q", "--dst", WATCHED, "--", program, "argument")
    assert done.returncode == 0
    lines = (tmp_path / "log").read_text()
    assert lines.count('"event":"send"') == 1
    assert f'"args":["{program}","argument"]' in lines


@pytest.mark.native
def test_a_command_gets_the_signal(tmp_path):
    script = f"trap '{SEND}/9; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    argv = sockwatch("--log", tmp_path / "log", "-q", "--dst", WATCHED, "--", "bash", "-c", script)
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 3
    assert (tmp_path / "log").read_text().count('"event":"send"') == 1


@pytest.mark.native
def test_a_command_of_another_user_gets_the_signal():
    script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    argv = sockwatch("--no-log", "-q", "--", "setpriv", "--reuid=65534", "bash", "-c", script)
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd="/", stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 3


STUBBORN = "trap 'echo told' TERM; echo ready; while :; do sleep 100 & wait $!; done"


@pytest.mark.native
@pytest.mark.parametrize("options", [(), ("--duration", "0.1")])
def test_a_command_that_takes_no_signal_is_not_waited_for(options):
    argv = sockwatch("--no-log", "-q", *options, "--", "bash", "-c", STUBBORN)
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, process_group=0) as process,
        contextlib.ExitStack() as cleanup,
    ):
        cleanup.callback(os.killpg, process.pid, signal.SIGKILL)  # what it has left behind
        assert process.stdout.readline() == "ready\n"
        if options:
            assert any("waiting for it" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "told\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 128 + signal.SIGTERM


@pytest.fixture
def _hears_ctrl_c():
    """As at a terminal: a shell's job in the background, which this may be, ignores it."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


@pytest.mark.native
@pytest.mark.usefixtures("_hears_ctrl_c")
def test_ctrl_c_while_the_hooks_are_attached(tmp_path):
    """It ends command and run, in order and without a traceback."""
    for pause in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4):
        argv = sockwatch("--log", tmp_path / "log", "-q", "--", "sleep", "100")
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, process_group=0) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(pause)
            os.killpg(process.pid, signal.SIGINT)
            said = process.communicate(timeout=DEADLINE)[1]
        assert "Traceback" not in said, (pause, said)
        assert "refuses" not in said, (pause, said)


@pytest.mark.native
def test_the_program_is_looked_for_before_anything(tmp_path):
    done = run(tmp_path, "--", "no-such-program")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no program 'no-such-program'" in done.stderr
    done = run(tmp_path, WATCHED)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "an address goes behind --dst, a command behind --" in done.stderr
    plain = tmp_path / "plain"
    plain.touch()
    done = run(tmp_path, "--", str(plain))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"'{plain}' is not executable" in done.stderr
    done = run(tmp_path, "-p", "1", "--", "true")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--pid and a command are two things" in done.stderr
    done = run(tmp_path, "--follow")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@contextlib.contextmanager
def family():
    """A process with a child that sends when it is told to, then has a child of its own send."""
    inner = f"echo $$; read; {SEND}/7082; bash -c '{SEND}/7083; true'; echo sent; read"
    argv = ["bash", "-c", 'bash -c "$1"; true', "outer", inner]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert int(process.stdout.readline()) != process.pid
        yield process


FAMILY = f"""
import os, socket, sys
hold_child, end_child = os.pipe()
hold_grandchild, tell_grandchild = os.pipe()
born, tell = os.pipe()
if os.fork() == 0:
    os.close(end_child)
    if os.fork() == 0:
        os.close(tell_grandchild)
        os.write(tell, b"%d" % os.getpid())
        for _ in iter(lambda: os.read(hold_grandchild, 1), b""):
            socket.socket(2, 2).sendto(b"x", ("{WATCHED}", 7085))
            os.write(tell, b".")
        os._exit(0)
    os.close(tell_grandchild)
    os.read(hold_child, 1)
    os._exit(0)
print(int(os.read(born, 9)), flush=True)
sys.stdin.readline()
os.close(end_child)
os.wait()
print("orphaned", flush=True)
sys.stdin.readline()
os.write(tell_grandchild, b".")
os.read(born, 1)
print("sent", flush=True)
sys.stdin.readline()
"""


class Family:
    """A process with a child and a grandchild, which becomes an orphan and then sends when it is
    told to. It ends with the first process."""

    def __init__(self, process):
        self.pid = process.pid
        self._process = process
        self.grandchild = int(process.stdout.readline())

    def next(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@contextlib.contextmanager
def grown_up_family():
    argv, pipe = [sys.executable, "-c", FAMILY], subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as process:
        yield Family(process)
        process.stdin.close()


@contextlib.contextmanager
def following(pid, probe):
    """The hooks alone, with nobody who looks at /proc."""
    (chosen,) = (one for one in PROBES if one.name == probe)
    filters = Filters(pid=frozenset({pid}), follow=True)
    attached = session.attach((chosen,), maps.entries(filters), 64, None)
    try:
        yield attached
    finally:
        attached.detach()
        attached.close()


def wait_for_the_end(pidfd):
    """From when on its exit hook has run: exit_notify() comes after it."""
    assert select.select([pidfd], [], [], DEADLINE)[0]
    os.close(pidfd)


def test_an_orphan_from_before_the_start_is_followed(best_probe):
    """Its parent ended before anybody could look; and nothing is left of the dead."""
    with grown_up_family() as family, following(family.pid, best_probe) as attached:
        before = attached.pids()
        assert family.next() == "orphaned"
        orphaned = attached.pids()
        pidfd = os.pidfd_open(family.grandchild)
        family.next()
        family.next()
        wait_for_the_end(pidfd)
        assert attached.counters().unfollowed == 0
        after = attached.pids()
    assert (before, orphaned) == ({family.pid}, {family.pid, family.grandchild})
    assert not after & {family.pid, family.grandchild}


@pytest.mark.parametrize("orphan", [True, False])
def test_a_grandchild_from_before_the_start(start, orphan):
    with grown_up_family() as family:
        tracer = start("-p", str(family.pid), "-f", "--dst", WATCHED)
        if orphan:
            assert family.next() == "orphaned"
            assert family.next() == "sent"
        else:
            family.next()
            family.next()
        run = tracer.finish()
    assert [event["process"]["pid"] for event in run.events] == [family.grandchild]
    assert run.stop["unfollowed"] == 0


def test_no_dead_pid_stays_in_the_filter(best_probe):
    """While children come and go."""
    code = (
        "import os, sys\n"
        "print(flush=True)\n"
        "for _ in range(500):\n"
        "    if os.fork() == 0:\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    argv, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline()
        with following(process.pid, best_probe) as attached:
            assert process.stdout.readline()
            assert attached.pids() == {process.pid}
            process.communicate()
            assert attached.pids() == frozenset()


def test_where_all_have_ended_nothing_is_theirs(start):
    """Neither what was there before, nor what is received."""
    with subprocess.Popen(["true"]) as ended:
        ended.wait(DEADLINE)
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with near, far, socket.create_server((WATCHED, 0)) as server:
        near.bind((WATCHED, 0))
        far.bind((WATCHED, 0))
        with socket.create_connection(server.getsockname()):
            tracer = start("--follow", "--pid", str(ended.pid), "--dst", WATCHED)
            near.sendto(b"x", far.getsockname())
            run = tracer.finish()
    assert (run.existing, run.receives, run.events) == ([], [], [])


def test_a_stranger_is_not_followed(best_probe, start):
    """Nor is its parent, though that has one who is."""
    with grown_up_family() as family:
        with following(family.pid, best_probe) as attached:
            subprocess.run(["bash", "-c", f"({SEND}/7086)"], check=True, timeout=DEADLINE)
            assert attached.pids() == {family.pid}
        tracer = start("-p", str(family.pid), "-f", "--dst", WATCHED)
        subprocess.run(["bash", "-c", f"({SEND}/7086)"], check=True, timeout=DEADLINE)
        assert tracer.finish().events == []


def test_no_room_for_more_descendants_is_counted(best_probe, monkeypatch):
    monkeypatch.setattr(session, "FILTER_ENTRIES", 2)  # what a trie needs
    # a hash map has room for some more on each CPU: prealloc_init(), kernel/bpf/hashtab.c
    count = 2 * session._possible_cpus() + 4
    code = f"import os, sys\nsys.stdin.readline()\nfor _ in range({count}):\n"
    code += "    if os.fork() == 0:\n        sys.stdin.readline()\n        os._exit(0)\n"
    code += "print(flush=True)"
    argv, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with (
        subprocess.Popen(argv, stdin=pipe, stdout=pipe) as process,
        following(process.pid, best_probe) as attached,
    ):
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline()
        assert attached.counters().unfollowed > 0
        assert attached.losses()["unfollowed"] == attached.counters().unfollowed
        process.stdin.close()


@pytest.mark.native
def test_a_pid_that_nobody_has_is_said(start):
    """A stranger may get its number."""
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        tracer = start("-p", str(process.pid), "-f", "--dst", WATCHED)
    assert f"sockwatch: --pid {process.pid}: there is no such process now\n" in tracer.finish().err


@pytest.mark.parametrize(("options", "ports"), [(("-f",), [7082, 7083]), ((), [])])
def test_descendants_of_a_pid(start, options, ports):
    with family() as process:
        tracer = start("-p", str(process.pid), *options, "--dst", WATCHED)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "sent\n"
        events = tracer.finish().events
        process.stdin.close()
    assert [event["dst"]["port"] for event in events] == ports


def test_a_pid_that_was_asked_for_is_not_its_successor(start, tmp_path):
    last_pid = Path("/proc/sys/kernel/ns_last_pid")
    if not last_pid.exists():
        pytest.skip("this kernel has no ns_last_pid (CONFIG_CHECKPOINT_RESTORE)")
    program = tiny.write(tmp_path / "tiny", WATCHED, 7084)
    with subprocess.Popen(["sleep", str(DEADLINE)]) as process:
        tracer = start("-p", str(process.pid), "--dst", WATCHED)
        process.kill()
    for _ in range(200):
        last_pid.write_text(str(process.pid - 1))
        if spawn(program) == process.pid:
            break
    else:
        raise AssertionError("other processes took the pid, two hundred times")
    assert tracer.finish().events == []


@pytest.mark.native
def test_by_program(start, tmp_path):
    link = tmp_path / "a-link"
    link.symlink_to(sys.executable)
    by_path, by_name = (
        start("--exe", str(link), "--dst", WATCHED),
        start("--exe", "bash", "-c", "1"),
    )
    generate("sendto", WATCHED, "count=3")
    subprocess.run(["bash", "-c", f"{SEND}/7085"], check=True, timeout=DEADLINE)
    run = by_path.finish()
    assert {event["process"]["comm"] for event in run.events} == {"generator"}
    assert (len(run.events), run.stop["matched"]) == (3, 3)
    (event,) = by_name.finish(None).events
    assert event["dst"]["port"] == 7085


@pytest.mark.native
def test_by_cgroup_unit_and_container(start, tmp_path):
    root = the_cgroup2()
    unit = root / f"sockwatch-{os.getpid()}.service"
    folder = unit / f"docker-{A_CONTAINER}.scope"
    folder.mkdir(parents=True)
    program = tiny.write(tmp_path / "tiny", WATCHED, 7086)
    try:
        tracers = [
            start("--dst", WATCHED, *options)
            for options in (
                ("--cgroup", str(unit)),
                ("--unit", unit.name.removesuffix(".service")),
                ("--container", A_CONTAINER[:12]),
                ("--cgroup", f"/{unit.name[:-1]}"),
                ("--unit", "other.service"),
                ("--container", "ffff"),
            )
        ]
        spawn(program)
        child = os.fork()
        if child == 0:
            (folder / "cgroup.procs").write_text(str(os.getpid()))
            os.execv(program, [str(program), "inside"])
        assert os.waitpid(child, 0)[1] == 0
        found = [tracer.finish().events for tracer in tracers]
    finally:
        folder.rmdir()
        unit.rmdir()
    assert [len(events) for events in found] == [1, 1, 1, 0, 0, 0]
    assert {events[0]["process"]["args"][-1] for events in found[:3]} == {"inside"}


@pytest.mark.native
def test_sockets_by_program():
    with talking("udp", WATCHED, "7087", "connect") as talker:
        exe = os.readlink(f"/proc/{talker.said['pid']}/exe")
        for program, number in ((exe, 1), ("/bin/sh", 0)):
            argv = sockwatch("sockets", "-H", "--dst", WATCHED, "-P", "7087", "--exe", program)
            done = subprocess.run(
                argv, check=True, capture_output=True, text=True, timeout=DEADLINE
            )
            assert len(done.stdout.splitlines()) == number
