# SPDX-License-Identifier: Apache-2.0
"""The capabilities of this process, and giving up those it does not need: capabilities(7)."""

import ctypes
import enum
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final


class Capability(enum.IntEnum):
    """Capabilities that a tracer may need, numbered as in include/uapi/linux/capability.h."""

    CAP_CHOWN = 0  # to give a new log to the owner of its folder
    CAP_DAC_OVERRIDE = 1  # to reopen a log in another user's folder
    CAP_DAC_READ_SEARCH = 2  # to read other users' descriptors, and paths of cgroups
    CAP_KILL = 5  # to pass a signal on to a command that has become another user
    CAP_NET_ADMIN = 12  # to read the marks of sockets; to load BPF programs
    CAP_SYS_PTRACE = 19  # to read other users' programs, descriptors and namespaces
    CAP_SYS_ADMIN = 21  # to enter other network namespaces: setns(2)
    CAP_PERFMON = 38  # to load BPF programs
    CAP_BPF = 39  # to load BPF programs; to read maps


_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_SYS_CAPSET: Final = {"x86_64": 126, "aarch64": 91, "riscv64": 91, "ppc64le": 184, "s390x": 185}
_HEADER: Final = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3; this thread
_SETS: Final = struct.Struct("=6I")  # effective, permitted, inheritable: low words, high words

_libc: Final = ctypes.CDLL(None, use_errno=True)


def effective() -> int:
    """Returns this thread's effective capabilities as a bit mask."""
    status = Path("/proc/thread-self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return int(line.split()[1], 16)


def of_the_machine() -> bool:
    """Says whether this is the initial user namespace, which maps every id to itself.
    Capabilities in another one do not allow tracing: user_namespaces(7)."""
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(0xFFFFFFFF)]


def has(mask: int, capability: Capability) -> bool:
    """Says whether the mask contains the capability."""
    return bool(mask >> capability & 1)


def keep(capabilities: Iterable[Capability]) -> None:
    """Gives up all other capabilities for good, also for programs that are executed later. Must
    be called before any thread starts, because each has its own. Raises OSError."""
    mask = effective() & sum(1 << capability for capability in capabilities)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for number in range(last + 1):
        if not mask >> number & 1:
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # EPERM without CAP_SETPCAP
    low, high = mask & 0xFFFFFFFF, mask >> 32
    number = _SYS_CAPSET[os.uname().machine]
    _check(_libc.syscall(number, _HEADER, _SETS.pack(low, low, 0, high, high, 0)))


def _prctl(option: int, argument: int) -> None:
    _check(_libc.prctl(option, argument, 0, 0, 0))


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
