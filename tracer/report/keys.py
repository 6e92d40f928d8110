# SPDX-License-Identifier: Apache-2.0
"""What the groups of a report are made by."""

import functools
from collections.abc import Callable, Collection, Hashable
from typing import Any, Final, NamedTuple

from tracer.model import who
from tracer.model.flow import Flow
from tracer.model.process import Process
from tracer.model.who import Role, Who


class Sender:
    """A process, and when it started, as the log has it. What is asked of it for each of its flows
    is found out once."""

    def __init__(self, process: Process, started: str | None) -> None:
        self.process = process
        self._started = started

    @functools.cached_property
    def role(self) -> Role:
        """Returns the role that it shares with other processes."""
        return who.role(self.process)

    @functools.cached_property
    def who(self) -> Who:
        """Says who it is."""
        return who.who(self.process)

    @functools.cached_property
    def identity(self) -> tuple[Hashable, ...]:
        """Returns its pid and start time (whatever its name is by then), its program and its user:
        an exec makes it another one."""
        process = self.process
        exe = process.shown_exe and process.shown_exe.removesuffix(" (deleted)")
        return process.pid, process.initial_pid, self._started, exe, process.uid

    @functools.cached_property
    def alone(self) -> frozenset[int]:
        """Returns a set of it alone, by its identity's hash, which takes less room."""
        return frozenset({hash(self.identity)})

    @functools.cached_property
    def as_json(self) -> dict[str, Any]:
        """Returns it as it was last seen; all groups share the result."""
        return {
            "pid": self.process.pid,
            "initial_pid": self.process.initial_pid,
            "start_time": self._started,
            "comm": self.process.comm,
            "exe": self.process.shown_exe,
            "user": self.process.shown_user,
        }


class Seen(NamedTuple):
    """A flow as a log tells of it, whose ``kind`` does not count. ``name`` is what ``--log-names``
    has logged of its destination."""

    flow: Flow
    sender: Sender | None
    name: str | None


def identity(seen: Seen) -> Hashable:
    """Returns what tells senders apart: a process, else the device or where a forwarded packet came
    from."""
    return seen.sender.identity if seen.sender else seen.flow.sender


def _of_process(read: Callable[[Process], Hashable]) -> Callable[[Seen], Hashable]:
    return lambda seen: seen.sender and read(seen.sender.process)


def _parent(process: Process) -> str | None:
    return who.parents_name(process.parents[0]) if process.parents else None


# for each name of ``--by``, what it is of a flow; None: it has none, or it is not known
KEYS: Final[dict[str, Callable[[Seen], Hashable]]] = {
    "role": lambda seen: seen.sender.role if seen.sender else seen.flow.sender,
    "process": identity,
    "exe": _of_process(lambda process: process.shown_exe),
    "args": _of_process(lambda process: process.args),
    "parent": _of_process(_parent),
    "user": _of_process(lambda process: process.shown_user),
    "unit": _of_process(lambda process: next(iter(process.units), None)),
    "container": _of_process(lambda process: process.container and process.container.id),
    "dst": lambda seen: seen.flow.dst.host,
    "name": lambda seen: seen.name,
    "port": lambda seen: seen.flow.dst.port,
    "proto": lambda seen: seen.flow.proto,
}
DEFAULT_KEYS: Final = ("role", "dst")


def says_who(keys: Collection[str]) -> bool:
    """Says whether each group of these keys is of one role or process."""
    return "role" in keys or "process" in keys
