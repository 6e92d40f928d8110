# SPDX-License-Identifier: Apache-2.0
"""A process as an event or /proc shows it, before anything is looked up."""

from typing import NamedTuple

from tracer.kernel.abi import PID_ELSEWHERE, FlowRecord
from tracer.model.process import text


class Sighting(NamedTuple):
    """One sighting. ``exec_id`` None: what it runs now; ``cgroup_id`` None: only /proc knows."""

    pid: int  # this and the next two as in ``struct flow``
    tid: int
    ppid: int
    initial_pid: int | None
    start_time: int
    comm: str
    thread: str
    uid: int
    loginuid: int
    netns: int | None
    exec_id: int | None
    cgroup_id: int | None


def of_record(fields: FlowRecord) -> Sighting:
    """Returns the sighting of the process that a record names."""
    return Sighting(
        pid=fields.pid,
        tid=fields.tid,
        ppid=fields.ppid,
        initial_pid=fields.initial_pid,
        start_time=fields.start_time,
        comm=text(fields.comm),
        thread=text(fields.thread),
        uid=fields.uid,
        loginuid=fields.loginuid,
        netns=fields.process_netns,
        exec_id=fields.exec_id,
        cgroup_id=fields.cgroup,
    )


def pid_here(pid: int) -> int | None:
    """Returns a pid of the kernel's records; None if it is outside of our pid namespace."""
    return None if pid & PID_ELSEWHERE else pid
