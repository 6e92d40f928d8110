# SPDX-License-Identifier: Apache-2.0
"""Decodes the parts of a log line. A log may hold anything: each value that is used is checked, and
what is no event raises one of DAMAGE."""

import functools
import json
import re
import socket
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from tracer.filter import inclusion
from tracer.filter.filters import Filters
from tracer.model import protocols
from tracer.model.address import Address, address
from tracer.model.fields import LOSSES
from tracer.model.flow import Endpoint, EventKind, Flow, Nat, Neighbour, Origin, Via
from tracer.model.process import Process
from tracer.model.protocols import ReceivedOf
from tracer.report import times

T = TypeVar("T")

DAMAGE: Final = (ValueError, KeyError, TypeError, RecursionError)

MARKS: Final = ("start", "alive", "stop", "lost", "netns")  # lines about the run itself
# What stop and alive lines count that may hide an event, each since the run's start.
_COUNTS: Final = ("existing", "undecided", "unfinished", "log_lines_lost")
_EVENTS: Final = frozenset(kind.name.lower() for kind in EventKind)
_RECEIVED_OF: Final = {one.value: one for one in ReceivedOf}
_VIA: Final = {via.name.lower(): via for via in Via}
_N: Final = rb"(?:0|[1-9]\d{0,18})"  # below 2^64, which is more than is counted
_COUNTED: Final = re.compile(
    rb'"bytes":(%b),"count":(%b),(?:"last_time":"((.{19})\.\d{9}Z)",)?(?:"segments":%b,)?'
    rb'(?:"bytes_received":(%b),)?(?:"(?:duration|latency_us)":(?:%b(?:\.\d+)?|null),)?'
    rb'(?:"bytes_since":(%b|null),"bytes_received_since":(%b|null),)?' % ((_N,) * 7)
)
_NULL: Final = b"null"
_MAX_TEXT: Final = 1 << 15  # characters: more than the longest path has with each byte escaped
TOO_LARGE: Final = 1 << 64


# What differs between events of a flow: bytes sent and received (None: the line does not say; of
# the end of a connection, what no line before tells of), how many events the line stands for, and
# the time of the last of them (empty: there is only one). Many lines have their own: this is made
# quickly.
Numbers = tuple[int, int | None, int, bytes]


class Head(NamedTuple):
    """What a line begins with: the event, the protocol, and whether it failed."""

    event: str
    proto: str
    failed: bool


def head(raw: bytes) -> Head:
    """Returns what stands between a line's time and its numbers."""
    if not raw.startswith(b'Z",'):
        raise ValueError("no end of the time")
    found = json_object(b"{" + raw[3:] + b'"bytes":0}')
    if found["event"] not in _EVENTS or found["proto"] not in protocols.ALL:
        raise ValueError("no such event")
    return Head(found["event"], found["proto"], found["outcome"] == "failed")


def numbers(raw: bytes) -> Numbers:
    """Returns the numbers of a line: the text from ``"bytes"`` to before ``"process"``."""
    found = _COUNTED.fullmatch(raw)
    if not found:
        raise ValueError("a number is none")
    size, events, last, second, received, since, received_since = found.groups(b"")
    if second:
        times.seconds(second)
    if since:
        size, received = since, received_since
    if size == _NULL:
        size, received = b"0", b""
    return int(size), int(received) if received else None, int(events), last


def flow(who: Process | None, proto: str, raw: bytes) -> tuple[Flow, str | None]:
    """Returns a flow of a process, and the name that was logged of its destination; of what follows
    the process in a line. ``kind`` does not count."""
    rest = json_object(b"{" + raw)
    origin = _origin(rest) if "neighbour" in rest else None
    dst = rest["dst"]
    found = Flow(
        kind=EventKind.SEND,
        proto=proto,
        via=Via.DEVICE if origin else _VIA[rest["via"]],
        process=who,
        src=_endpoint(rest["src"]),
        dst=_endpoint(dst),
        cookie=None,
        netns=or_none(number, rest["socket"]["netns"]) or 0,
        interface=or_none(text, rest.get("interface")),
        hop=or_none(address_of, dst.get("hop")),
        nat=or_none(_nat, rest.get("nat")) or Nat(),  # earlier versions logged none
        origin=origin,
    )
    return found, or_none(text, dst.get("name"))


def _origin(rest: dict[str, Any]) -> Origin:
    """Returns where a forwarded packet came from; only its line has a neighbour."""
    neighbour = or_none(_neighbour, rest["neighbour"])
    return Origin(or_none(text, rest["via"]), neighbour, sent_here=False)


def _neighbour(shown: dict[str, Any]) -> Neighbour:
    return Neighbour(or_none(address_of, shown["addr"]), or_none(text, shown["mac"]))


