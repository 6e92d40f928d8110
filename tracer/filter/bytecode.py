# SPDX-License-Identifier: Apache-2.0
"""Compiles the part of a filter that sock_diag can decide in the kernel into its bytecode.

A pre-filter: it may pass too much, never too little; user space filters again. Layout and
meaning: ``struct inet_diag_bc_op`` and inet_diag_bc_run(), net/ipv4/inet_diag.c. Each instruction
holds the distance to jump on *yes* and on *no*; a jump to four bytes past the end refuses.
"""

import socket
import struct
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from tracer.filter.filters import Filters
from tracer.model.address import Network

_JUMP: Final = 1
_S_GE: Final = 2
_S_LE: Final = 3
_D_GE: Final = 4
_D_LE: Final = 5
_S_COND: Final = 7
_D_COND: Final = 8

_OP: Final = struct.Struct("=BBH")  # struct inet_diag_bc_op: code, yes, no
_HOST: Final = struct.Struct("=BBxxi")  # struct inet_diag_hostcond: family, prefix length, port
_ANY_PORT: Final = -1
_LONGEST: Final = 0xFFF0  # bytes: distances and an attribute's length are 16 bits wide


def assemble(filters: Filters) -> bytes:
    """Compiles what the kernel can decide of ``filters``; empty if nothing, or if too long."""
    blocks = [
        [_host(_D_COND, net) for net in filters.dst],
        [_host(_S_COND, net) for net in filters.src],
        [_ports(_D_GE, _D_LE, *ends) for ends in _runs(filters.dport)],
        [_ports(_S_GE, _S_LE, *ends) for ends in _runs(filters.sport)],
        [
            _ports(*comparisons, *ends)
            for comparisons in ((_D_GE, _D_LE), (_S_GE, _S_LE))
            for ends in _runs(filters.port)
        ],
    ]
    used = [block for block in blocks if block]
    length = sum(map(_length, used))
    if length > _LONGEST:
        return b""
    program = b""
    for block in used:
        program += _any_of(block, length - len(program))
    return program


def _any_of(conditions: Sequence[bytes], left: int) -> bytes:
    """Returns code that continues behind itself if one of the conditions holds, else refuses.
    ``left`` is the distance from its start to the program's end. On *no*, a condition skips the
    jump behind it."""
    end = _length(conditions)
    code = b""
    for condition in conditions:
        code += condition
        code += _OP.pack(_JUMP, _OP.size, end - len(code))
    return code + _OP.pack(_JUMP, _OP.size, left - len(code) + _OP.size)


def _length(conditions: Iterable[bytes]) -> int:
    return sum(len(condition) + _OP.size for condition in conditions) + _OP.size


def _host(code: int, net: Network) -> bytes:
    """Returns a condition for a prefix in any zone; one of IPv4 matches mapped addresses too."""
    family = socket.AF_INET if net.version == 4 else socket.AF_INET6
    operand = _HOST.pack(family, net.prefixlen, _ANY_PORT) + net.network_address.packed
    size = _OP.size + len(operand)
    return _OP.pack(code, size, size + _OP.size) + operand


def _ports(at_least: int, at_most: int, low: int, high: int) -> bytes:
    """Returns two comparisons, each with its port in an instruction of its own."""
    size = 2 * _OP.size
    return (
        _OP.pack(at_least, size, 2 * size + _OP.size)
        + _OP.pack(0, 0, low)
        + _OP.pack(at_most, size, size + _OP.size)
        + _OP.pack(0, 0, high)
    )


def _runs(ports: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Yields the first and the last port of each run of neighbours."""
    for _, group in groupby(enumerate(sorted(ports)), lambda pair: pair[1] - pair[0]):
        run = [port for _, port in group]
        yield run[0], run[-1]
