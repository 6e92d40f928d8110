# SPDX-License-Identifier: Apache-2.0
"""Open Cybersecurity Schema Framework: the class Network Activity (4001).
https://schema.ocsf.io/1.6.0/classes/network_activity"""

import re
from collections.abc import Iterator
from typing import Any, Final

from tracer.report.schemas.event import Event
from tracer.report.schemas.mapping import (
    Kinds,
    Row,
    constant,
    copied,
    is_number,
    is_text,
    nested,
    of_end,
)

VERSION: Final = "1.6.0"
CLASS: Final = 4001
_OPEN, _CLOSE, _FAIL, _REFUSE, _TRAFFIC, _OTHER = 1, 2, 4, 5, 6, 99
_ACTIVITIES: Final = {
    "connected": _OPEN,
    "accept": _OPEN,
    "close": _CLOSE,
    "connect": _OTHER,
    "existing": _OTHER,
}
_UNKNOWN, _SUCCESS, _FAILURE = 0, 1, 2  # a status
_INBOUND, _OUTBOUND = 1, 2
_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

KINDS: Final[Kinds] = {
    "boolean_t": lambda value: type(value) is bool,
    "integer_t": is_number,
    "long_t": is_number,
    "timestamp_t": is_number,
    "port_t": lambda value: is_number(value) and value < 1 << 16,
    "object": lambda value: isinstance(value, dict),
    **dict.fromkeys(
        ("string_t", "ip_t", "hostname_t", "uuid_t", "file_name_t", "file_path_t",
         "process_name_t", "username_t"),
        is_text,
    ),
}  # fmt: skip


def convert(line: dict[str, Any], *, no_args: bool = False) -> dict[str, Any]:
    """Returns an event of the log as an OCSF event. Raises ValueError, KeyError or TypeError if it
    is damaged."""
    return nested(ROWS, KINDS, Event(line, no_args=no_args))


def _activity(event: Event) -> int:
    if event.kind == "connect_failed" or (event.kind == "connect" and event["error"]):
        return _REFUSE if event["error"] == "ECONNREFUSED" else _FAIL
    return _ACTIVITIES.get(event.kind, _TRAFFIC)


def _activity_name(event: Event) -> str | None:
    return event.kind if _activity(event) == _OTHER else None


def _status(event: Event) -> int:
    outcome = event["outcome"]
    return _UNKNOWN if outcome is None else _FAILURE if outcome == "failed" else _SUCCESS


def _direction(event: Event) -> int:
    return _INBOUND if event.is_incoming else _OUTBOUND if event.is_outgoing else _UNKNOWN


def _profiles(event: Event) -> list[str] | None:
    used = ["host"] if event["process"] or event["host"] else []
    return [*used, *(["container"] if event["process.container"] else [])] or None


def _pod(event: Event) -> str | None:
    """A static pod's uid is no UUID in form."""
    pod = event["process.container.pod"]
    return pod if pod and _UUID.fullmatch(pod) else None


def _parent(name: str) -> Any:
    """Returns what reads the parent process; one without a pid is left out."""

    def get(event: Event) -> Any:
        return event.parent.get(name) if event.parent.get("pid") is not None else None

    return get


def _hostname(end: str) -> Any:
    """Returns what reads the host's name, if that end is this machine's."""

    def get(event: Event) -> Any:
        return event["host.name"] if getattr(event, end).is_here else None

    return get


def _duration(event: Event) -> int | None:
    return None if event.duration is None else event.duration // 10**6


def _of_ends() -> Iterator[Row]:
    for target, end in (("src_endpoint", "source"), ("dst_endpoint", "destination")):
        for name, kind, source, get in (
            ("ip", "ip_t", "its address", lambda one: one.addr),
            ("port", "port_t", "its port", lambda one: one.port if one.addr else None),
            ("domain", "string_t", "its name, with `--log-names`", lambda one: one.name),
        ):
            yield of_end(f"{target}.{name}", kind, end, source, get)
        yield Row(
            f"{target}.hostname", "hostname_t", "`host.name`, of this machine's end", _hostname(end)
        )


