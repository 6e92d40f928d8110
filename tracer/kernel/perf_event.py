# SPDX-License-Identifier: Apache-2.0
"""Attaches kprobes by perf_event_open(2). They end with their descriptor (Linux 4.17, commit
e12f03d7031a)."""

import ctypes
import fcntl
import os
import platform
import struct
from pathlib import Path
from typing import Final

_SYSCALL_NUMBER: Final = {  # __NR_perf_event_open, arch/*/include/uapi/asm/unistd.h
    "x86_64": 298,
    "aarch64": 241,
    "riscv64": 241,
    "ppc64le": 319,
    "s390x": 331,
}
_PMU: Final = Path("/sys/bus/event_source/devices/kprobe")
# struct perf_event_attr, PERF_ATTR_SIZE_VER1: type, size, config, sample_period, sample_type,
# read_format, flags, wakeup_events, bp_type, kprobe_func, probe_offset
_ATTR: Final = struct.Struct("=IIQQQQQIIQQ")
_FLAG_FD_CLOEXEC: Final = 8
# _IO('$', 0) and _IOW('$', 8, u32); powerpc encodes directions in its own way
_IOC_NONE, _IOC_WRITE = (1, 4) if platform.machine() == "ppc64le" else (0, 2)
_IOC_ENABLE: Final = _IOC_NONE << 29 | 0x2400
_IOC_SET_BPF: Final = _IOC_WRITE << 29 | 4 << 16 | 0x2408

_libc: Final = ctypes.CDLL(None, use_errno=True)


def attach_kprobe(program: int, function: str, *, at_return: bool) -> int:
    """Returns the attachment's descriptor. Raises OSError with the kernel's reason."""
    name = ctypes.create_string_buffer(function.encode())
    attr = _ATTR.pack(
        int((_PMU / "type").read_text()),
        _ATTR.size,
        _return_flag() if at_return else 0,
        *(1, 0, 0, 0, 1, 0),
        ctypes.addressof(name),
        0,
    )
    number = _SYSCALL_NUMBER[platform.machine()]
    # all processes, and CPU 0, which stands for all: a kprobe belongs to none
    event = int(_libc.syscall(number, ctypes.c_char_p(attr), -1, 0, -1, _FLAG_FD_CLOEXEC))
    if event < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    try:
        fcntl.ioctl(event, _IOC_SET_BPF, program)
        fcntl.ioctl(event, _IOC_ENABLE, 0)
    except OSError:
        os.close(event)
        raise
    return event


def paranoia() -> int:
    """Returns sysctl kernel.perf_event_paranoid. Debian adds 3: nothing without CAP_SYS_ADMIN."""
    return int(Path("/proc/sys/kernel/perf_event_paranoid").read_text())


def _return_flag() -> int:
    """Returns the flag for a return probe: ``config:0`` says that it is the lowest bit."""
    bit = (_PMU / "format/retprobe").read_text().strip().removeprefix("config:")
    return 1 << int(bit)
