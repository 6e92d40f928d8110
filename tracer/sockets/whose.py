# SPDX-License-Identifier: Apache-2.0
"""Who holds a socket: the programs of its holders, each in its role."""

import functools
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tracer.inventory.selection import ProcessOf
from tracer.model.process import Holder, Process
from tracer.model.who import Role, Who, common, role, who

if TYPE_CHECKING:
    from tracer.trace.process_table import ProcessTable

_INIT: Final = 1  # a pid


def describer() -> ProcessOf:
    """Returns what describes the process that has a pid: as it was when first asked for."""

    @functools.cache
    def table() -> "ProcessTable":
        from tracer.trace.process_table import ProcessTable  # noqa: PLC0415 (--json is quicker so)

        return ProcessTable()

    return functools.cache(lambda pid: table().now(pid))


class Programs:
    """Names the programs of holders, which ``process_of`` describes. ``shown`` is what a sink has
    made of them."""

    def __init__(self, process_of: ProcessOf) -> None:
        self.process_of = process_of
        self.shown: dict[tuple[Holder, ...], Any] = {}

    def of(self, holders: tuple[Holder, ...]) -> tuple[Who, ...]:
        """Returns each program once, in its role, with the arguments that its processes share.
        Children that run what a holder runs, as a server's workers, are none by themselves; init,
        which opens sockets for others, comes last."""
        found = {holder: self.process_of(holder.pid) for holder in holders}
        processes = {process.pid: process for process in found.values() if process}
        roles: dict[Role, Process] = {}
        for process in sorted(processes.values(), key=_is_init):
            if not _is_child_of(processes, process):
                earlier = roles.get(role(process), process)
                roles[role(process)] = common(earlier, process)
        gone = {_by_name(holder): None for holder, process in found.items() if not process}
        return (*map(who, roles.values()), *gone)


def _is_init(process: Process) -> bool:
    return process.pid == _INIT


def _is_child_of(processes: Mapping[int | None, Process], process: Process) -> bool:
    parents = (processes.get(parent.pid) for parent in process.parents)
    return any(one and _runs(one) == _runs(process) for one in parents)


def _runs(process: Process) -> tuple[str, str | None]:
    found = role(process)
    return found.program, found.script


def _by_name(holder: Holder) -> Who:
    return Who(shlex.quote(holder.comm) if holder.comm else "?")
