# SPDX-License-Identifier: Apache-2.0
"""Who it was, however short its life."""

import contextlib
import ctypes
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import tiny
from tests.native.conftest import DEADLINE, stopped, talking, wait_for
from tracer.host import procfs
from tracer.host.mounts import mounts

WATCHED = "127.0.0.5"
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
A_CONTAINER = "0123456789abcdef" * 4


def the_cgroup2() -> Path:
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    found = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if found is None:
        pytest.skip("no cgroup2 file system is mounted")
    return Path(found)


@pytest.fixture
def program(tmp_path):
    if platform.machine() != "x86_64":
        pytest.skip("the tiny program is x86-64 code")
    return tiny.write(tmp_path / "tiny", WATCHED, 7070)


def spawn(path, *args):
    pid = os.posix_spawn(path, [str(path), *args], os.environ)
    assert os.waitpid(pid, 0)[1] == 0
    return pid


def test_ten_thousand_short_lives(start, program):
    tracer = start("--dst", WATCHED, "-q")
    pids = [spawn(program, str(number), "an argument") for number in range(10_000)]
    run = tracer.finish()
    assert (run.stop["lost"], run.stop["processes_lost"]) == (0, 0)
    processes = [event["process"] for event in run.events]
    assert Counter(process["pid"] for process in processes) == Counter(pids)
    assert {process["exe"] for process in processes} == {str(program)}
    found = {tuple(process["args"]) for process in processes}
    assert found == {(str(program), str(number), "an argument") for number in range(10_000)}
    assert {process["ppid"] for process in processes} == {os.getpid()}
    assert {process["user"] for process in processes} == {"root"}
    parents = {tuple(one["pid"] for one in process["parents"]) for process in processes}
    assert {chain[0] for chain in parents} == {os.getpid()}


@pytest.mark.native
def test_a_short_life_in_a_long_interval(start, program):
    """It is over for long when its events are read."""
    tracer = start("--dst", WATCHED, "-S", "3")
    spawn(program, "argument")
    wait_for(lambda: '"event":"send"' in tracer.log.read_text())
    (event,) = tracer.finish().events
    assert (event["process"]["exe"], event["process"]["args"][1:]) == (str(program), ["argument"])


