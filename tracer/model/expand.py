# SPDX-License-Identifier: Apache-2.0
"""Puts back into an event's line what is written once for a process, and what is left out as null:
each line then has all that is known, as format 1 of the log had it."""

from collections.abc import Mapping
from typing import Any, Final

from tracer.model.fields import PROCESS_FIELDS

_NUMBERS: Final = (
    "latency_us",
    "bytes_received",
    "duration",
    "bytes_since",
    "bytes_received_since",
)
_SOCKET: Final = ("cookie", "netns", "inode", "state", "uid", "cgroup", "interface")
_SHARED: Final = ("uid", "cgroup")  # of a socket, with its process
_ROUTE: Final = ("interface", "gateway", "source")
_OF_ACT: Final = ("id", "parent")  # what a process has in an event's line only


def expanded(event: Mapping[str, Any], process: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns an event's line with the ``process`` of its process's line; None: that is missing,
    and what only it tells is null. Raises KeyError and TypeError if ``event`` is no event."""
    found = {name: event[name] for name in ("time", "event", "proto", "outcome", "error")}
    found |= {name: event[name] for name in ("bytes", "count")}
    if "last_time" in event:
        found["last_time"] = event["last_time"]
    found["segments"] = event.get("segments", 1)
    found |= {name: event[name] for name in _NUMBERS if name in event}
    found["process"] = event["process"] and _process(event["process"], process or {})
    found["src"], found["dst"] = _end(event["src"]), _end(event["dst"])
    nat = event.get("nat", {})
    found["nat"] = {name: _end(nat[name]) if name in nat else None for name in ("src", "dst")}
    found |= {"via": event["via"], "interface": event.get("interface"), "run": event["run"]}
    found["socket"] = _socket(event["socket"], found["process"] or {})
    route = event.get("route")
    found["route"] = route and {name: route.get(name) for name in _ROUTE}
    return found | {name: value for name, value in event.items() if name not in found}


def _end(end: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a source or a destination, with its zone."""
    return {"addr": end["addr"], "port": end["port"], "zone": None, **end}


def _socket(brief: Mapping[str, Any], process: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a socket. What was found out of it is its process's where it does not say."""
    found = {name: brief.get(name) for name in _SOCKET}
    for name in _SHARED if "state" in brief else ():
        found[name] = brief.get(name, process.get(name))
    return found


def _process(brief: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a process and the thread that acted."""
    found = {field.name: whole.get(field.name, brief.get(field.name)) for field in PROCESS_FIELDS}
    found["tid"] = brief.get("tid", brief["pid"])
    found["thread"] = brief.get("thread", brief["comm"])
    found["holders"] = brief.get("holders")
    more = {name: value for name, value in brief.items() if name not in (*found, *_OF_ACT)}
    return found | more
