# SPDX-License-Identifier: Apache-2.0
"""The nouns, and the one list of fields that the log, ``--json`` and the README share."""

import errno
import functools
import json
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, NamedTuple

from tracer.model import record
from tracer.model.record import EventKind, FlowRecord, Via

Address = IPv4Address | IPv6Address

_NO_ADDRESS: Final = bytes(16)
IPV4_MAPPED: Final = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 2.5.5.2

_PROTO_NAMES: Final = {
    record.IPPROTO_UDP: "udp",
    record.IPPROTO_UDPLITE: "udplite",
    record.IPPROTO_TCP: "tcp",
}
# ``outcome`` of what worked; an attempt's is told by a later event
_OUTCOMES: Final = {
    EventKind.SEND: "sent",
    EventKind.CONNECT: None,
    EventKind.CONNECTED: "connected",
    EventKind.ACCEPT: "accepted",
    EventKind.CLOSE: "closed",
    EventKind.EXISTING: None,
}


class Endpoint(NamedTuple):
    """An address with a port; each is None where it is not known or not bound yet."""

    addr: Address | None
    port: int | None

    def __str__(self) -> str:
        return self.shown(lambda _: None)

    def shown(self, name_of: Callable[[str], str | None]) -> str:
        """With the address's name, if it has one."""
        addr = "*" if self.addr is None else str(self.addr)
        port = "*" if self.port is None else self.port
        name = name_of(addr) if self.addr else None
        return f"[{addr}]:{port}" if ":" in addr and not name else f"{name or addr}:{port}"


class Parent(NamedTuple):
    """One of a process's ancestors; None: not known."""

    pid: int | None
    comm: str | None
    exe: str | None


class Container(NamedTuple):
    """A container by its full id; ``runtime`` is docker, containerd, cri-o or podman, ``pod`` a
    Kubernetes pod's uid."""

    id: str
    runtime: str | None
    pod: str | None


class Process(NamedTuple):
    """A process, as (pid, start time) names it, and the thread of it that acted.

    ``start_time`` is in nanoseconds of CLOCK_BOOTTIME, cut to the clock ticks that /proc counts in.
    ``exe`` ends with `` (deleted)`` where its file has been removed or replaced. What could not be
    found out is None. ``pid``, ``tid`` and ``ppid`` are those of the tracer's pid namespace, None
    where it has none there; ``initial_pid`` is the initial one's. ``netns`` and ``pidns`` are
    inodes, ``pidns_pid`` is its pid inside the latter; ``units`` are systemd's, outermost first.
    """

    pid: int | None
    tid: int | None
    comm: str
    thread: str
    exe: str | None
    args: tuple[str, ...] | None
    ppid: int | None
    uid: int
    user: str | None
    start_time: int
    args_truncated: bool = False
    loginuid: int | None = None
    netns: int | None = None
    pidns: int | None = None
    pidns_pid: int | None = None
    cgroup: str | None = None
    units: tuple[str, ...] = ()
    container: Container | None = None
    parents: tuple[Parent, ...] = ()
    initial_pid: int | None = None

    @property
    def identity(self) -> tuple[int | None, int | None, int, str]:
        """Which process it was, and under which name."""
        return self.pid, self.initial_pid, self.start_time, self.comm


class Holder(NamedTuple):
    """A process that holds a socket; None: gone, or not ours to see."""

    pid: int
    comm: str | None
    exe: str | None


class SocketDetails(NamedTuple):
    """What netlink said of a flow's socket when the flow began; ``interface`` is the device
    that the socket is bound to, ``cgroup`` the one that it was made in."""

    inode: int | None
    state: str
    uid: int | None
    cgroup: str | None
    interface: str | None


class Route(NamedTuple):
    """Which way the kernel would send; ``source`` is the address that an unbound socket gets."""

    interface: str
    gateway: Address | None
    source: Address | None


