# SPDX-License-Identifier: Apache-2.0
"""The one list of fields that the log, ``--json`` and the documentation share."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tracer.model.flow import Endpoint, Flow, Origin
from tracer.model.process import Process

LEFT_OUT: Final = object()


class Field(NamedTuple):
    """A field of an event's line: its path in the JSON object, and what it says.

    ``get`` reads it from a flow, ``of_process`` from the flow's process; both are absent for a
    value that differs between events of one flow. A ``sparse`` one is left out where it is null;
    LEFT_OUT stands for a value that is.
    """

    path: str
    meaning: str
    get: Callable[[Flow, "Rendering"], Any] | None = None
    of_process: Callable[[Process, "Rendering"], Any] | None = None
    sparse: bool = False


class ProcessField(NamedTuple):
    """A field of a ``process`` line's ``process``, and what it says."""

    name: str
    meaning: str
    get: Callable[[Process, "Rendering"], Any]


class Rendering(NamedTuple):
    """What is needed besides a flow to render its line."""

    run: str  # its id
    iso_start: Callable[[int], str]  # of a process: the text is the same every time
    name_of: Callable[[str], str | None] | None = None  # of an address, if names are wanted


def _attribute(name: str) -> Callable[[Process, Rendering], Any]:
    return lambda process, _: getattr(process, name)


def _of_socket(name: str) -> Callable[[Flow, Rendering], Any]:
    return lambda flow, _: flow.details and getattr(flow.details, name)


def _of_socket_alone(name: str) -> Callable[[Flow, Rendering], Any]:
    """Returns what reads a part of a socket that is found, unless its process has the same."""

    def get(flow: Flow, _: Rendering) -> Any:
        if flow.details is None:
            return LEFT_OUT
        found = getattr(flow.details, name)
        return LEFT_OUT if flow.process and found == getattr(flow.process, name) else found

    return get


def _endpoint(end: Endpoint, rendering: Rendering) -> dict[str, Any]:
    shown: dict[str, Any] = {"addr": end.addr and str(end.addr), "port": end.port}
    if end.zone:
        shown["zone"] = end.zone
    name = rendering.name_of and end.addr and rendering.name_of(str(end.addr))
    return shown | {"name": name} if name else shown


def _dst(flow: Flow, rendering: Rendering) -> dict[str, Any]:
    hop = {"hop": str(flow.hop)} if flow.hop else {}
    return _endpoint(flow.dst, rendering) | hop


def _via(flow: Flow, _: Rendering) -> str | None:
    return flow.origin.device if flow.origin else flow.via.name.lower()


def neighbour(origin: Origin) -> dict[str, str | None] | None:
    """Returns the field of that name, which only a ``forward`` has."""
    one = origin.neighbour
    return one and {"addr": str(one.addr) if one.addr else None, "mac": one.mac}


def _nat_end(name: str) -> Callable[[Flow, Rendering], Any]:
    def get(flow: Flow, rendering: Rendering) -> dict[str, Any] | None:
        end = getattr(flow.nat, name)
        return end and _endpoint(end, rendering)

    return get


def end_of_life(flow: Flow, rendering: Rendering) -> dict[str, Any]:
    """Returns the fields of a flow that only its ``close`` has."""
    opener = flow.opener
    return {
        "closed_by": "process" if flow.closed else None,
        "opened_by": opener
        and {"pid": opener.pid, "start_time": rendering.iso_start(opener.start_time)},
    }


def before_start(flow: Flow) -> dict[str, int | None]:
    """Returns the fields of a flow that only its ``existing`` has."""
    sent, received = flow.before or (None, None)
    return {"bytes_before": sent, "bytes_received_before": received}


def _holders(flow: Flow, _: Rendering) -> list[dict[str, Any]] | None:
    return [holder._asdict() for holder in flow.holders] if flow.holders else None


def _role(flow: Flow, _: Rendering) -> str | None:
    return flow.role


def _route(flow: Flow, _: Rendering) -> dict[str, str] | None:
    return flow.route and {
        name: str(value) for name, value in flow.route._asdict().items() if value
    }


