# SPDX-License-Identifier: Apache-2.0
"""The overflow maps: what the ring had no room for, aggregated by flow.

Nothing is missed: programs write to one map while the other is emptied, and programs that began
before the switch have ended by then.
"""

import ctypes
import os
import struct
import time
from typing import Final

from tracer.kernel import syscall
from tracer.kernel.abi import AGGREGATE, Aggregate

_MEMBARRIER: Final = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}
_CMD_GLOBAL: Final = 1
_PATIENCE: Final = 0.1  # seconds to wait where the kernel does not wait for us

_libc: Final = ctypes.CDLL(None, use_errno=True)


class Overflow:
    """The tracer's side of both maps."""

    def __init__(self, maps: dict[str, int]) -> None:
        self._maps = (maps["overflow_0"], maps["overflow_1"])
        self._active_map = maps["active_overflow"]
        self._active = 0
        self._room = syscall.room_for(self._maps[0])

    def take(self) -> list[tuple[bytes, Aggregate]]:
        """Returns what has been aggregated since the last call, by ``struct flow``."""
        full = self._maps[self._active]
        self._active = 1 - self._active
        syscall.map_update(self._active_map, bytes(4), struct.pack("=I", self._active))
        wait_for_programs()
        return [
            (flow, Aggregate._make(AGGREGATE.unpack(value)))
            for flow, value in syscall.map_take_all(full, self._room)
        ]


def wait_for_programs() -> None:
    """Waits until every BPF program that runs now has ended: membarrier(2) waits for an RCU grace
    period (membarrier_global, kernel/sched/membarrier.c), but not on one CPU or with nohz_full."""
    number = _MEMBARRIER.get(os.uname().machine)
    failed = number is None or _libc.syscall(number, _CMD_GLOBAL, 0, 0)
    if failed or os.cpu_count() == 1:
        time.sleep(_PATIENCE)
