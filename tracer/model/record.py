# SPDX-License-Identifier: Apache-2.0
"""The kernel's records as bytes: the mirror of bpf/event.h and the proof that they agree.

Everything is in the machine's own byte order but for addresses (16 bytes, network
order). The assertions of :func:`layout_assertions` are compiled with every program,
so that a difference between the two files stops the tracer at its start.
"""

import enum
import struct
from typing import Final, NamedTuple


class EventKind(enum.IntEnum):
    """``enum event_kind``."""

    SEND = 1
    CONNECT = 2
    CONNECTED = 3
    CONNECT_FAILED = 4
    ACCEPT = 5
    CLOSE = 6
    EXISTING = 7


class Via(enum.IntEnum):
    """``enum via``: how a datagram reached the network layer."""

    SOCKET = 1
    RAW = 2
    PACKET = 3
    KERNEL = 4


class FilterPart(enum.IntFlag):
    """``enum filter_part``: which parts of the filter are in use."""

    DST = 1 << 0
    SRC = 1 << 1
    DPORT = 1 << 2
    SPORT = 1 << 3
    PID = 1 << 4
    UID = 1 << 5
    COMM = 1 << 6
    NETNS = 1 << 7
    NO_IPV4 = 1 << 8
    NO_IPV6 = 1 << 9
    NO_UDP = 1 << 10
    NO_TCP = 1 << 11
    FAILED = 1 << 12
    ACCEPT = 1 << 13
    FOLLOW = 1 << 14
    SUMMARY = 1 << 15


class ProcessEventKind(enum.IntEnum):
    """``enum process_event_kind``."""

    FORK = 1
    EXEC = 2
    EXIT = 3


ERROR_NOT_OBSERVED: Final = -1
COMM_LEN: Final = 16
NO_LOGINUID: Final = 0xFFFFFFFF
PID_ELSEWHERE: Final = 1 << 31
EXE_SIZE: Final = 4096
ARGS_SIZE: Final = 4096
ARGS_UNREADABLE: Final = 0xFFFFFFFF
EXE_DELETED: Final = 1
EXE_NAMELESS: Final = 2
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_UDPLITE: Final = 136


class FlowRecord(NamedTuple):
    """``struct flow``, field by field (``pad`` left out)."""

    start_time: int
    cookie: int
    cgroup: int
    saddr: bytes
    daddr: bytes
    pid: int
    tid: int
    ppid: int
    uid: int
    loginuid: int
    exec_id: int
    process_netns: int
    netns: int
    initial_pid: int
    sport: int
    dport: int
    kind: int
    proto: int
    via: int
    comm: bytes
    thread: bytes


# field: struct format, in the order of struct flow
_FLOW_FORMATS: Final = {
    "start_time": "Q",
    "cookie": "Q",
    "cgroup": "Q",
    "saddr": "16s",
    "daddr": "16s",
    "pid": "I",
    "tid": "I",
    "ppid": "I",
    "uid": "I",
    "loginuid": "I",
    "exec_id": "I",
    "process_netns": "I",
    "netns": "I",
    "initial_pid": "I",
    "sport": "H",
    "dport": "H",
    "kind": "B",
    "proto": "B",
    "via": "B",
    "pad": "5x",
    "comm": "16s",
    "thread": "16s",
}
_HEAD_FORMATS: Final = {
    "time": "Q",
    "bytes": "Q",
    "received": "Q",
    "elapsed": "Q",
    "segments": "I",
    "error": "i",
}

FLOW: Final = struct.Struct("=" + "".join(_FLOW_FORMATS.values()))
HEAD: Final = struct.Struct("=" + "".join(_HEAD_FORMATS.values()))
EVENT_SIZE: Final = HEAD.size + FLOW.size

# One ring buffer entry: the ring's own header (length and flags, page offset), then
# struct event with its tail, struct flow, kept as bytes: the key of the flow table.
RING_ENTRY: Final = struct.Struct("=II" + "".join(_HEAD_FORMATS.values()) + f"{FLOW.size}s")

# What it unpacks to: header, page offset, time, bytes sent, bytes received, nanoseconds
# elapsed, segments, error, struct flow.
RingEntry = tuple[int, int, int, int, int, int, int, int, bytes]


class Coalesced(NamedTuple):
    """``struct coalesced``: events of one flow, counted together."""

    events: int
    bytes: int
    received: int
    elapsed: int
    first: int
    last: int
    segments: int
    error: int


_COALESCED_FORMATS: Final = {
    "events": "Q",
    "bytes": "Q",
    "received": "Q",
    "elapsed": "Q",
    "first": "Q",
    "last": "Q",
    "segments": "I",
    "error": "i",
}
COALESCED: Final = struct.Struct("=" + "".join(_COALESCED_FORMATS.values()))