class Flow(NamedTuple):
    """What is the same for every event with the same bytes in ``struct flow``. What was not found
    out is None."""

    kind: EventKind
    proto: str
    via: Via
    process: Process | None
    src: Endpoint
    dst: Endpoint
    cookie: int | None
    netns: int
    interface: str | None
    details: SocketDetails | None = None
    holders: tuple[Holder, ...] | None = None
    route: Route | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those of both ends, as text."""
        return tuple(str(end.addr) for end in (self.src, self.dst) if end.addr)

    @property
    def sender(self) -> str:
        """The process's name; where there is none, the device or ``unknown``, in brackets."""
        return self.process.comm if self.process else f"[{self.interface or 'unknown'}]"


class Field(NamedTuple):
    """A field of a log line: its path in the JSON object, and what it says.

    ``get`` tells it of a flow, ``of_process`` of its process; both are absent for what differs
    between events of one flow.
    """

    path: str
    meaning: str
    get: Callable[[Flow, "Rendering"], Any] | None = None
    of_process: Callable[[Process, "Rendering"], Any] | None = None


# The head of an event: bytes sent, bytes received, nanoseconds elapsed, segments, and error
# (an errno, 0 or ERROR_NOT_OBSERVED).
Observed = tuple[int, int, int, int, int]


class Rendering(NamedTuple):
    """What a line needs besides its flow."""

    probe: str
    iso_start: Callable[[int], str]  # of a process: the same text whenever it is made
    name_of: Callable[[str], str | None] | None = None  # of an address, if names are wanted


def _attribute(name: str) -> Callable[[Process, Rendering], Any]:
    return lambda process, _: getattr(process, name)


def _of_socket(name: str) -> Callable[[Flow, Rendering], Any]:
    return lambda flow, _: flow.details and getattr(flow.details, name)


def _endpoint(end: Endpoint, rendering: Rendering) -> dict[str, Any]:
    shown = {"addr": end.addr and str(end.addr), "port": end.port}
    return (
        shown | {"name": end.addr and rendering.name_of(str(end.addr))}
        if rendering.name_of
        else shown
    )


def _holders(flow: Flow, _: Rendering) -> list[dict[str, Any]] | None:
    return [holder._asdict() for holder in flow.holders] if flow.holders else None


def _parents(process: Process, _: Rendering) -> list[dict[str, Any]]:
    return [parent._asdict() for parent in process.parents]


def _container(process: Process, _: Rendering) -> dict[str, str | None] | None:
    return process.container._asdict() if process.container else None


def _route(flow: Flow, _: Rendering) -> dict[str, str | None] | None:
    return flow.route and {
        name: value and str(value) for name, value in flow.route._asdict().items()
    }


def _start_time(process: Process, rendering: Rendering) -> str:
    return rendering.iso_start(process.start_time)


