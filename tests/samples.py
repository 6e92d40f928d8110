# SPDX-License-Identifier: Apache-2.0
"""A flow and a process to start from."""

from ipaddress import ip_address
from typing import Any

from tracer.event import Endpoint, Flow, Process
from tracer.record import EventKind, Via

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


def process(**changes: Any) -> Process:
    return _PROCESS._replace(**changes)


def flow(**changes: Any) -> Flow:
    return _FLOW._replace(**changes)
