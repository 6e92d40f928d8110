# SPDX-License-Identifier: Apache-2.0
"""Elastic Common Schema. https://www.elastic.co/docs/reference/ecs"""

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
    is_time,
    nested,
    of_end,
)

VERSION: Final = "8.11.0"
_STAGES: Final = {"connected": ["start"], "accept": ["start"], "close": ["end"]}
_WITHOUT_OUTCOME: Final = ("existing", "volume", "receive")

KINDS: Final[Kinds] = {
    "date": is_time,
    "keyword": is_text,
    "ip": is_text,
    "long": is_number,
}


def convert(line: dict[str, Any], *, no_args: bool = False) -> dict[str, Any]:
    """Returns an event of the log as an ECS document. Raises ValueError, KeyError or TypeError if
    it is damaged."""
    return nested(ROWS, KINDS, Event(line, no_args=no_args))


def _type(event: Event) -> list[str]:
    """``connection`` has ports, says ECS."""
    kind = "connection" if event.has_ports else "info"
    return [kind, *_STAGES.get(event.kind, [])]


def _outcome(event: Event) -> str | None:
    outcome = event["outcome"]
    if outcome is None:
        return None if event.kind in _WITHOUT_OUTCOME else "unknown"
    return "failure" if outcome == "failed" else "success"


def _direction(event: Event) -> str:
    return "ingress" if event.is_incoming else "egress" if event.is_outgoing else "unknown"


def _distinct(*values: Any) -> list[Any] | None:
    return list(dict.fromkeys(value for value in values if value is not None)) or None


def _addresses(event: Event) -> list[str] | None:
    ends = event.source, event.destination
    return _distinct(*(addr for end in ends for addr in (end.addr, end.nat_addr)))


def _text(path: str) -> Any:
    """Returns what reads a number as a keyword."""

    def get(event: Event) -> str | None:
        value = event[path]
        return None if value is None else str(value)

    return get


def _of_ends() -> Iterator[Row]:
    for end in ("source", "destination"):
        for name, kind, source, get in (
            ("address", "keyword", "its address, with its zone", lambda one: one.host),
            ("ip", "ip", "its address", lambda one: one.addr),
            ("port", "long", "its port", lambda one: one.port),
            ("domain", "keyword", "its name, with `--log-names`", lambda one: one.name),
            ("bytes", "long", "what it has sent: `bytes`, `bytes_received`; of a `close`, "
             "`bytes_since`, `bytes_received_since`", lambda one: one.bytes),
            ("nat.ip", "ip", "what NAT made of its address", lambda one: one.nat_addr),
            ("nat.port", "long", "what NAT made of its port", lambda one: one.nat_port),
        ):  # fmt: skip
            yield of_end(f"{end}.{name}", kind, end, source, get)
    for end in ("client", "server"):
        source = (
            "the same of who connects, and of the other end: of `connect`, `connected`, "
            "`connect_failed` and `accept`"
        )
        for name, kind, get in (
            ("address", "keyword", lambda one: one.host),
            ("ip", "ip", lambda one: one.addr),
            ("port", "long", lambda one: one.port),
        ):
            yield of_end(f"{end}.{name}", kind, end, source, get)


ROWS: Final = (
    copied("@timestamp", "date", "time"),
    constant("ecs.version", "keyword", VERSION),
    constant("event.kind", "keyword", "event"),
    constant("event.category", "keyword[]", ["network"]),
    Row("event.type", "keyword[]", "`connection`, or `info` where the protocol has no ports; with "
        "`start` (`connected`, `accept`), or `end` (`close`)", _type),
    copied("event.action", "keyword", "event"),
    Row("event.outcome", "keyword", "`failure` of `failed`, `success` of any other `outcome`, else "
        "`unknown`, but none of `existing`, `volume` and `receive`", _outcome),
    constant("event.module", "keyword", "sockwatch"),
    constant("event.dataset", "keyword", "sockwatch.events"),
    Row("event.start", "date", "`time`, where `count` is more than 1",
        lambda event: event["time"] if event.is_aggregated else None),
    copied("event.end", "date", "last_time"),
    Row("event.duration", "long", "`duration` or `latency_us`, in nanoseconds",
        lambda event: event.duration),
    copied("error.code", "keyword", "error"),
    copied("host.name", "keyword", "host.name"),
    copied("host.hostname", "keyword", "host.name"),
    copied("host.id", "keyword", "host.machine_id"),
    copied("host.boot.id", "keyword", "host.boot_id"),
    Row("network.transport", "keyword", "`proto`, where it has a name",
        lambda event: event.transport),
    Row("network.iana_number", "keyword", "the number of `proto`",
        lambda event: str(event.protocol)),
    Row("network.type", "keyword", "`ipv4` or `ipv6`",
        lambda event: event.version and f"ipv{event.version}"),
    Row("network.direction", "keyword", "`egress` of `send`, `connect`, `connected` and "
        "`connect_failed`, `ingress` of `accept` and `receive`, else `unknown`", _direction),
    Row("network.bytes", "long", "what both ends have sent, if that is known",
        lambda event: event.moved),
    *_of_ends(),
    of_end("source.packets", "long", "source", "`count` of a `receive` or `forward`",
           lambda one: one.packets),
    Row("observer.ingress.interface.name", "keyword", "`via` of a `forward`",
        lambda event: event["via"] if event.kind == "forward" else None),
    Row("process.entity_id", "keyword", "boot, pid and `process.start_boottime`",
        lambda event: event.process_id),
    copied("process.pid", "long", "process.pid"),
    copied("process.vpid", "long", "process.pidns_pid"),
    copied("process.name", "keyword", "process.comm"),
    copied("process.executable", "keyword", "process.exe"),
    Row("process.args", "keyword[]", "`process.args`", lambda event: event.args),
    Row("process.args_count", "long", "how many `process.args` there are, if all are there",
        lambda event: event.number_of_args),
    copied("process.start", "date", "process.start_time"),
    copied("process.thread.id", "long", "process.tid"),
    copied("process.thread.name", "keyword", "process.thread"),
    Row("process.parent.pid", "long", "`pid` of the first of `process.parents`",
        lambda event: event.parent.get("pid")),
    Row("process.parent.name", "keyword", "its `comm`", lambda event: event.parent.get("comm")),
    Row("process.parent.executable", "keyword", "its `exe`",
        lambda event: event.parent.get("exe")),
    Row("process.real_user.id", "keyword", "`process.uid`", _text("process.uid")),
    copied("process.real_user.name", "keyword", "process.user"),
    Row("user.id", "keyword", "`process.uid`", _text("process.uid")),
    copied("user.name", "keyword", "process.user"),
    copied("container.id", "keyword", "process.container.id"),
    copied("container.runtime", "keyword", "process.container.runtime"),
    Row("related.ip", "ip[]", "all the addresses, also those that NAT made", _addresses),
    Row("related.user", "keyword[]", "`process.user`",
        lambda event: _distinct(event["process.user"])),
    copied("labels.unit", "keyword", "process.unit"),
    copied("labels.pod", "keyword", "process.container.pod"),
    copied("labels.via", "keyword", "via"),
    Row("labels.count", "keyword", "`count`", _text("count")),
    copied("labels.run", "keyword", "run"),
)  # fmt: skip
