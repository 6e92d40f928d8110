# SPDX-License-Identifier: Apache-2.0
"""The overflow maps: what the ring had no room for, aggregated by flow; and what was received.

Nothing is missed: programs write to one map while the other is emptied, and programs that began
before the switch have ended by then.
"""

import ctypes
import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tracer.kernel import syscall
from tracer.kernel.abi import AGGREGATE, Aggregate

_MEMBARRIER: Final = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}
_CMD_GLOBAL: Final = 1
_PATIENCE: Final = 0.1  # seconds to wait where the kernel does not wait for us

_libc: Final = ctypes.CDLL(None, use_errno=True)


class Overflow:
    """The tracer's side of two maps, ``NAME_0`` and ``NAME_1``."""

    def __init__(self, maps: Mapping[str, int], name: str) -> None:
        self._maps = (maps[f"{name}_0"], maps[f"{name}_1"])
        self._active_map = maps[f"active_{name}"]
        self._active = 0
        self._room = syscall.room_for(self._maps[0])

    def switch(self) -> None:
        """Has programs write to the other map; those that run now may still write to this one."""
        self._active = 1 - self._active
        syscall.map_update(self._active_map, bytes(4), struct.pack("=I", self._active))

    def take(self) -> Iterator[tuple[bytes, Aggregate]]:
        """Empties the map that no program writes to; yields what it has, by ``struct flow``."""
        for flow, value in syscall.map_take_all(self._maps[1 - self._active], self._room):
            yield flow, Aggregate._make(AGGREGATE.unpack(value))


def take(due: Sequence[Overflow]) -> list[tuple[bytes, Aggregate]]:
    """Returns what these have aggregated since the last call, by ``struct flow``; of the first one
    until the earliest moment."""
    for one in due:
        one.switch()
    if due:
        wait_for_programs()
    return [entry for one in due for entry in one.take()]


def wait_for_programs() -> None:
    """Waits until every BPF program that runs now has ended: membarrier(2) waits for an RCU grace
    period (membarrier_global, kernel/sched/membarrier.c), but not on one CPU or with nohz_full."""
    number = _MEMBARRIER.get(os.uname().machine)
    failed = number is None or _libc.syscall(number, _CMD_GLOBAL, 0, 0)
    if failed or os.cpu_count() == 1:
        time.sleep(_PATIENCE)
