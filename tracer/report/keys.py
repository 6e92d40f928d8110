# SPDX-License-Identifier: Apache-2.0
"""What the groups of a report are made by."""

import functools
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tracer.model import who
from tracer.model.flow import Endpoint, Flow
from tracer.model.process import Process
from tracer.model.who import Role, Who
from tracer.report.decode import Host, address_of


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


@dataclass(eq=False)
class Shape:
    """What flows have in common that differ in their destination only. ``flow`` is one of them,
    whose ``kind`` does not count. ``name`` is what ``--log-names`` has logged of its destination,
    ``host`` the machine's. ``known`` is what :mod:`tracer.report.groups` keeps of it."""

    flow: Flow
    sender: Sender | None
    name: str | None = None
    host: Host | None = None
    known: Any = None

    def __post_init__(self) -> None:
        self.shows_answers = self.flow.shows_answers


class Seen(NamedTuple):
    """A flow as a log tells of it: ``dst`` and ``port`` are its destination's."""

    shape: Shape
    dst: str | None
    port: int | None

    @property
    def flow(self) -> Flow:
        """The flow, which few ask for."""
        flow = self.shape.flow
        if self.dst is None or flow.dst.addr:
            return flow
        return flow._replace(dst=Endpoint(address_of(self.dst), self.port))


def identity(shape: Shape) -> Hashable:
    """Returns what tells senders apart: a process, else the device or where a forwarded packet came
    from."""
    return shape.sender.identity if shape.sender else shape.flow.sender


def _of_process(read: Callable[[Process], Hashable]) -> Callable[[Shape], Hashable]:
    return lambda shape: shape.sender and read(shape.sender.process)


def _parent(process: Process) -> str | None:
    return who.parents_name(process.parents[0]) if process.parents else None


# for each name of ``--by`` that flows of one shape share, what it is; None: there is none, or it is
# not known
_SHARED: Final[dict[str, Callable[[Shape], Hashable]]] = {
    "role": lambda shape: shape.sender.role if shape.sender else shape.flow.sender,
    "process": identity,
    "exe": _of_process(lambda process: process.shown_exe),
    "args": _of_process(lambda process: process.args),
    "parent": _of_process(_parent),
    "user": _of_process(lambda process: process.shown_user),
    "unit": _of_process(lambda process: next(iter(process.units), None)),
    "container": _of_process(lambda process: process.container and process.container.id),
    "name": lambda shape: shape.name,
    "proto": lambda shape: shape.flow.proto,
    "host": lambda shape: shape.host and shape.host.name,
}
_OWN: Final = ("dst", "port")  # and that of each flow
KEYS: Final = (*_SHARED, *_OWN)
DEFAULT_KEYS: Final = ("role", "dst")


class Keys:
    """Tells what the keys of a report are of a flow."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._shared = [_SHARED[name] for name in names if name in _SHARED]

    def shared(self, shape: Shape) -> tuple[Hashable, ...]:
        """Returns those that flows of a shape share."""
        return tuple([get(shape) for get in self._shared])

    def all(self, shared: Sequence[Hashable], seen: Seen) -> dict[str, Any]:
        """Returns all, by name."""
        rest = iter(shared)
        own = {"dst": seen.dst, "port": seen.port}
        return {name: own[name] if name in own else next(rest) for name in self._names}


def says_who(keys: Collection[str]) -> bool:
    """Says whether each group of these keys is of one role or process."""
    return "role" in keys or "process" in keys
