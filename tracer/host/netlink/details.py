# SPDX-License-Identifier: Apache-2.0
"""Decodes what sock_diag adds to the row of a socket: cgroup, mark, memory, TCP's own numbers.

Attributes of include/uapi/linux/inet_diag.h, in the machine's own byte order.
"""

import struct
import sys
from typing import Any, Final

from tracer.host.netlink import messages

_INFO: Final = 2
_CONG: Final = 4
_SKMEMINFO: Final = 7
_SKV6ONLY: Final = 11
_MARK: Final = 15
_CGROUP_ID: Final = 21

# these must be asked for; the kernel sends the other attributes anyway
MEMORY: Final = 1 << (_SKMEMINFO - 1)
TCP_INFO: Final = 1 << (_INFO - 1) | 1 << (_CONG - 1)

# SK_MEMINFO_*, include/uapi/linux/sock_diag.h: in bytes, except the last
_MEMORY_NAMES: Final = (
    "rmem_alloc", "rcvbuf", "wmem_alloc", "sndbuf", "fwd_alloc", "wmem_queued", "optmem",
    "backlog", "drops",
)  # fmt: skip

# The start of struct tcp_info, include/uapi/linux/tcp.h, up to tcpi_bytes_retrans (Linux 4.19).
_TCP_INFO: Final = struct.Struct("=8B24I4Q6I4Q2I2Q")
_TCP_FIELDS: Final = {
    "rto_us": 8, "mss": 10, "unacked": 12, "lost": 14, "rtt_us": 23, "rttvar_us": 24,
    "ssthresh": 25, "cwnd": 26, "retransmits": 31, "pacing_rate": 32, "bytes_acked": 34,
    "bytes_received": 35, "min_rtt_us": 39, "delivery_rate": 42, "bytes_sent": 48,
    "bytes_retransmitted": 49,
}  # fmt: skip
_SEGS_OUT: Final = 36

_UNLIMITED: Final = (1 << 64) - 1  # sk_pacing_rate, before anything was sent


def cgroup_id(raw: bytes) -> int | None:
    """Returns the number of its cgroup (v2) from a row's attributes; since Linux 5.7."""
    return _number(messages.attributes(raw).get(_CGROUP_ID))


def mark(raw: bytes) -> int | None:
    """Returns SO_MARK, which the kernel tells only to CAP_NET_ADMIN."""
    return _number(messages.attributes(raw).get(_MARK))


def v6only(raw: bytes) -> bool:
    """Says whether it is an IPv6 socket that IPv4 cannot reach (IPV6_V6ONLY)."""
    return bool(_number(messages.attributes(raw).get(_SKV6ONLY)))


def memory(raw: bytes) -> dict[str, int] | None:
    """Returns the memory of the socket's buffers, if MEMORY was asked for."""
    values = messages.attributes(raw).get(_SKMEMINFO)
    if values is None:
        return None
    numbers = struct.unpack(f"={len(values) // 4}I", values)
    return dict(zip(_MEMORY_NAMES, numbers, strict=False))


def tcp_info(raw: bytes) -> dict[str, Any] | None:
    """Returns TCP's own numbers, if TCP_INFO was asked for and it is a TCP socket. Rates are in
    bytes a second; a pacing rate of None means no limit."""
    found = messages.attributes(raw)
    info = found.get(_INFO, b"")
    if len(info) < _TCP_INFO.size:
        return None
    values = _TCP_INFO.unpack_from(info)
    shown: dict[str, int | None] = {name: values[at] for name, at in _TCP_FIELDS.items()}
    if shown["pacing_rate"] == _UNLIMITED:
        shown["pacing_rate"] = None
    congestion = found.get(_CONG, b"").rstrip(b"\0").decode() or None
    return {"congestion": congestion, **shown}


def tcp_segments_sent(raw: bytes) -> int | None:
    """Returns how many segments a TCP socket has sent, those without payload, too (tcpi_segs_out,
    __tcp_transmit_skb()), if TCP_INFO was asked for."""
    info = messages.attributes(raw).get(_INFO, b"")
    return None if len(info) < _TCP_INFO.size else int(_TCP_INFO.unpack_from(info)[_SEGS_OUT])


def _number(raw: bytes | None) -> int | None:
    return None if raw is None else int.from_bytes(raw, sys.byteorder)
