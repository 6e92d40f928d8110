# SPDX-License-Identifier: Apache-2.0
"""The kernel's records as bytes: the mirror of bpf/event.h and the proof that they agree.

Everything is in the machine's own byte order except addresses (16 bytes, network
order). The assertions of :func:`layout_assertions` are compiled with every program,
so that a difference between the two files stops the tracer at its start.
"""

import enum
import struct
from typing import Annotated, Final, NamedTuple, get_type_hints

from tracer.filter.maps import FilterPart, Verdict
from tracer.model.flow import ERROR_NOT_OBSERVED, Bound, EventKind, NatEnd, Via
from tracer.model.process import ARGS_SIZE, COMM_LEN, NO_LOGINUID

PID_ELSEWHERE: Final = 1 << 31
EXE_SIZE: Final = 4096
ARGS_UNREADABLE: Final = 0xFFFFFFFF
EXE_DELETED: Final = 1
EXE_NAMELESS: Final = 2

# A field's type and its format (struct module); ``I4x`` has four bytes of padding behind it.
U8 = Annotated[int, "B"]
U16 = Annotated[int, "H"]
U32 = Annotated[int, "I"]
U64 = Annotated[int, "Q"]
S32 = Annotated[int, "i"]
InAddr = Annotated[bytes, "16s"]
Comm = Annotated[bytes, "16s"]


class ProcessEventKind(enum.IntEnum):
    """``enum process_event_kind``."""

    FORK = 1
    EXEC = 2
    EXIT = 3


class FlowRecord(NamedTuple):
    """``struct flow``."""

    start_time: U64
    cookie: U64
    cgroup: U64
    opener_start_time: U64
    saddr: InAddr
    daddr: InAddr
    hop: InAddr
    nat_saddr: InAddr
    pid: U32
    tid: U32
    ppid: U32
    uid: U32
    loginuid: U32
    exec_id: U32
    process_netns: U32
    netns: U32
    initial_pid: U32
    opener_pid: U32
    oif: U32
    mark: U32
    sock_uid: U32
    sport: U16
    dport: U16
    nat_sport: U16
    nat_dport: U16
    kind: U8
    proto: U8
    via: U8
    closed: U8
    bound: U8
    icmp_type: U8
    icmp_code: U8
    nat: U8
    iif: U32
    comm: Comm
    thread: Comm


class EventHead(NamedTuple):
    """``struct event`` before its flow: bytes sent and received, nanoseconds elapsed."""

    time: U64
    bytes: U64
    received: U64
    elapsed: U64
    segments: U32
    error: S32


class Aggregate(NamedTuple):
    """``struct aggregate``: events of one flow, aggregated."""

    events: U64
    bytes: U64
    received: U64
    elapsed: U64
    first: U64
    last: U64
    segments: U32
    error: S32


class ProcessEvent(NamedTuple):
    """``struct process_event``; fields that mean nothing for its kind are 0."""

    time: U64
    start_time: U64
    parent_start_time: U64
    forked_by_start_time: U64
    pid: U32
    ppid: U32
    forked_by: U32
    exec_id: U32
    pidns_pid: U32
    pidns: U32
    kind: Annotated[int, "I4x"]
    comm: Comm


class ExecEvent(NamedTuple):
    """The part of ``struct exec_event`` between its process and its text: the executable's file,
    sizes of its path and of all arguments."""

    exe_inode: U64
    exe_dev: U32
    mntns: U32
    exe_size: U32
    exe_flags: U32
    args_size: Annotated[int, "I4x"]


class TracersPids(NamedTuple):
    """``struct tracers_pids``."""

    inode: U32
    level: U32


class Counters(NamedTuple):
    """``struct counters``, one for each CPU."""

    datagrams: U64
    changes: U64
    matched: U64
    lost: U64
    unfinished: U64
    processes_lost: U64
    aggregated: U64
    unread: U64
    unfollowed: U64
    kernel_replies: U64
    received: U64
    received_lost: U64

    @property
    def seen(self) -> int:
        """The number of events that the hooks looked at, matching or not."""
        return self.datagrams + self.changes


def _formats(record: type) -> dict[str, str]:
    """Returns the format of each field of a struct, in order."""
    hints = get_type_hints(record, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def _format(record: type) -> str:
    return "".join(_formats(record).values())


FLOW: Final = struct.Struct(f"={_format(FlowRecord)}")
HEAD: Final = struct.Struct(f"={_format(EventHead)}")
EVENT_SIZE: Final = HEAD.size + FLOW.size
AGGREGATE: Final = struct.Struct(f"={_format(Aggregate)}")
PROCESS_EVENT: Final = struct.Struct(f"={_format(ProcessEvent)}")
EXEC: Final = struct.Struct(f"={_format(ExecEvent)}")
TRACERS_PIDS: Final = struct.Struct(f"={_format(TracersPids)}")
COUNTERS: Final = struct.Struct(f"={_format(Counters)}")

# One ring buffer entry: the ring's own header (length and flags, page offset), then
# struct event. Its tail, struct flow, stays bytes: these are the key of the flow table.
RING_ENTRY: Final = struct.Struct(f"=II{_format(EventHead)}{FLOW.size}s")

# What it unpacks to: header, page offset, time, bytes sent, bytes received, nanoseconds
# elapsed, segments, error, struct flow.
RingEntry = tuple[int, int, int, int, int, int, int, int, bytes]


def unpack_flow(tail: bytes) -> FlowRecord:
    """Returns the fields of ``struct flow``. Raises struct.error if ``tail`` has another size."""
    return FlowRecord._make(FLOW.unpack(tail))


def _offsets(name: str, record: type, start: int = 0) -> dict[str, int]:
    """Returns a C expression and its value for each field; the first field is at ``start``."""
    offsets, at = {}, start
    for field, field_format in _formats(record).items():
        offsets[f"__builtin_offsetof(struct {name}, {field})"] = at
        at += struct.calcsize(f"={field_format}")
    return offsets


def _enumerators(prefix: str, members: type[enum.IntEnum] | type[enum.IntFlag]) -> dict[str, int]:
    return {f"{prefix}_{member.name}": int(member) for member in members}


def layout_assertions() -> str:
    """Returns C text that does not compile unless bpf/event.h and this module agree."""
    expected = {
        **_offsets("flow", FlowRecord),
        **_offsets("event", EventHead),
        **_offsets("aggregate", Aggregate),
        **_offsets("process_event", ProcessEvent),
        **_offsets("exec_event", ExecEvent, PROCESS_EVENT.size),
        **_offsets("counters", Counters),
        **_offsets("tracers_pids", TracersPids),
        "__builtin_offsetof(struct event, flow)": HEAD.size,
        "__builtin_offsetof(struct exec_event, text)": PROCESS_EVENT.size + EXEC.size,
        "sizeof(struct process_event)": PROCESS_EVENT.size,
        "sizeof(struct aggregate)": AGGREGATE.size,
        "sizeof(struct flow)": FLOW.size,
        "sizeof(struct event)": EVENT_SIZE,
        "sizeof(struct counters)": COUNTERS.size,
        "sizeof(struct tracers_pids)": TRACERS_PIDS.size,
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
        **_enumerators("BOUND", Bound),
        **_enumerators("NAT", NatEnd),
        **_enumerators("PROCESS", ProcessEventKind),
        **_enumerators("FILTER", FilterPart),
        **{verdict.name: int(verdict) for verdict in Verdict},
    }
    return "".join(
        f'_Static_assert({expression} == {value}, "tracer/kernel/abi.py says {value}");\n'
        for expression, value in expected.items()
    )
