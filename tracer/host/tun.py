# SPDX-License-Identifier: Apache-2.0
"""The devices of /dev/net/tun (tun and tap), and the processes that hold them."""

import contextlib
import fcntl
import os
from collections.abc import Iterable
from typing import Final

from tracer.host import socket_copy
from tracer.host.open_files import Device, OpenFile

_TUNGETDEVNETNS: Final = 0x54E3  # include/uapi/linux/if_tun.h


def is_tun(device: Device) -> bool:
    """Says whether an open file is /dev/net/tun, whatever its path."""
    return device.driver == "tun"


def interface(file: OpenFile) -> str | None:
    """Returns the name of the interface that is driven by it; None if none is, or it is closed
    (tun_chr_show_fdinfo(), drivers/net/tun.c)."""
    return file.fdinfo("iff")


def netns(file: OpenFile) -> int | None:
    """Returns the inode of that interface's network namespace (__tun_chr_ioctl()); needs
    CAP_SYS_PTRACE, and CAP_NET_ADMIN there. None if it cannot be asked."""
    with contextlib.suppress(OSError):
        copy = socket_copy.descriptor(file)
        try:
            place = fcntl.ioctl(copy, _TUNGETDEVNETNS)
            try:
                return os.fstat(place).st_ino
            finally:
                os.close(place)
        finally:
            os.close(copy)
    return None


def holders(devices: Iterable[Device], name: str, inode: int) -> list[int]:
    """Returns the processes that hold the interface of this name in that namespace, each once.
    ``devices`` are those that all processes have open."""
    files = (one.by for one in devices if is_tun(one) and interface(one.by) == name)
    return sorted({file.pid for file in files if netns(file) == inode})
