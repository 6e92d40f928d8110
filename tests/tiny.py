# SPDX-License-Identifier: Apache-2.0
"""A static program of some 200 bytes that sends one datagram and exits: no loader, no library,
nothing that would keep it alive for as much as a millisecond. x86-64 only."""

import socket
import struct
from pathlib import Path

PAYLOAD = b"tiny"
_BASE = 0x400000
_HEADERS = 64 + 56  # ELF header, one program header


def _code(rip_to_data: int) -> bytes:
    """socket(AF_INET, SOCK_DGRAM, 0); sendto(it, payload, 4, 0, address, 16); exit_group(0)."""
    before = bytes.fromhex("b829000000 bf02000000 be02000000 31d2 0f05 89c7 488d35")
    middle = bytes.fromhex("ba04000000 4531d2 4c8d05")
    after = bytes.fromhex("41b910000000 b82c000000 0f05 31ff b8e7000000 0f05")
    to_payload = rip_to_data - len(before) - 4
    to_address = rip_to_data + len(PAYLOAD) - len(before) - 4 - len(middle) - 4
    return before + struct.pack("<i", to_payload) + middle + struct.pack("<i", to_address) + after


def write(path: Path, addr: str, port: int) -> Path:
    """Makes the program, which sends to ``addr`` (IPv4)."""
    length = len(_code(0))
    address = struct.pack("<H", socket.AF_INET) + port.to_bytes(2) + socket.inet_aton(addr)
    text = _code(length) + PAYLOAD + address + bytes(8)
    size = _HEADERS + len(text)
    header = b"\x7fELF\2\1\1" + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0
    )
    program = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    path.write_bytes(header + program + text)
    path.chmod(0o755)
    return path