FIELDS: Final = (
    Field("time", "when, UTC, to the nanosecond"),
    Field("event", "`send`; `connect` (attempt), `connected`, `connect_failed`, `accept`, `close`; "
          "`existing`",
          lambda flow, _: flow.kind.name.lower()),
    Field("proto", "`udp`, `udplite` or `tcp`", lambda flow, _: flow.proto),
    Field("outcome", "`sent`, `connected`, `accepted`, `closed`, `failed`, or null: not known"),
    Field("error", "the error's name, as `ECONNREFUSED`, or null"),
    Field("bytes", "payload that the kernel accepted; of a `close`, in the connection's life"),
    Field("count", "how many events this line stands for: more than 1 where they came too fast, or "
          "with `--summary`; `bytes` are of all, `outcome` and `error` of the last"),
    Field("last_time", "when the last of them was; only where `count` is more than 1"),
    Field("segments", "datagrams that a GSO send is cut into, else 1"),
    Field("latency_us", "`connected`, `connect_failed`: microseconds since the attempt"),
    Field("bytes_received", "`close`: payload received"),
    Field("duration", "`close`: seconds since it was established"),
    Field("process", "who: null where no process is responsible or none is known"),
    Field("process.pid", "process id, as `ps` shows it here; null: it has none in the tracer's pid "
          "namespace", of_process=_attribute("pid")),
    Field("process.initial_pid", "and in the initial pid namespace: another one where the tracer "
          "is in a container; null: not known there", of_process=_attribute("initial_pid")),
    Field("process.tid", "id of the thread that sent", of_process=_attribute("tid")),
    Field("process.comm", "the process's name (its first thread's)", of_process=_attribute("comm")),
    Field("process.thread", "the sending thread's own name", of_process=_attribute("thread")),
    Field("process.exe", "path of its program, null if gone or not ours to read",
          of_process=_attribute("exe")),
    Field("process.args", "its arguments, null if it was gone", of_process=_attribute("args")),
    Field("process.args_truncated", "were there more than 4 KB of them, which are left out?",
          of_process=_attribute("args_truncated")),
    Field("process.ppid", "its parent's process id", of_process=_attribute("ppid")),
    Field("process.uid", "real user id", of_process=_attribute("uid")),
    Field("process.user", "that user's name, null if it has none", of_process=_attribute("user")),
    Field("process.loginuid", "who had logged in, for the audit system; null: nobody",
          of_process=_attribute("loginuid")),
    Field("process.start_time", "when it started, UTC: with the pid, its identity",
          of_process=_start_time),
    Field("process.parents", "its parent and so on up to init: `pid`, `comm`, `exe`",
          of_process=_parents),
    Field("process.cgroup", "path of its cgroup", of_process=_attribute("cgroup")),
    Field("process.unit", "its systemd unit, as `ssh.service`",
          of_process=lambda process, _: next(iter(process.units), None)),
    Field("process.container", "`id`, `runtime` (`docker`, `containerd`, `cri-o`, `podman`), `pod` "
          "(Kubernetes uid); null: in none", of_process=_container),
    Field("process.netns", "inode of its network namespace", of_process=_attribute("netns")),
    Field("process.pidns", "inode of its pid namespace", of_process=_attribute("pidns")),
    Field("process.pidns_pid", "its pid in there", of_process=_attribute("pidns_pid")),
    Field("process.holders", "all processes that hold the socket, if several: `pid`, `comm`, `exe`",
          _holders),
    Field("src", "local `addr` and `port`; port null: none bound yet",
          lambda flow, rendering: _endpoint(flow.src, rendering)),
    Field("dst", "remote `addr` and `port`; null: the call named none",
          lambda flow, rendering: _endpoint(flow.dst, rendering)),
    Field("via", "`socket`, `raw`, `packet` or `kernel`", lambda flow, _: flow.via.name.lower()),
    Field("interface", "the device, for what the kernel itself sends",
          lambda flow, _: flow.interface),
    Field("socket.cookie", "the kernel's number for the socket (SO_COOKIE)",
          lambda flow, _: flow.cookie),
    Field("socket.netns", "inode of its network namespace", lambda flow, _: flow.netns),
    Field("socket.inode", "its number in `/proc/PID/fd`; this and what follows as it was when the "
          "flow began, null: it was gone", _of_socket("inode")),
    Field("socket.state", "as `ss` writes it", _of_socket("state")),
    Field("socket.uid", "its owner", _of_socket("uid")),
    Field("socket.cgroup", "path of the cgroup (v2) that it was made in", _of_socket("cgroup")),
    Field("socket.interface", "the device that it is bound to", _of_socket("interface")),
    Field("route", "what `ip route get` says there: `interface`, `gateway`, `source`", _route),
    Field("probe", "the rung that saw it", lambda _, rendering: rendering.probe),
)  # fmt: skip


# of those fields that a flow has: the path, parted into parent and name, and get
_OF_FLOW: Final = [(*field.path.rpartition(".")[::2], field.get) for field in FIELDS if field.get]
_OF_PROCESS: Final = [
    (field.path.removeprefix("process."), field.of_process) for field in FIELDS if field.of_process
]
_MOST_PROCESSES: Final = 512  # whose text is kept, for flows to come


