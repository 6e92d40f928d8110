# SPDX-License-Identifier: Apache-2.0
"""Lists the targets of the rules of the old iptables, which netlink does not tell.

Layout: include/uapi/linux/netfilter_ipv4/ip_tables.h and netfilter_ipv6/ip6_tables.h, in the
machine's own byte order.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tracer.model.process import text

_GET_INFO: Final = 64  # IPT_SO_GET_INFO, IP6T_SO_GET_INFO
_GET_ENTRIES: Final = 65
_INFO_SIZE: Final = 84  # struct ipt_getinfo
_SIZE: Final = struct.Struct("=80xI")  # its last field: bytes of all entries
_REQUEST: Final = struct.Struct("=32sI4x")  # struct ipt_get_entries, before the entries
_OFFSETS: Final = struct.Struct("=HH")  # of an entry: to its target, to the next entry
_TARGET_NAME: Final = struct.Struct("=2x29s")  # struct xt_entry_target: size, name

_libc: Final = ctypes.CDLL(None, use_errno=True)


class Version(NamedTuple):
    """How a version of IP has it; ``offsets`` is where an entry has them, behind its match."""

    names: str
    family: int
    level: int
    offsets: int


VERSIONS: Final = {
    "ip": Version("ip_tables_names", socket.AF_INET, socket.IPPROTO_IP, 88),
    "ip6": Version("ip6_tables_names", socket.AF_INET6, socket.IPPROTO_IPV6, 140),
}


def targets() -> list[tuple[str, str, str]]:
    """Lists the version ("ip" or "ip6"), table and name of each target in the caller's network
    namespace, each once. Asks for tables that are there only: others, the kernel would make. Raises
    OSError."""
    found: dict[tuple[str, str, str], None] = {}
    for name, version in VERSIONS.items():
        try:
            tables = Path("/proc/thread-self/net", version.names).read_text().split()
        except FileNotFoundError:
            continue
        for table in tables:
            entries = _entries(version, table.encode())
            found |= dict.fromkeys((name, table, target) for target in decode(version, entries))
    return list(found)


def _entries(version: Version, table: bytes) -> bytes:
    with socket.socket(version.family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        info = _get(sock, version.level, _GET_INFO, table.ljust(_INFO_SIZE, b"\0"))
        (size,) = _SIZE.unpack(info)
        request = _REQUEST.pack(table, size) + bytes(size)
        return _get(sock, version.level, _GET_ENTRIES, request)[_REQUEST.size :]


def _get(sock: socket.socket, level: int, option: int, request: bytes) -> bytes:
    """Calls getsockopt(2) with a request in the buffer. EAGAIN: the table has changed meanwhile."""
    buffer = ctypes.create_string_buffer(request, len(request))
    length = ctypes.c_uint32(len(request))
    if _libc.getsockopt(sock.fileno(), level, option, buffer, ctypes.byref(length)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return buffer.raw


def decode(version: Version, entries: bytes) -> Iterator[str]:
    """Yields the names of the targets; a verdict or a jump to another chain has none."""
    at = 0
    while at + version.offsets + _OFFSETS.size <= len(entries):
        target, following = _OFFSETS.unpack_from(entries, at + version.offsets)
        (name,) = _TARGET_NAME.unpack_from(entries, at + target)
        if name[0]:
            yield text(name)
        if not following:
            return
        at += following
