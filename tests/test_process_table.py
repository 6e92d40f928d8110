# SPDX-License-Identifier: Apache-2.0
"""The process table by itself; against real processes, see native/test_identity.py."""

import os
import subprocess

import pytest

from tests.samples import flow_record
from tracer.host import procfs
from tracer.kernel.abi import (
    ARGS_UNREADABLE,
    EXE_DELETED,
    EXE_NAMELESS,
    EXEC,
    PROCESS_EVENT,
    ProcessEventKind,
)
from tracer.model.process import ARGS_SIZE
from tracer.trace.process_table import GRACE, ProcessTable

SECOND = 1_000_000_000
NEVER = 4_000_000  # pids from here on are no process's


def event(kind, pid, time, *, start=None, exec_id=1, forker=(0, 0), comm=b"a"):
    start = time if start is None else start
    fields = (time, start, 1, forker[1], pid, 1, forker[0], exec_id, pid, 9, kind, comm)
    return PROCESS_EVENT.pack(*fields)


def fork(pid, time, forker, **more):
    return event(ProcessEventKind.FORK, pid, time, forker=forker, **more)


def executed(pid, time, names, args, *, flags=0, args_size=None, **more):
    text = b"".join(name + b"\0" for name in names)
    size = len(args) if args_size is None else args_size
    head = event(ProcessEventKind.EXEC, pid, time, **more)
    return head + EXEC.pack(77, 8 << 20 | 1, 4026531841, len(text), flags, size) + text + args


def ended(pid, time, start):
    return event(ProcessEventKind.EXIT, pid, time, start=start)


class Kernel(list):
    """What waits to be told."""

    def __call__(self):
        records = list(self)
        self.clear()
        return records


def told(*records):
    """A table that has learned that."""
    table = ProcessTable(Kernel(records))
    table.update()
    return table


def seen(table, pid, start, exec_id=1):
    return table.of(flow_record(pid=pid, start_time=start, exec_id=exec_id))


def test_a_program_of_the_kernels_telling():
    table = told(executed(NEVER, 5, [b"dig", b"bin", b"usr"], b"dig\0@10.0.0.5\0"))
    process = seen(table, NEVER, 5)
    assert (process.exe, process.args) == ("/usr/bin/dig", ("dig", "@10.0.0.5"))
    assert (process.args_truncated, process.pidns, process.pidns_pid) == (False, 9, NEVER)


def test_a_process_of_now_is_read_once(monkeypatch):
    read = []
    status = procfs.status
    monkeypatch.setattr(procfs, "status", lambda pid: read.append(pid) or status(pid))
    process = ProcessTable().now(os.getpid())
    assert process.ppid == os.getppid()
    assert process.pidns_pid == os.getpid()
    assert read.count(os.getpid()) == 1


def test_what_was_removed_or_has_no_name_says_so():
    table = told(
        executed(NEVER, 5, [b"x", b"tmp"], b"", flags=EXE_DELETED),
        executed(NEVER + 1, 5, [b"memfd:x"], b"", flags=EXE_NAMELESS),
        executed(NEVER + 2, 5, [], b"\xff\0", args_size=ARGS_UNREADABLE),
        executed(NEVER + 3, 5, [b"\xff"], b"a" * ARGS_SIZE, args_size=ARGS_SIZE + 1),
    )
    assert seen(table, NEVER, 5).exe == "/tmp/x (deleted)"
    assert seen(table, NEVER + 1, 5).exe == "/memfd:x (deleted)"
    assert (seen(table, NEVER + 2, 5).exe, seen(table, NEVER + 2, 5).args) == (None, None)
    assert seen(table, NEVER + 3, 5).exe == "/\\xff"
    assert seen(table, NEVER + 3, 5).args_truncated


def test_each_event_has_the_program_of_its_time():
    table = told(
        executed(NEVER, 5, [b"before"], b"", start=5, exec_id=1),
        fork(NEVER + 1, 6, (NEVER, 5), exec_id=1),
        executed(NEVER, 7, [b"after"], b"", start=5, exec_id=2),
        fork(NEVER + 2, 8, (NEVER, 5), exec_id=2),
    )
    assert [seen(table, NEVER, 5, n).exe for n in (1, 2)] == ["/before", "/after"]
    assert seen(table, NEVER + 1, 6, 1).exe == "/before"
    assert seen(table, NEVER + 2, 8, 2).exe == "/after"


def test_a_recycled_pid_in_the_same_tick():
    table = told(
        executed(NEVER, 5, [b"first"], b""),
        ended(NEVER, 6, 5),
        executed(NEVER, 7, [b"second"], b""),
    )
    assert [seen(table, NEVER, start).exe for start in (5, 7, 8)] == ["/first", "/second", None]