def test_a_child_that_calls_no_exec(start):
    """It runs on with its parent's program."""
    tracer = start("--dst", WATCHED)
    code = (
        "import os,socket\n"
        "for _ in range(2):\n"
        "    if os.fork() == 0:\n"
        f"        socket.socket(2,2).sendto(b'x',('{WATCHED}',9))\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE)
    events = tracer.finish().events
    assert len(events) == 2
    for event in events:
        assert event["process"]["args"] == [sys.executable, "-c", code]
        assert event["process"]["exe"] is not None


def test_an_exec_between_two_sends(start, program):
    """Same process, same name: another program, and each datagram has its own."""
    tracer = start("--dst", WATCHED)
    code = (
        "import os,socket,sys\n"
        "open('/proc/self/comm','w').write('tiny')\n"
        f"socket.socket(2,2).sendto(b'before',('{WATCHED}',7070))\n"
        f"os.execv('{program}',['{program}','after'])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE)
    before, after = tracer.finish().events
    assert before["process"]["pid"] == after["process"]["pid"]
    assert before["process"]["start_time"] == after["process"]["start_time"]
    assert (before["process"]["comm"], after["process"]["comm"]) == ("tiny", "tiny")
    assert after["process"]["exe"] == str(program)
    assert after["process"]["args"] == [str(program), "after"]
    assert before["process"]["args"] == [sys.executable, "-c", code]
    assert before["process"]["exe"] == os.path.realpath(sys.executable)


def test_a_recycled_pid_is_another_process(start, tmp_path):
    """The kernel is told which pid comes next."""
    last_pid = Path("/proc/sys/kernel/ns_last_pid")
    if not last_pid.exists():
        pytest.skip("this kernel has no ns_last_pid (CONFIG_CHECKPOINT_RESTORE)")
    names = [tiny.write(tmp_path / name, WATCHED, 7070) for name in ("first", "second")]
    tracer = start("--dst", WATCHED)
    for _ in range(200):
        pid = spawn(names[0], "one")
        last_pid.write_text(str(pid - 1))
        if spawn(names[1], "two") == pid:
            break
    else:
        raise AssertionError("other processes took the pid, two hundred times")
    one, two = (
        event["process"] for event in tracer.finish().events if event["process"]["pid"] == pid
    )
    assert (one["comm"], one["exe"], one["args"]) == (
        "first",
        str(names[0]),
        [str(names[0]), "one"],
    )
    assert (two["comm"], two["exe"], two["args"]) == (
        "second",
        str(names[1]),
        [str(names[1]), "two"],
    )


def test_parents_up_to_init(start):
    tracer = start("--dst", WATCHED)
    send = f"echo hello > /dev/udp/{WATCHED}/7071"
    inner = ["bash", "-c", f"bash -c '{send}; true'; true"]
    outer = subprocess.run(inner, check=True, timeout=DEADLINE)
    assert outer.returncode == 0
    (event,) = tracer.finish().events
    parents = event["process"]["parents"]
    assert [one["comm"] for one in parents[:2]] == [
        "bash",
        Path("/proc/self/comm").read_text().strip(),
    ]
    assert parents[0]["pid"] == event["process"]["ppid"]
    assert parents[0]["exe"].endswith("/bash")
    assert parents[0]["exe_here"] is True
    assert parents[1]["pid"] == os.getpid()
    assert parents[1]["exe"] == os.readlink("/proc/self/exe")
    assert parents[-1]["pid"] == 1


def test_a_tracer_is_no_parent(start):
    libc = ctypes.CDLL(None, use_errno=True)
    tracer = start("--dst", WATCHED)
    with talking("udp", WATCHED, "7072") as talker:
        pid = talker.said["pid"]
        read_end, write_end = os.pipe()
        seizer = os.fork()
        if seizer == 0:
            os.close(read_end)
            status = libc.ptrace(PTRACE_SEIZE, pid, None, None)
            os.write(write_end, b"-" if status else b"+")
            os.execvp("sleep", ["sleep", str(DEADLINE)])
        try:
            assert os.read(read_end, 1) == b"+"
            assert f"TracerPid:\t{seizer}\n" in Path(f"/proc/{pid}/status").read_text()
            talker.talk()
        finally:
            os.kill(seizer, 9)
            os.waitpid(seizer, 0)
            os.close(read_end)
            os.close(write_end)
        (event,) = tracer.finish().events
    assert event["process"]["ppid"] == os.getpid()
    assert event["process"]["parents"][0]["pid"] == os.getpid()


def bash_told_to_send(path):
    """Sends when it is told to."""
    code = f"echo ready; read; echo x > /dev/udp/{WATCHED}/7073; echo sent; read"
    return subprocess.Popen(
        [path, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("before", [True, False], ids=["running before", "started later"])
def test_a_program_that_was_removed_says_so(start, tmp_path, before):
    path = tmp_path / "removed"
    path.write_bytes(Path("/bin/bash").read_bytes())
    path.chmod(0o755)
    with contextlib.ExitStack() as cleanup:
        process = cleanup.enter_context(bash_told_to_send(path)) if before else None
        tracer = start("--dst", WATCHED)
        process = process or cleanup.enter_context(bash_told_to_send(path))
        assert process.stdout.readline() == "ready\n"
        path.unlink()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "sent\n"
        (event,) = tracer.finish().events
        process.stdin.close()
    assert event["process"]["exe"] == f"{path} (deleted)"


def test_a_program_in_memory_only(start, program):
    tracer = start("--dst", WATCHED)
    memory = os.memfd_create("in-memory", 0)
    os.write(memory, program.read_bytes())
    child = os.fork()
    if child == 0:
        os.execve(memory, ["hidden", "argument"], {})
    assert os.waitpid(child, 0)[1] == 0
    os.close(memory)
    (event,) = tracer.finish().events
    assert event["process"]["exe"] == "/memfd:in-memory (deleted)"
    assert event["process"]["args"] == ["hidden", "argument"]


def test_a_path_that_a_user_has_made_up(start, program):
    """In a mount namespace of its own, anything may be mounted on any path. Where stat(2) has a
    device of its own (an overlayfs over several file systems), that is not certain."""
    tracers = [start("--dst", WATCHED), start("--dst", WATCHED, "--exe", str(program))]
    there = str(Path("/bin/true").resolve())
    forge = f"mount --bind {program} {there}; exec {there} forged"
    argv = ["unshare", "--mount", "--propagation", "private", "bash", "-c", forge]
    subprocess.run(argv, check=True, timeout=DEADLINE)
    spawn(program, "plain")
    (by_path, by_file) = (tracer.finish() for tracer in tracers)
    forged, plain = (event["process"] for event in by_path.events)
    devices = {mount.dev for mount in mounts()}
    certain = {procfs.file_at(path).dev for path in (there, str(program))} <= devices
    assert (forged["exe"], forged["exe_here"]) == (there, False if certain else None)
    assert (plain["exe"], plain["exe_here"]) == (str(program), True)
    assert forged["exe_file"] == plain["exe_file"]
    assert plain["exe_file"]["inode"] == program.stat().st_ino
    assert plain["exe_file"]["dev"] in devices
    assert plain["mntns"] == Path("/proc/self/ns/mnt").stat().st_ino != forged["mntns"]
    taken = [event["process"]["args"][-1] for event in by_file.events]
    assert taken == ["forged"] * certain + ["plain"]
    assert any(" true (not here) forged " in row for row in by_path.answer) == certain


@pytest.mark.native
def test_a_parent_whose_path_is_made_up(start):
    there = str(Path("/bin/true").resolve())
    tracer = start("--dst", WATCHED)
    send = f"(echo hello > /dev/udp/{WATCHED}/7079); true"
    forge = f"mount --bind /bin/bash {there}; exec {there} -c '{send}'"
    argv = ["unshare", "--mount", "--propagation", "private", "bash", "-c", forge]
    subprocess.run(argv, check=True, timeout=DEADLINE)
    (event,) = tracer.finish().events
    parent = event["process"]["parents"][0]
    devices = {mount.dev for mount in mounts()}
    certain = {procfs.file_at(path).dev for path in (there, "/bin/bash")} <= devices
    assert (parent["exe"], parent["exe_here"]) == (there, False if certain else None)


@pytest.mark.native
def test_the_program_of_a_process_from_before_in_another_mount_namespace(start):
    code = f"echo; read; echo x > /dev/udp/{WATCHED}/7078; read"
    argv = ["unshare", "--mount", "bash", "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline()
        mntns = Path(f"/proc/{process.pid}/ns/mnt").stat().st_ino
        tracer = start("--dst", WATCHED, "-c", "1")
        process.stdin.write(b"\n")
        process.stdin.flush()
        (event,) = tracer.finish(None).events
    assert event["process"]["exe_here"] is True
    assert event["process"]["exe_file"]["inode"] == Path("/bin/bash").stat().st_ino
    assert event["process"]["mntns"] == mntns


@pytest.mark.parametrize(("depth", "short_lived"), [(40, True), (120, True), (120, False)])
def test_a_deep_path_is_whole_or_null(start, program, tmp_path, depth, short_lived):
    folder = tmp_path.joinpath(*["d"] * depth)
    folder.mkdir(parents=True)
    deep = folder / "deep"
    tracer = start("--dst", WATCHED)
    if short_lived:
        deep.write_bytes(program.read_bytes())
        deep.chmod(0o755)
        with stopped(tracer):
            spawn(deep)
        (event,) = tracer.finish().events
        assert event["process"]["exe"] == (str(deep) if depth < 90 else None)
    else:
        deep.write_bytes(Path("/bin/bash").read_bytes())
        deep.chmod(0o755)
        with bash_told_to_send(deep) as process:
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
            assert process.stdout.readline() == "sent\n"
            wait_for(lambda: '"event":"send"' in tracer.log.read_text())
            (event,) = tracer.finish().events
            process.stdin.close()
        assert event["process"]["exe"] == str(deep)


def test_a_script_shows_its_interpreter_and_itself(start, tmp_path):
    script = tmp_path / "script"
    script.write_text(f"#!/bin/bash -p\necho x > /dev/udp/{WATCHED}/7074\n")
    script.chmod(0o755)
    tracer = start("--dst", WATCHED)
    subprocess.run([script, "argument"], check=True, timeout=DEADLINE)
    (event,) = tracer.finish().events
    assert event["process"]["comm"] == "script"
    assert event["process"]["exe"].endswith("/bash")
    assert event["process"]["args"] == ["/bin/bash", "-p", str(script), "argument"]


def test_arguments_beyond_four_kilobytes(start, program):
    tracer = start("--dst", WATCHED)
    spawn(program, "a" * 10_000)
    spawn(program, "b" * 100)
    long, short = (event["process"] for event in tracer.finish().events)
    assert (long["args_truncated"], short["args_truncated"]) == (True, False)
    whole = f"{program}\0{'a' * 10_000}"[:4096]
    assert "\0".join(long["args"]) == whole


def test_namespaces(start):
    """Its pid in its own pid namespace; its network namespace apart from the socket's."""
    tracer = start("--dst", WATCHED)
    code = (
        "import os,socket,ctypes\n"
        "sock = socket.socket(2, 2)\n"
        "assert ctypes.CDLL(None).unshare(0x40000000) == 0\n"
        f"sock.sendto(b'x', ('{WATCHED}', 7075))\n"
        "print(os.getpid(), os.stat('/proc/thread-self/ns/net').st_ino, flush=True)\n"
    )
    argv = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=DEADLINE)
    inner_pid, netns = map(int, said.stdout.split())
    (event,) = tracer.finish().events
    assert inner_pid == 1
    assert event["process"]["pidns_pid"] == 1
    assert event["process"]["pid"] != 1
    assert event["process"]["pidns"] != Path("/proc/self/ns/pid").stat().st_ino
    assert event["process"]["netns"] == netns
    assert event["socket"]["netns"] == Path("/proc/self/ns/net").stat().st_ino


def spawn_inside(cgroup, program):
    """Runs a program in a cgroup, to its end."""
    child = os.fork()
    if child == 0:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        os.execv(program, [str(program)])
    assert os.waitpid(child, 0)[1] == 0


def test_its_cgroup_tells_unit_and_container(start, program):
    root = the_cgroup2()
    unit = root / f"sockwatch-{os.getpid()}.service"
    folder = unit / f"docker-{A_CONTAINER}.scope"
    folder.mkdir(parents=True)
    try:
        tracer = start("--dst", WATCHED)
        spawn_inside(folder, program)
        spawn(program)
        inside, outside = (event["process"] for event in tracer.finish().events)
    finally:
        folder.rmdir()
        unit.rmdir()
    assert inside["cgroup"] == f"/{unit.name}/{folder.name}"
    assert inside["unit"] == unit.name
    assert inside["container"] == {
        "id": A_CONTAINER,
        "runtime": "docker",
        "pod": None,
        "user": None,
    }
    assert (outside["container"], outside["unit"]) == (None, None)


@pytest.mark.native
def test_a_cgroup_that_a_user_has_made_is_the_users(start, program):
    """In a folder that was given to that user."""
    unit = the_cgroup2() / f"sockwatch-{os.getpid()}.service"
    folder = unit / f"docker-{A_CONTAINER}.scope"
    unit.mkdir()
    os.chown(unit, 65534, 65534)
    folder.mkdir()
    try:
        tracer = start("--dst", WATCHED)
        spawn_inside(folder, program)
        (event,) = tracer.finish().events
    finally:
        folder.rmdir()
        unit.rmdir()
    who = event["process"]
    assert (who["unit"], who["container"]["id"]) == (unit.name, A_CONTAINER)
    assert who["container"]["user"] == 65534


@pytest.mark.native
def test_its_cgroup_where_v1_is_used(start):
    """Beside v2, or alone: what systemd made there, of a process that is still there."""
    mounts = Path("/proc/self/mountinfo").read_text()
    found = re.search(r"^\S+ \S+ \S+ / (\S+) .* - cgroup .*name=systemd", mounts, re.MULTILINE)
    if not found:
        pytest.skip("no v1 hierarchy of systemd's is mounted")
    folder = Path(found[1]) / f"sockwatch-{os.getpid()}.service"
    folder.mkdir()
    try:
        with talking("udp", WATCHED, "7077") as talker:
            (folder / "cgroup.procs").write_text(str(talker.said["pid"]))
            tracer = start("--dst", WATCHED)
            talker.talk()
            wait_for(lambda: '"event":"send"' in tracer.log.read_text())
            (event,) = tracer.finish().events
    finally:
        wait_for(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()
    assert (event["process"]["cgroup"], event["process"]["unit"]) == (
        f"/{folder.name}",
        folder.name,
    )


@pytest.mark.parametrize("connect", [True, False])
def test_a_process_from_before_that_sends_and_is_gone(start, connect):
    """Known where it was met before: by a socket with such a peer, or by its pid."""
    exe = os.path.realpath(sys.executable)
    options = ["connect"] if connect else []
    with talking("udp", WATCHED, "7076", *options) as talker:
        pid = talker.said["pid"]
        tracers = [
            start("--dst", WATCHED, "--exe", exe),
            start("--dst", WATCHED),
            start("--dst", WATCHED, "-p", str(pid)),
        ]
        with contextlib.ExitStack() as cleanup:
            for tracer in tracers:
                cleanup.enter_context(stopped(tracer))
            talker.talk()
            talker.end()
    by_exe, by_dst, by_pid = (tracer.finish() for tracer in tracers)
    (event,) = by_pid.events
    assert (event["process"]["exe"], event["process"]["pidns_pid"]) == (exe, pid)
    (event,) = by_dst.events
    assert event["process"]["exe"] == (exe if connect else None)
    # what cannot be decided is not passed over in silence
    assert len(by_exe.events) == connect
    assert (by_exe.stop["matched"], by_exe.stop["undecided"]) == (connect, not connect)


def test_who_had_logged_in(start, program):
    loginuid = Path("/proc/self/loginuid")
    if not loginuid.exists():
        pytest.skip("this kernel has no audit")
    tracer = start("--dst", WATCHED)
    child = os.fork()
    if child == 0:
        loginuid.write_text("1234")
        os.execv(program, [str(program)])
    assert os.waitpid(child, 0)[1] == 0
    (event,) = tracer.finish().events
    assert event["process"]["loginuid"] == 1234


def test_a_process_from_before(start):
    with talking("udp", WATCHED, "7076") as talker:
        tracer = start("--dst", WATCHED)
        talker.talk()
        (event,) = tracer.finish().events
        found = event["process"]
        pid = talker.said["pid"]
        assert found["exe"] == os.readlink(f"/proc/{pid}/exe")
        assert "\0".join(found["args"]) + "\0" == Path(f"/proc/{pid}/cmdline").read_text()
    assert found["parents"][0]["pid"] == os.getpid()
    pidns = Path("/proc/self/ns/pid").stat().st_ino
    assert (found["pidns"], found["pidns_pid"]) == (pidns, pid)
    assert found["cgroup"] is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", found["start_time"])