ROWS: Final = (
    constant("category_uid", "integer_t", CLASS // 1000),
    constant("class_uid", "integer_t", CLASS),
    Row("activity_id", "integer_t", "1 of `connected` and `accept`, 2 of `close`, 5 of a failure "
        "to connect with `ECONNREFUSED`, 4 of another, 99 of `connect` and `existing`, 6 of all "
        "else", _activity),
    Row("activity_name", "string_t", "`event`, where that is 99", _activity_name),
    Row("type_uid", "long_t", "`class_uid` times 100, and `activity_id`",
        lambda event: CLASS * 100 + _activity(event)),
    constant("severity_id", "integer_t", 1),
    Row("time", "timestamp_t", "`time`, in milliseconds", lambda event: event.milliseconds("time")),
    Row("start_time", "timestamp_t", "the same, where `count` is more than 1",
        lambda event: event.milliseconds("time") if event.is_aggregated else None),
    Row("end_time", "timestamp_t", "`last_time`, in milliseconds",
        lambda event: event.milliseconds("last_time")),
    Row("duration", "long_t", "`duration` or `latency_us`, in milliseconds", _duration),
    Row("count", "integer_t", "`count`, if it is more than 1",
        lambda event: event["count"] if event.is_aggregated else None),
    Row("status_id", "integer_t", "2 of `failed`, 1 of any other `outcome`, 0 of null", _status),
    copied("status_code", "string_t", "error"),
    constant("metadata.version", "string_t", VERSION),
    constant("metadata.product.name", "string_t", "sockwatch"),
    constant("metadata.product.vendor_name", "string_t", "sockwatch"),
    Row("metadata.profiles", "string_t[]", "`host`, where the process or the machine is known, "
        "`container` in one", _profiles),
    copied("metadata.event_code", "string_t", "event"),
    copied("metadata.original_time", "string_t", "time"),
    copied("metadata.correlation_uid", "string_t", "run"),
    Row("is_src_dst_assignment_known", "boolean_t", "of `connect`, `connected`, `connect_failed` "
        "and `accept`, true: what is `src_endpoint` has opened it",
        lambda event: event.client is not None),
    *_of_ends(),
    Row("connection_info.direction_id", "integer_t", "2 of `send`, `connect`, `connected` and "
        "`connect_failed`, 1 of `accept` and `receive`, else 0", _direction),
    Row("connection_info.protocol_num", "integer_t", "the number of `proto`",
        lambda event: event.protocol),
    Row("connection_info.protocol_name", "string_t", "`proto`, where it has a name",
        lambda event: event.transport),
    Row("connection_info.protocol_ver_id", "integer_t", "4 or 6", lambda event: event.version),
    Row("connection_info.uid", "string_t", "`socket.cookie`",
        lambda event: None if event["socket.cookie"] is None else str(event["socket.cookie"])),
    of_end("traffic.bytes_out", "long_t", "source", "what the source has sent: `bytes`, or "
           "`bytes_received`; of a `close`, `bytes_since`, `bytes_received_since`",
           lambda one: one.bytes),
    of_end("traffic.bytes_in", "long_t", "destination", "and the destination",
           lambda one: one.bytes),
    Row("traffic.bytes", "long_t", "the sum, if both are known", lambda event: event.moved),
    of_end("traffic.packets_out", "long_t", "source", "`count` of a `receive` or `forward`",
           lambda one: one.packets),
    copied("device.hostname", "hostname_t", "host.name"),
    copied("device.uid", "string_t", "host.machine_id"),
    copied("device.boot_uid", "string_t", "host.boot_id"),
    Row("device.type_id", "integer_t", "0, with these", lambda event: 0 if event["host"] else None),
    Row("actor.process.uid", "string_t", "boot, pid and `process.start_boottime`",
        lambda event: event.process_id),
    copied("actor.process.pid", "integer_t", "process.pid"),
    copied("actor.process.namespace_pid", "integer_t", "process.pidns_pid"),
    copied("actor.process.tid", "integer_t", "process.tid"),
    copied("actor.process.name", "process_name_t", "process.comm"),
    Row("actor.process.cmd_line", "string_t", "`process.args` as a shell takes them, if all are "
        "there", lambda event: event.command_line),
    Row("actor.process.created_time", "timestamp_t", "`process.start_time`, in milliseconds",
        lambda event: event.milliseconds("process.start_time")),
    copied("actor.process.file.path", "file_path_t", "process.exe"),
    Row("actor.process.file.name", "file_name_t", "its file name", lambda event: event.exe_name),
    Row("actor.process.file.type_id", "integer_t", "1, with these",
        lambda event: 1 if event["process.exe"] else None),
    Row("actor.process.user.uid", "string_t", "`process.uid`",
        lambda event: None if event["process.uid"] is None else str(event["process.uid"])),
    copied("actor.process.user.name", "username_t", "process.user"),
    Row("actor.process.parent_process.pid", "integer_t", "`pid` of the first of "
        "`process.parents`", _parent("pid")),
    Row("actor.process.parent_process.name", "process_name_t", "its `comm`", _parent("comm")),
    Row("actor.process.parent_process.path", "string_t", "its `exe`", _parent("exe")),
    copied("actor.process.container.uid", "string_t", "process.container.id"),
    copied("actor.process.container.runtime", "string_t", "process.container.runtime"),
    Row("actor.process.container.pod_uuid", "uuid_t", "`process.container.pod`, if it is a UUID",
        _pod),
    copied("unmapped.unit", "string_t", "process.unit"),
    copied("unmapped.role", "string_t", "process.role"),
    Row("unmapped.nat", "object", "`nat`, where there is any",
        lambda event: event["nat"] if event["nat.src"] or event["nat.dst"] else None),
    copied("unmapped.icmp", "object", "icmp"),
    copied("unmapped.via", "string_t", "via"),
    copied("unmapped.src_zone", "string_t", "src.zone"),
    copied("unmapped.dst_zone", "string_t", "dst.zone"),
)  # fmt: skip