def _nat(shown: Any) -> Nat:
    if type(shown) is not dict:
        raise ValueError("not an object")
    return Nat(or_none(_endpoint, shown.get("src")), or_none(_endpoint, shown.get("dst")))


class Watched(NamedTuple):
    """What a run watched: the filter as the log has it, the same decoded (None: another version's),
    what its probe cannot see, and of which sockets it counts what they receive (None: another
    version's)."""

    parts: dict[str, Any]
    filters: Filters | None
    blind_spots: tuple[str, ...]
    received_of: ReceivedOf | None


class Host(NamedTuple):
    """The machine that a run was on, and the boot of it."""

    name: str
    machine_id: str | None
    boot_id: str


class Mark(NamedTuple):
    """What a line about the run itself tells.

    ``losses`` are those since the last such line, ``counts`` those since the run's start (null: not
    known), ``lines`` how many lines of the run come before it, ``netns`` the inodes of a network
    namespace that was replaced and of the one that replaced it.
    """

    event: str
    time: str
    losses: dict[str, int]
    counts: dict[str, int | None]
    boot_id: str | None
    host: Host | None
    watched: Watched | None
    lines: int | None
    netns: tuple[int | None, int | None] | None


def mark(line: bytes) -> Mark:
    """Returns what a line about the run itself says; earlier versions said less."""
    found = json_object(line)
    event, host = found["event"], or_none(_host, found.get("host"))
    if event not in MARKS:
        raise ValueError("no such line")
    return Mark(
        event,
        times.checked(text(found["time"]).encode()).decode(),
        _losses(found) if event == "lost" else {},
        {name: or_none(number, found[name]) for name in _COUNTS if name in found},
        host.boot_id if host else or_none(text, found.get("boot_id")),  # an earlier version's
        host,
        _watched(found) if "filter" in found else None,
        or_none(number, found.get("lines")),
        (_inode(found["before"]), _inode(found["netns"])) if event == "netns" else None,
    )


def watched(
    parts: dict[str, Any], blind_spots: tuple[str, ...], received_of: ReceivedOf | None
) -> Watched:
    """Returns what a run with such a filter watched."""
    try:
        filters = inclusion.of_description(parts)
    except (ValueError, TypeError):
        filters = None
    return Watched(parts, filters, blind_spots, received_of)


def _watched(found: dict[str, Any]) -> Watched:
    parts = found["filter"]
    if type(parts) is not dict or not all(map(_is_part, parts.values())):
        raise ValueError("no filter")
    blind_spots = tuple(map(text, found.get("blind_spots") or ()))
    return watched(parts, blind_spots, _RECEIVED_OF.get(found.get("received_of", "")))


def _is_part(value: Any) -> bool:
    """Says whether a run may describe a part of its filter so."""
    values = value if type(value) is list else [value]
    return all(type(one) in (bool, int, str) for one in values)


def _inode(value: Any) -> int | None:
    return or_none(number, value)


def _host(found: dict[str, Any]) -> Host:
    machine_id = or_none(text, found["machine_id"])
    return Host(text(found["name"]), machine_id, text(found["boot_id"]))


def _losses(found: dict[str, Any]) -> dict[str, int]:
    """Returns each count of a ``lost`` line; earlier versions had fewer."""
    names = (*LOSSES, "output_lines_lost")
    return {name: number(found[name]) for name in names if name == "lost" or name in found}


def number(value: Any) -> int:
    """Returns what must be a number that 64 bits hold, as the kernel's counters do."""
    if type(value) is not int or not 0 <= value < TOO_LARGE:  # True is an int, too
        raise ValueError("not a number")
    return value


def text(value: Any) -> str:
    """Returns what must be a text, and no longer than a run writes."""
    if type(value) is not str or len(value) > _MAX_TEXT:
        raise ValueError("not a text")
    return value


def or_none(read: Callable[[Any], T], value: Any) -> T | None:
    """Returns what is read of a value; None of null."""
    return None if value is None else read(value)


def json_object(raw: bytes) -> dict[str, Any]:
    """Returns what must be an object."""
    found = json.loads(raw.decode())
    if type(found) is not dict:
        raise ValueError("not an object")
    return found


def _endpoint(shown: dict[str, Any]) -> Endpoint:
    return Endpoint(
        or_none(address_of, shown["addr"]),
        or_none(number, shown["port"]),
        or_none(text, shown.get("zone")),  # earlier versions logged none
    )


def canonical(text: str) -> str:
    """Returns an address in the one form that all have."""
    if ":" in text:
        return str(address_of(text))
    try:
        socket.inet_pton(socket.AF_INET, text)  # which knows one form only
    except OSError:
        raise ValueError("not an address") from None
    return text


@functools.lru_cache(maxsize=4096)
def address_of(text: str) -> Address | None:
    """Reads an address as ip_address() does, in a fifth of the time."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return address(socket.inet_pton(family, text))
    except OSError:
        raise ValueError("not an address") from None