def _first_args(process: Process, _: Rendering) -> tuple[str, ...] | None:
    return first_args(process.args) if process.args else process.args


def first_args(args: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the first ARGS_BYTES of the arguments, the last of them cut."""
    found, room = [], ARGS_BYTES
    for arg in args:
        if room <= 0:
            break
        whole = arg.encode(errors="surrogatepass")
        found.append(arg if len(whole) <= room else _cut(whole, room))
        room -= len(whole)
    return tuple(found)


def _cut(text: bytes, size: int) -> str:
    """Returns the characters that fit in so many bytes; ``text`` is longer."""
    while text[size] & 0xC0 == 0x80:  # a character goes on here: UTF-8
        size -= 1
    return text[:size].decode(errors="surrogatepass")


def _are_args_cut(process: Process, rendering: Rendering) -> bool | None:
    return process.args_truncated or _first_args(process, rendering) != process.args or None


def _parent(process: Process, _: Rendering) -> str | None:
    return process.parents[0].comm if process.parents else None


def _container_id(process: Process, _: Rendering) -> dict[str, str] | None:
    return {"id": process.container.id} if process.container else None


def _tid(process: Process, _: Rendering) -> int | None:
    return process.tid if process.tid != process.pid else None


def _thread(process: Process, _: Rendering) -> str | None:
    return process.thread if process.thread != process.comm else None


def _parents(process: Process, _: Rendering) -> list[dict[str, Any]]:
    return [parent._asdict() for parent in process.parents]


def _container(process: Process, _: Rendering) -> dict[str, str | None] | None:
    return process.container._asdict() if process.container else None


def _unit(process: Process, _: Rendering) -> str | None:
    return next(iter(process.units), None)


def _start_time(process: Process, rendering: Rendering) -> str:
    return rendering.iso_start(process.start_time)


def _exe_file(process: Process, _: Rendering) -> dict[str, Any] | None:
    file = process.exe_file
    return file and {"dev": file.dev, "inode": file.inode}


def _start_boottime(process: Process, _: Rendering) -> float:
    return round(process.start_time / 1e9, 2)


ARGS_BYTES: Final = 200  # of the arguments, that an event's line has

# What a ``lost`` line counts, each since the last such line.
LOSSES: Final = ("lost", "received_lost", "processes_lost", "unfollowed", "skipped", "unread")

FIELDS: Final = (
    Field("time", "when, UTC, to the nanosecond"),
    Field("event", "`send`; `connect` (attempt), `connected`, `connect_failed`, `accept`, `close`; "
          "`existing`; `forward`: a packet that this machine hands on for others; `volume`: what "
          "a flow has moved, of which no line has told; `receive`: what came for a socket that had "
          "sent nothing there",
          lambda flow, _: flow.kind.name.lower()),
    Field("proto", "the protocol below IP, by its name in Debian's `/etc/protocols` (`udp`, `tcp`, "
          "`icmp`, `ipv6-icmp`, `sctp`, …), or its number: `253`", lambda flow, _: flow.proto),
    Field("outcome", "`sent`, `connected`, `accepted`, `closed`, `failed`, `forwarded`, or null: "
          "not known"),
    Field("error", "the error's name, as `ECONNREFUSED`, or null"),
    Field("bytes", "payload that the kernel accepted, without the header of UDP, UDP-Lite, TCP, "
          "ICMP (8 bytes), SCTP (12 bytes; the chunks count) or DCCP; of any other protocol, and "
          "where a packet is too short for that header, all that is below IP; of a `close`, in "
          "the connection's life; of a `volume`, since the flow's line before; "
          "of a `receive` 0"),
    Field("count", "how many events this line stands for: more than 1 where a flow has more than "
          "20 in a second, where they came too fast, or with `--summary`; of a `receive`, packets; "
          "of a `volume` 0; `bytes` are of all, `outcome` and `error` of the last"),
    Field("last_time", "when the last of them was; only where `count` is more than 1"),
    Field("segments", "datagrams that a GSO send is cut into; only where there are several"),
    Field("latency_us", "`connected`, `connect_failed`: microseconds since the attempt"),
    Field("bytes_received", "`close`, `volume`, `receive`: payload received, in the same time as "
          "`bytes`"),
    Field("duration", "`close`: seconds since it was established; null: before the start"),
    Field("bytes_since", "`close`: of `bytes`, what no line before tells of: the sum of these and "
          "of `volume` lines' `bytes` is what the connection sent while it was traced; null: not "
          "known"),
    Field("bytes_received_since", "the same of `bytes_received`"),
    Field("process", "who: null where no process is responsible or none is known"),
    Field("process.id", "the number of its `process` line, which this file has before this one"),
    Field("process.pid", "process id, as `ps` shows it here; null: it has none in the tracer's pid "
          "namespace", of_process=_attribute("pid")),
    Field("process.start_time", "when it started, UTC, by the clock of that time (or of the "
          "tracer's start)", of_process=_start_time),
    Field("process.comm", "its name (its first thread's)", of_process=_attribute("comm")),
    Field("process.exe", "path of its program, null if gone or not ours to read",
          of_process=_attribute("exe")),
    Field("process.args", "its arguments, the first 200 bytes; null if it was gone",
          of_process=_first_args),
    Field("process.args_truncated", "true: it has more", of_process=_are_args_cut, sparse=True),
    Field("process.parent", "its parent's name", of_process=_parent),
    Field("process.uid", "real user id", of_process=_attribute("uid")),
    Field("process.user", "that user's name, null if it has none", of_process=_attribute("user")),
    Field("process.unit", "its systemd unit, as `ssh.service`", of_process=_unit),
    Field("process.container", "its container's `id`, if it is in one", of_process=_container_id,
          sparse=True),
    Field("process.tid", "id of the thread that acted, if that is not the first", of_process=_tid,
          sparse=True),
    Field("process.thread", "that thread's name, if it has one of its own", of_process=_thread,
          sparse=True),
    Field("process.role", "`holds the device`: the process has written the packet into a tun or "
          "tap", _role, sparse=True),
    Field("process.holders", "all processes that hold the socket, if several: `pid`, `comm`, "
          "`exe`, `exe_here`", _holders, sparse=True),
    Field("dst", "remote `addr`, `port` and, of a link-local IPv6 address, `zone`: its interface; "
          "null: the call named none. On a source route this is its end, and `hop` the next stop; "
          "`name`: with `--log-names`, that of the address", _dst),
    Field("via", "`socket`, `raw`, `packet` (or AF_XDP), `kernel`; `device`: the process wrote it "
          "into a tun or tap, or a rule copied what it sent; of a `forward`, the name of the "
          "device that it came by, null: not known", _via),
    Field("nat.src", "what NAT made of `src`, as the packet has it; not known of `connect` (its "
          "first packet comes later) and `accept`", _nat_end("src"), sparse=True),
    Field("nat.dst", "what NAT, or a program of the process's cgroup, made of `dst`, likewise",
          _nat_end("dst"), sparse=True),
    Field("neighbour", "`forward`: who sent it to this machine, `addr` and `mac`, each null where "
          "it is not known; null: it did not come from a neighbour that is known"),
    Field("icmp.type", "type of an ICMP or ICMPv6 message; only its line has this and `icmp.code`"),
    Field("icmp.code", "and its code"),
    Field("interface", "the device, for what the kernel itself sends",
          lambda flow, _: flow.interface, sparse=True),
    Field("route", "the way it takes, as `ip route get` says it there for this socket: "
          "`interface`, `gateway`, `source`, each where there is one", _route, sparse=True),
    Field("closed_by", "`close`: `process`, if that closed it, shut it down, or ended; null: no "
          "process was seen to (the other end, a timeout), and `process` is who opened it"),
    Field("opened_by", "`close`: who had connected or accepted: `pid`, `start_time`; null: not "
          "known"),
    Field("bytes_before", "`existing`: what a TCP connection had sent before; null: not known"),
    Field("bytes_received_before", "and what it had received"),
    Field("src", "local `addr` and `port`; port null: none bound yet; `zone` and `name` as of "
          "`dst`", lambda flow, rendering: _endpoint(flow.src, rendering)),
    Field("socket.cookie", "the kernel's number for the socket (SO_COOKIE)",
          lambda flow, _: flow.cookie),
    Field("socket.netns", "inode of its network namespace", lambda flow, _: flow.netns or None),
    Field("socket.inode", "its number in `/proc/PID/fd`; this and what follows as it was when the "
          "flow began, if it was not gone", _of_socket("inode"), sparse=True),
    Field("socket.state", "as `ss` writes it", _of_socket("state"), sparse=True),
    Field("socket.uid", "its owner; left out if that is the process's user",
          _of_socket_alone("uid")),
    Field("socket.cgroup", "path of the cgroup (v2) that it was made in, null: not known; left out "
          "if that is the process's", _of_socket_alone("cgroup")),
    Field("socket.interface", "the device that it is bound to", _of_socket("interface"),
          sparse=True),
    Field("run", "the id of the run that wrote it", lambda _, rendering: rendering.run),
)  # fmt: skip

PROCESS_FIELDS: Final = (
    ProcessField("pid", "process id, as `ps` shows it here; null: it has none in the tracer's pid "
                 "namespace", _attribute("pid")),
    ProcessField("initial_pid", "and in the initial pid namespace: another one where the tracer "
                 "is in a container; null: not known there", _attribute("initial_pid")),
    ProcessField("comm", "its name (its first thread's)", _attribute("comm")),
    ProcessField("exe", "path of its program, null if gone or not ours to read", _attribute("exe")),
    ProcessField("exe_file", "that file, whatever path leads to it: `dev`, as `8:1`, and `inode`",
                 _exe_file),
    ProcessField("exe_here", "does `exe` lead to that file for the tracer, too? false: it is a "
                 "path of another mount namespace, where a user may mount any file on it; null: "
                 "not known", _attribute("exe_here")),
    ProcessField("mntns", "inode of the mount namespace that `exe` is a path in",
                 _attribute("mntns")),
    ProcessField("args", "its arguments, null if it was gone", _attribute("args")),
    ProcessField("args_truncated", "were there more than 4 KB of them, which are left out?",
                 _attribute("args_truncated")),
    ProcessField("ppid", "its parent's process id", _attribute("ppid")),
    ProcessField("uid", "real user id", _attribute("uid")),
    ProcessField("user", "that user's name, null if it has none", _attribute("user")),
    ProcessField("loginuid", "who had logged in, for the audit system; null: nobody",
                 _attribute("loginuid")),
    ProcessField("start_time", "when it started, UTC, by the clock of that time (or of the "
                 "tracer's start)", _start_time),
    ProcessField("start_boottime", "the same in seconds since the boot, whatever the clock does: "
                 "with the pid and the run's `boot_id`, its identity", _start_boottime),
    ProcessField("parents", "its parent and so on up to init: `pid`, `comm`, `exe`, "
                 "`exe_here`, and `script`: what an interpreter runs, as `/opt/job.sh`, "
                 "`-m http.server`, `-c`; null: nothing, or not known", _parents),
    ProcessField("cgroup", "path of its cgroup", _attribute("cgroup")),
    ProcessField("unit", "its systemd unit, as `ssh.service`", _unit),
    ProcessField("container", "`id`, `runtime` (`docker`, `containerd`, `cri-o`, `podman`), `pod` "
                 "(Kubernetes uid), `user` (uid of a user whose container it is, and whose word "
                 "all that is; null: root has made it); null: in none", _container),
    ProcessField("netns", "inode of its network namespace", _attribute("netns")),
    ProcessField("pidns", "inode of its pid namespace", _attribute("pidns")),
    ProcessField("pidns_pid", "its pid in there", _attribute("pidns_pid")),
)  # fmt: skip