class Line:
    """A flow's log line, rendered once: only what differs is put in for each event."""

    def __init__(self, flow: Flow, rendering: Rendering) -> None:
        fixed = _nested(flow, rendering)
        head = {name: fixed.pop(name) for name in ("event", "proto")}
        process = "null"
        more_of_process = to_json(fixed.pop("process"))[1:]
        if flow.process:
            process = f"{_process_json(flow.process, rendering)[:-1]},{more_of_process}"
        self._kind = flow.kind
        self._before = '",' + to_json(head)[1:-1] + ","
        self._after = f',"process":{process},{to_json(fixed)[1:]}\n'

    def text(self, time: str, observed: Observed, count: int, last_time: str = "") -> str:
        """The whole line; the times, of the first event and of the last, are text."""
        size, received, elapsed, segments, error = observed
        last = f'"last_time":"{last_time}",' if count > 1 else ""
        return (
            f'{{"time":"{time}{self._before}{outcome_json(self._kind, error)},"bytes":{size},'
            f'"count":{count},{last}"segments":{segments}'
            f"{_life(self._kind, received, elapsed)}{self._after}"
        )


def _life(kind: EventKind, received: int, elapsed: int) -> str:
    """What only some kinds of events have; ``elapsed`` is in nanoseconds."""
    if kind is EventKind.CLOSE:
        return f',"bytes_received":{received},"duration":{elapsed / 1e9:.6f}'
    if kind in (EventKind.CONNECTED, EventKind.CONNECT_FAILED):
        return f',"latency_us":{elapsed // 1000}'
    return ""


def _nested(flow: Flow, rendering: Rendering) -> dict[str, Any]:
    """The flow's own fields as the JSON object that they make."""
    line: dict[str, Any] = {}
    for parent, name, get in _OF_FLOW:
        place = line.setdefault(parent, {}) if parent else line
        place[name] = get(flow, rendering)
    return line


@functools.lru_cache(_MOST_PROCESSES)
def _process_json(process: Process, rendering: Rendering) -> str:
    """A process's fields: the same for all of its flows."""
    return to_json({name: get(process, rendering) for name, get in _OF_PROCESS})


_encode: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def to_json(value: Any) -> str:
    """One line of pure ASCII, without spaces: safe for any terminal and any parser."""
    return _encode(value)


def error_name(error: int) -> str | None:
    """``ECONNREFUSED`` for 111; None for success or where it is not known."""
    return errno.errorcode.get(error, str(error)) if error > 0 else None


def outcome(kind: EventKind, error: int) -> str | None:
    """What became of it, as the log's ``outcome``."""
    if error > 0 or kind is EventKind.CONNECT_FAILED:
        return "failed"
    return None if error == record.ERROR_NOT_OBSERVED else _OUTCOMES[kind]


@functools.cache  # bounded: seven kinds, some 130 errors
def outcome_json(kind: EventKind, error: int) -> str:
    """The fields ``outcome`` and ``error`` of a line."""
    return to_json({"outcome": outcome(kind, error), "error": error_name(error)})[1:-1]


def address(raw: bytes) -> Address | None:
    """From bytes in network order: 4, or 16 of which IPv4-mapped ones are IPv4; none, or 16 that
    are all zero, is unknown."""
    if raw in (b"", _NO_ADDRESS):
        return None
    if len(raw) == 4:
        return IPv4Address(raw)
    return IPv4Address(raw[12:]) if raw[:12] == IPV4_MAPPED else IPv6Address(raw)


def text(raw: bytes) -> str:
    """A name from the kernel: up to its NUL, with escapes for bytes that are not UTF-8."""
    return raw.partition(b"\0")[0].decode(errors="backslashreplace")


def flow_from_record(fields: FlowRecord, process: Process | None) -> Flow:
    """The kernel's record with what user space found out."""
    via = Via(fields.via)
    return Flow(
        kind=EventKind(fields.kind),
        proto=_PROTO_NAMES[fields.proto],
        via=via,
        process=process,
        src=Endpoint(address(fields.saddr), fields.sport or None),
        dst=Endpoint(address(fields.daddr), fields.dport or None),
        cookie=fields.cookie or None,
        netns=fields.netns,
        interface=(text(fields.comm) or None) if via is Via.KERNEL else None,
    )