class ProcessEvent(NamedTuple):
    """``struct process_event``; what has no meaning for its kind is 0."""

    time: int
    start_time: int
    parent_start_time: int
    forked_by_start_time: int
    pid: int
    ppid: int
    forked_by: int
    exec_id: int
    pidns_pid: int
    pidns: int
    kind: int
    comm: bytes


_PROCESS_FORMATS: Final = {
    "time": "Q",
    "start_time": "Q",
    "parent_start_time": "Q",
    "forked_by_start_time": "Q",
    "pid": "I",
    "ppid": "I",
    "forked_by": "I",
    "exec_id": "I",
    "pidns_pid": "I",
    "pidns": "I",
    "kind": "I",
    "pad": "4x",
    "comm": "16s",
}
PROCESS_EVENT: Final = struct.Struct("=" + "".join(_PROCESS_FORMATS.values()))
# struct exec_event between its process and its text: sizes of the path and of all arguments
_EXEC_FORMATS: Final = {"exe_size": "I", "exe_flags": "I", "args_size": "I", "pad": "4x"}
EXEC: Final = struct.Struct("=" + "".join(_EXEC_FORMATS.values()))


_TRACERS_PIDS_FORMATS: Final = {"inode": "I", "level": "I"}
TRACERS_PIDS: Final = struct.Struct("=" + "".join(_TRACERS_PIDS_FORMATS.values()))


class Counters(NamedTuple):
    """``struct counters``, summed over the CPUs."""

    datagrams: int
    changes: int
    matched: int
    lost: int
    unfinished: int
    processes_lost: int
    coalesced: int

    @property
    def seen(self) -> int:
        """What the hooks looked at, matching or not."""
        return self.datagrams + self.changes


# one for each CPU
_COUNTER_FORMATS: Final = dict.fromkeys(Counters._fields, "Q")
COUNTERS: Final = struct.Struct("=" + "".join(_COUNTER_FORMATS.values()))


def unpack_flow(tail: bytes) -> FlowRecord:
    """The fields of ``struct flow``. ``tail`` must have its size, else struct.error."""
    return FlowRecord._make(FLOW.unpack(tail))


def _offsets(struct_name: str, formats: dict[str, str], start: int = 0) -> dict[str, int]:
    """C expression and value for each of the fields, the first of which is at ``start``."""
    offsets, at = {}, start
    for name, field_format in formats.items():
        offsets[f"__builtin_offsetof(struct {struct_name}, {name})"] = at
        at += struct.calcsize("=" + field_format)
    return offsets


def _enumerators(prefix: str, members: type[enum.IntEnum] | type[enum.IntFlag]) -> dict[str, int]:
    return {f"{prefix}_{member.name}": int(member) for member in members}


def layout_assertions() -> str:
    """C text that does not compile unless bpf/event.h and this module agree."""
    expected = {
        **_offsets("flow", _FLOW_FORMATS),
        **_offsets("event", _HEAD_FORMATS | {"flow": ""}),
        **_offsets("coalesced", _COALESCED_FORMATS),
        **_offsets("process_event", _PROCESS_FORMATS),
        **_offsets("exec_event", _EXEC_FORMATS | {"text": ""}, PROCESS_EVENT.size),
        **_offsets("counters", _COUNTER_FORMATS),
        **_offsets("tracers_pids", _TRACERS_PIDS_FORMATS),
        "sizeof(struct process_event)": PROCESS_EVENT.size,
        "sizeof(struct coalesced)": COALESCED.size,
        "sizeof(struct flow)": FLOW.size,
        "sizeof(struct event)": EVENT_SIZE,
        "sizeof(struct counters)": COUNTERS.size,
        "ERROR_NOT_OBSERVED": ERROR_NOT_OBSERVED,
        "COMM_LEN": COMM_LEN,
        "NO_LOGINUID": NO_LOGINUID,
        "PID_ELSEWHERE": PID_ELSEWHERE,
        "EXE_SIZE": EXE_SIZE,
        "ARGS_SIZE": ARGS_SIZE,
        "ARGS_UNREADABLE": ARGS_UNREADABLE,
        "EXE_DELETED": EXE_DELETED,
        "EXE_NAMELESS": EXE_NAMELESS,
        **_enumerators("EVENT", EventKind),
        **_enumerators("VIA", Via),
        **_enumerators("PROCESS", ProcessEventKind),
        **_enumerators("FILTER", FilterPart),
    }
    return "".join(
        f'_Static_assert({expression} == {value}, "tracer/model/record.py says {value}");\n'
        for expression, value in expected.items()
    )
