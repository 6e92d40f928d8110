# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry: its semantic conventions, in the form of OTLP's JSON, which the collector reads
from files. https://opentelemetry.io/docs/specs/semconv/"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from tracer.report.schemas.event import Event
from tracer.report.schemas.mapping import (
    Kinds,
    Row,
    constant,
    copied,
    fields,
    is_number,
    is_text,
    of_end,
)

VERSION: Final = "1.44.0"
SCHEMA: Final = f"https://opentelemetry.io/schemas/{VERSION}"
OWN: Final = "sockwatch."  # begins the names that the conventions leave to us
_INFO: Final = 9  # severity

KINDS: Final[Kinds] = {"string": is_text, "int": is_number}
_VALUES: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "string": lambda value: {"stringValue": value},
    "int": lambda value: {"intValue": str(value)},  # as OTLP's JSON has 64 bits
    "string[]": lambda value: {"arrayValue": {"values": [{"stringValue": one} for one in value]}},
}


def convert(line: dict[str, Any], *, no_args: bool = False) -> dict[str, Any]:
    """Returns an event of the log as OTLP's LogsData. Raises ValueError, KeyError or TypeError if
    it is damaged."""
    event = Event(line, no_args=no_args)
    time = event.nanoseconds("time")
    if time is None:
        raise ValueError("no time")
    record = {
        "timeUnixNano": str(time),
        "severityNumber": _INFO,
        "eventName": f"{OWN}{event.kind}",
        "attributes": _attributes(ROWS, event),
    }
    scope = {"scope": {"name": "sockwatch"}, "logRecords": [record], "schemaUrl": SCHEMA}
    resource = {"attributes": _attributes(RESOURCE, event)}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [scope], "schemaUrl": SCHEMA}]}


def _attributes(rows: Iterable[Row], event: Event) -> list[dict[str, Any]]:
    return [
        {"key": row.target, "value": _VALUES[row.kind](value)}
        for row, value in fields(rows, KINDS, event)
    ]


def _of_ends() -> Iterator[Row]:
    opened = "of `connect`, `connected`, `connect_failed` and `accept`"
    for end, target, which in (
        ("local", "network.local", "this machine's end"),
        ("peer", "network.peer", "the other end"),
        ("source", "source", "the source"),
        ("destination", "destination", "the destination"),
        ("client", "client", f"who connects; {opened}"),
        ("server", "server", f"whom the client connects to; {opened}"),
    ):
        yield of_end(f"{target}.address", "string", end, f"the address, with its zone, of {which}",
                     lambda one: one.host)  # fmt: skip
        yield of_end(f"{target}.port", "int", end, f"the port of {which}", lambda one: one.port)


def _of_nat() -> Iterator[Row]:
    for end in ("source", "destination"):
        nat = f"{OWN}nat.{end}"
        yield of_end(f"{nat}.address", "string", end, f"what NAT made of the {end}'s address",
                     lambda one: one.nat_addr)  # fmt: skip
        yield of_end(f"{nat}.port", "int", end, f"what NAT made of the {end}'s port",
                     lambda one: one.nat_port)  # fmt: skip


RESOURCE: Final = (
    constant("service.name", "string", "sockwatch"),
    copied("host.name", "string", "host.name"),
    copied("host.id", "string", "host.machine_id"),
    copied("sockwatch.boot_id", "string", "host.boot_id"),
    copied("sockwatch.run", "string", "run"),
)
ROWS: Final = (
    Row("network.transport", "string", "`proto`, where it has a name",
        lambda event: event.transport),
    Row("network.type", "string", "`ipv4` or `ipv6`",
        lambda event: event.version and f"ipv{event.version}"),
    Row("network.io.direction", "string", "`transmit` of `send`, `receive` of `receive`",
        lambda event: {"send": "transmit", "receive": "receive"}.get(event.kind)),
    *_of_ends(),
    copied("error.type", "string", "error"),
    copied("process.pid", "int", "process.pid"),
    copied("process.vpid", "int", "process.pidns_pid"),
    copied("process.parent_pid", "int", "process.ppid"),
    copied("process.executable.path", "string", "process.exe"),
    Row("process.executable.name", "string", "its file name", lambda event: event.exe_name),
    Row("process.command_args", "string[]", "`process.args`", lambda event: event.args),
    Row("process.args_count", "int", "how many `process.args` there are, if all are there",
        lambda event: event.number_of_args),
    copied("process.creation.time", "string", "process.start_time"),
    copied("process.real_user.id", "int", "process.uid"),
    copied("process.real_user.name", "string", "process.user"),
    copied("process.linux.cgroup", "string", "process.cgroup"),
    copied("thread.name", "string", "process.thread"),
    copied("container.id", "string", "process.container.id"),
    copied("container.runtime.name", "string", "process.container.runtime"),
    copied("k8s.pod.uid", "string", "process.container.pod"),
    copied("sockwatch.outcome", "string", "outcome"),
    copied("sockwatch.count", "int", "count"),
    Row("sockwatch.bytes_sent", "int", "`bytes`; of a `close`, `bytes_since`",
        lambda event: event.here.bytes),
    Row("sockwatch.bytes_received", "int", "`bytes_received`; of a `close`, "
        "`bytes_received_since`", lambda event: event.there.bytes),
    copied("sockwatch.comm", "string", "process.comm"),
    copied("sockwatch.tid", "int", "process.tid"),
    copied("sockwatch.unit", "string", "process.unit"),
    copied("sockwatch.via", "string", "via"),
    *_of_nat(),
)  # fmt: skip
