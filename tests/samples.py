# SPDX-License-Identifier: Apache-2.0
"""A flow, a process, a socket and a kernel's record to start from."""

from ipaddress import ip_address
from typing import Any

from tracer.kernel.abi import FLOW, FlowRecord
from tracer.model.flow import Endpoint, EventKind, Flow, Via
from tracer.model.process import NO_LOGINUID, Process
from tracer.model.socket import Socket
from tracer.trace.event import Event, TrackedFlow

_PROCESS = Process(
    pid=4321,
    tid=4322,
    comm="dig",
    thread="isc-net",
    exe="/usr/bin/dig",
    args=("dig", "@10.0.0.5", "x"),
    ppid=4200,
    uid=1000,
    user="ann",
    start_time=123,
)
_FLOW = Flow(
    kind=EventKind.SEND,
    proto="udp",
    via=Via.SOCKET,
    process=_PROCESS,
    src=Endpoint(ip_address("10.0.0.1"), 40001),
    dst=Endpoint(ip_address("10.0.0.5"), 53),
    cookie=18,
    netns=4026531833,
    interface=None,
)


_RECORD = FlowRecord(
    start_time=1,
    cookie=0,
    cgroup=0,
    opener_start_time=0,
    saddr=bytes(16),
    daddr=bytes(16),
    hop=bytes(16),
    nat_saddr=bytes(16),
    pid=1,
    tid=1,
    ppid=1,
    uid=0,
    loginuid=NO_LOGINUID,
    exec_id=1,
    process_netns=1,
    netns=1,
    initial_pid=1,
    opener_pid=0,
    oif=0,
    mark=0,
    sock_uid=0,
    sport=0,
    dport=53,
    nat_sport=0,
    nat_dport=0,
    kind=EventKind.SEND,
    proto=17,
    via=Via.SOCKET,
    closed=0,
    bound=0,
    icmp_type=0,
    icmp_code=0,
    nat=0,
    iif=0,
    comm=b"a",
    thread=b"a",
)

SOCKET = Socket(
    proto="udp",
    state="ESTAB",
    recv_q=0,
    send_q=0,
    src="10.0.0.1",
    sport=40001,
    dst="10.0.0.5",
    dport=53,
    uid=1000,
    inode=77,
    cookie=18,
    version=4,
    ifindex=0,
    netns=1,
    details=b"",
)


def flow_record(**changes: Any) -> FlowRecord:
    return _RECORD._replace(**changes)


def process(**changes: Any) -> Process:
    return _PROCESS._replace(**changes)


def event(a_flow: Flow = _FLOW, **changes: Any) -> Event:
    """Sent once, 10 bytes."""
    known = {"time": 0, "last_time": 0, "count": 1, "bytes": 10, "received": 0, "elapsed": 0,
             "segments": 1, "error": 0}  # fmt: skip
    return Event(**{**known, **changes}, tracked=TrackedFlow(a_flow, None))


def flow(**changes: Any) -> Flow:
    return _FLOW._replace(**changes)


def raw_flow(**changes: Any) -> bytes:
    """``struct flow`` as the kernel has it."""
    return FLOW.pack(*flow_record(**changes))