def test_a_hundred_thousand_short_lives_leave_nothing():
    table = ProcessTable(kernel := Kernel())
    most = 0
    for number in range(100_000):
        time = SECOND + number * 1_000_000  # a millisecond each
        pid = NEVER + number % 1000
        kernel += [
            fork(pid, time, (NEVER - 1, 1)),
            executed(pid, time + 1, [b"x"], b"x\0", start=time),
            ended(pid, time + 2, time),
        ]
        table.update()
        table.forget(time)
        most = max(most, len(table._entries), len(table._dead), len(table._living))
    assert most <= GRACE // 1_000_000 + 3
    table.forget(time + 2 * GRACE)
    assert (len(table._entries), len(table._living)) == (0, 0)


def test_the_own_process_from_proc():
    table = ProcessTable()
    process = table.now(os.getpid())
    assert process.exe == os.readlink("/proc/self/exe")
    assert process.parents[0].pid == os.getppid()
    assert process.parents[-1].pid == 1
    assert process.start_time == procfs.stat(os.getpid())[1]
    assert table.now(NEVER) is None


def described_with_arguments(pid):
    """For a moment after the exec there is nothing to be read: unknown, and not none at all."""
    looks = (ProcessTable().now(pid) for _ in range(100_000))
    return next(one for one in looks if one.args is not None)


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "100"])
    described_with_arguments(process.pid)
    yield process
    process.kill()
    process.wait()


def test_a_process_from_before_that_is_gone_by_its_first_event(sleeper):
    """What /proc said of it was found by a time in clock ticks."""
    table = ProcessTable()
    start = table.now(sleeper.pid).start_time
    sleeper.kill()
    sleeper.wait()
    assert seen(table, sleeper.pid, start + 1, exec_id=7).args == ("sleep", "100")
    assert seen(table, sleeper.pid, start + procfs.NS_PER_TICK, exec_id=7).args is None


def test_what_it_runs_by_now_is_not_what_it_ran(sleeper):
    """An exec that has not been learned yet when /proc is read."""
    _, start = procfs.stat(sleeper.pid)
    table = ProcessTable(kernel := Kernel())
    kernel.append(executed(sleeper.pid, 9, [b"sleep", b"bin"], b"", start=start + 1, exec_id=8))
    assert seen(table, sleeper.pid, start + 1, exec_id=7).exe is None
    table.update()
    assert [seen(table, sleeper.pid, start + 1, n).exe for n in (7, 8)] == [None, "/bin/sleep"]


def test_many_programs_of_one_process():
    table = told(
        *(executed(NEVER, 5, [b"%d" % n], b"", start=5, exec_id=n) for n in range(1, 1001))
    )
    assert [seen(table, NEVER, 5, n).exe for n in (1, 999, 1000)] == [None, "/999", "/1000"]
    assert len(table._entries[NEVER, 5].programs) < 20


def test_arguments_of_a_process_from_before_are_cut_too():
    with subprocess.Popen(["sleep", *["0"] * 4000, "100"]) as process:
        found = described_with_arguments(process.pid)
        process.kill()
    assert found.args_truncated
    assert sum(map(len, found.args)) + len(found.args) <= ARGS_SIZE + 1


def test_a_process_that_has_ended_is_remembered_for_a_while():
    """Until no event of its is still to come."""
    start, end = 5, 1000
    table = told(executed(NEVER, start, [b"dig"], b"", start=start), ended(NEVER, end, start))
    for before, exe in ((end + GRACE, "/dig"), (end + GRACE + 1, None)):
        table.forget(before)
        table.update()
        assert seen(table, NEVER, start).exe == exe


def test_the_source_is_read_while_a_large_batch_is_described():
    """What it gives is learned with the next batch only."""
    table = ProcessTable(kernel := Kernel())
    kernel.append(executed(NEVER + 999, 5, [b"dig"], b"", start=5))
    for pid in range(NEVER, NEVER + 300):
        seen(table, pid, 5)
        kernel.append(ended(pid, 9, 5))
        assert len(kernel) <= 128
    assert seen(table, NEVER + 999, 5).exe is None
    table.update()
    assert seen(table, NEVER + 999, 5).exe == "/dig"


def test_processes_whose_end_was_not_told(sleeper):
    table = told(executed(NEVER, 5, [b"gone"], b""))
    alive = table.now(sleeper.pid)
    table.look_for_the_dead(SECOND)
    table.forget(SECOND + 2 * GRACE)
    assert (seen(table, NEVER, 5).exe, list(table._living)) == (None, [sleeper.pid, *others(alive)])


def others(process):
    """Its parents, which were looked at, too."""
    return [parent.pid for parent in process.parents]
