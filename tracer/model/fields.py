# SPDX-License-Identifier: Apache-2.0
"""The one list of fields that the log, ``--json`` and the documentation share."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tracer.model.flow import Endpoint, Flow, Origin
from tracer.model.process import Process


class Field(NamedTuple):
    """A field of a log line: its path in the JSON object, and what it says.

    ``get`` reads it from a flow, ``of_process`` from the flow's process; both are absent for a
    value that differs between events of one flow.
    """

    path: str
    meaning: str
    get: Callable[[Flow, "Rendering"], Any] | None = None
    of_process: Callable[[Process, "Rendering"], Any] | None = None


class Rendering(NamedTuple):
    """What is needed besides a flow to render its line."""

    probe: str
    iso_start: Callable[[int], str]  # of a process: the text is the same every time
    name_of: Callable[[str], str | None] | None = None  # of an address, if names are wanted


def _attribute(name: str) -> Callable[[Process, Rendering], Any]:
    return lambda process, _: getattr(process, name)


def _of_socket(name: str) -> Callable[[Flow, Rendering], Any]:
    return lambda flow, _: flow.details and getattr(flow.details, name)


def _endpoint(end: Endpoint, rendering: Rendering) -> dict[str, Any]:
    shown = {"addr": end.addr and str(end.addr), "port": end.port, "zone": end.zone}
    return (
        shown | {"name": end.addr and rendering.name_of(str(end.addr))}
        if rendering.name_of
        else shown
    )


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


def _exe_file(process: Process, _: Rendering) -> dict[str, Any] | None:
    file = process.exe_file
    return file and {"dev": file.dev, "inode": file.inode}


def _start_boottime(process: Process, _: Rendering) -> float:
    return round(process.start_time / 1e9, 2)


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
    Field("count", "how many events this line stands for: more than 1 where they came too fast, or "
          "with `--summary`; of a `receive`, packets; of a `volume` 0; `bytes` are of all, "
          "`outcome` and `error` of the last"),
    Field("last_time", "when the last of them was; only where `count` is more than 1"),
    Field("segments", "datagrams that a GSO send is cut into, else 1"),
    Field("latency_us", "`connected`, `connect_failed`: microseconds since the attempt"),
    Field("bytes_received", "`close`, `volume`, `receive`: payload received, in the same time as "
          "`bytes`"),
    Field("duration", "`close`: seconds since it was established; null: before the start"),
    Field("bytes_since", "`close`: of `bytes`, what no line before tells of: the sum of these and "
          "of `volume` lines' `bytes` is what the connection sent while it was traced; null: not "
          "known"),
    Field("bytes_received_since", "the same of `bytes_received`"),
    Field("bytes_before", "`existing`: what a TCP connection had sent before; null: not known"),
    Field("bytes_received_before", "and what it had received"),
    Field("closed_by", "`close`: `process`, if that closed it, shut it down, or ended; null: no "
          "process was seen to (the other end, a timeout), and `process` is who opened it"),
    Field("opened_by", "`close`: who had connected or accepted: `pid`, `start_time`; null: not "
          "known"),
    Field("process", "who: null where no process is responsible or none is known"),
    Field("process.role", "`holds the device`: the process has written the packet into a tun or "
          "tap; only such a line has it"),
    Field("process.pid", "process id, as `ps` shows it here; null: it has none in the tracer's pid "
          "namespace", of_process=_attribute("pid")),
    Field("process.initial_pid", "and in the initial pid namespace: another one where the tracer "
          "is in a container; null: not known there", of_process=_attribute("initial_pid")),
    Field("process.tid", "id of the thread that sent", of_process=_attribute("tid")),
    Field("process.comm", "the process's name (its first thread's)", of_process=_attribute("comm")),
    Field("process.thread", "the sending thread's own name", of_process=_attribute("thread")),
    Field("process.exe", "path of its program, null if gone or not ours to read",
          of_process=_attribute("exe")),
    Field("process.exe_file", "that file, whatever path leads to it: `dev`, as `8:1`, and `inode`",
          of_process=_exe_file),
    Field("process.exe_here", "does `exe` lead to that file for the tracer, too? false: it is a "
          "path of another mount namespace, where a user may mount any file on it; null: not known",
          of_process=_attribute("exe_here")),
    Field("process.mntns", "inode of the mount namespace that `exe` is a path in",
          of_process=_attribute("mntns")),
    Field("process.args", "its arguments, null if it was gone", of_process=_attribute("args")),
    Field("process.args_truncated", "were there more than 4 KB of them, which are left out?",
          of_process=_attribute("args_truncated")),
    Field("process.ppid", "its parent's process id", of_process=_attribute("ppid")),
    Field("process.uid", "real user id", of_process=_attribute("uid")),
    Field("process.user", "that user's name, null if it has none", of_process=_attribute("user")),
    Field("process.loginuid", "who had logged in, for the audit system; null: nobody",
          of_process=_attribute("loginuid")),
    Field("process.start_time", "when it started, UTC, by the clock of that time (or of the "
          "tracer's start)", of_process=_start_time),
    Field("process.start_boottime", "the same in seconds since the boot, whatever the clock does: "
          "with the pid and the run's `boot_id`, its identity", of_process=_start_boottime),
    Field("process.parents", "its parent and so on up to init: `pid`, `comm`, `exe`, "
          "`exe_here`, and `script`: what an interpreter runs, as `/opt/job.sh`, `-m http.server`, "
          "`-c`; null: nothing, or not known",
          of_process=_parents),
    Field("process.cgroup", "path of its cgroup", of_process=_attribute("cgroup")),
    Field("process.unit", "its systemd unit, as `ssh.service`",
          of_process=lambda process, _: next(iter(process.units), None)),
    Field("process.container", "`id`, `runtime` (`docker`, `containerd`, `cri-o`, `podman`), `pod` "
          "(Kubernetes uid), `user` (uid of a user whose container it is, and whose word all that "
          "is; null: root has made it); null: in none", of_process=_container),
    Field("process.netns", "inode of its network namespace", of_process=_attribute("netns")),
    Field("process.pidns", "inode of its pid namespace", of_process=_attribute("pidns")),
    Field("process.pidns_pid", "its pid in there", of_process=_attribute("pidns_pid")),
    Field("process.holders", "all processes that hold the socket, if several: `pid`, `comm`, "
          "`exe`, `exe_here`", _holders),
    Field("src", "local `addr` and `port`; port null: none bound yet; `zone`: of a link-local IPv6 "
          "address, its interface, null: of any other, or not known",
          lambda flow, rendering: _endpoint(flow.src, rendering)),
    Field("dst", "remote `addr`, `port` and `zone`; null: the call named none. On a source route "
          "this is its end, and `hop`, which only such a line has, the next stop", _dst),
    Field("icmp.type", "type of an ICMP or ICMPv6 message; only its line has this and `icmp.code`"),
    Field("icmp.code", "and its code"),
    Field("nat.src", "what NAT made of `src`, as the packet has it; null: nothing, or not known, "
          "as of `connect` (its first packet comes later) and `accept`", _nat_end("src")),
    Field("nat.dst", "what NAT, or a program of the process's cgroup, made of `dst`, likewise",
          _nat_end("dst")),
    Field("via", "`socket`, `raw`, `packet` (or AF_XDP), `kernel`; `device`: the process wrote it "
          "into a tun or tap, or a rule copied what it sent; of a `forward`, the name of the "
          "device that it came by, null: not known", _via),
    Field("neighbour", "`forward`: who sent it to this machine, `addr` and `mac`, each null where "
          "it is not known; null: it did not come from a neighbour that is known"),
    Field("interface", "the device, for what the kernel itself sends",
          lambda flow, _: flow.interface),
    Field("socket.cookie", "the kernel's number for the socket (SO_COOKIE)",
          lambda flow, _: flow.cookie),
    Field("socket.netns", "inode of its network namespace", lambda flow, _: flow.netns or None),
    Field("socket.inode", "its number in `/proc/PID/fd`; this and what follows as it was when the "
          "flow began, null: it was gone", _of_socket("inode")),
    Field("socket.state", "as `ss` writes it", _of_socket("state")),
    Field("socket.uid", "its owner", _of_socket("uid")),
    Field("socket.cgroup", "path of the cgroup (v2) that it was made in", _of_socket("cgroup")),
    Field("socket.interface", "the device that it is bound to", _of_socket("interface")),
    Field("route", "the way it takes, as `ip route get` says it there for this socket: "
          "`interface`, `gateway`, `source`; null: not known", _route),
    Field("probe", "the probe that saw it", lambda _, rendering: rendering.probe),
)  # fmt: skip
