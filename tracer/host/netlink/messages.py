# SPDX-License-Identifier: Apache-2.0
"""Sends and reads netlink messages on a plain socket, for sock_diag and routes.

pyroute2 takes about 90 microseconds to decode a socket, and 22 MB to import, as much as all the
rest of a tracer; one ``struct`` call takes one microsecond. Layout: netlink(7), in the machine's
own byte order. Errors of the kernel are raised as OSError.
"""

import os
import socket
import struct
from collections.abc import Generator, Iterator
from typing import Final

HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct rtattr: length, type
_ERROR: Final = struct.Struct("=i")  # the start of NLMSG_ERROR and NLMSG_DONE: 0 or -errno

_NLM_F_REQUEST: Final = 1
_NLM_F_DUMP: Final = 0x300
_NLMSG_NOOP: Final = 1
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_TYPE_MASK: Final = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

LARGEST_READ: Final = 1 << 16  # netlink_dump() fills at most 32 KiB at once

# A message: the bytes of the read that it lies in, and its payload's start and end there.
Message = tuple[bytes, int, int]


def connect(protocol: int, groups: int = 0) -> socket.socket:
    """Opens a netlink socket of this protocol (``NETLINK_…``) that hears ``groups`` (a bit mask).
    Raises OSError."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        sock.bind((0, groups))
    except OSError:
        sock.close()
        raise
    return sock


def ask(sock: socket.socket, kind: int, payload: bytes) -> Message:
    """Sends a request and returns its one answer. Raises OSError if the kernel refuses it."""
    sock.send(HEADER.pack(HEADER.size + len(payload), kind, _NLM_F_REQUEST, 0, 0) + payload)
    return next(messages(sock.recv(LARGEST_READ)))


def dump(sock: socket.socket, kind: int, payload: bytes) -> Iterator[Message]:
    """Sends a request and yields all answers. Raises OSError, also when the dump breaks off
    half-way."""
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    sock.send(HEADER.pack(HEADER.size + len(payload), kind, flags, 0, 0) + payload)
    done = False
    while not done:
        read = sock.recv(LARGEST_READ)
        done = yield from _until_done(read)


def messages(read: bytes) -> Iterator[Message]:
    """Yields the messages of one read. Raises OSError for one that reports an error."""
    yield from _until_done(read)


def kind_of(message: Message) -> int:
    """Returns a message's type."""
    read, start, _ = message
    _, kind, *_ = HEADER.unpack_from(read, start - HEADER.size)
    return int(kind)


def attribute(kind: int, payload: bytes) -> bytes:
    """Encodes an attribute, padded to 4 bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def attributes(raw: bytes) -> dict[int, bytes]:
    """Maps types to payloads; if a type comes twice, the last one counts."""
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(raw):
        length, kind = _ATTRIBUTE.unpack_from(raw, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = raw[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def _until_done(read: bytes) -> Generator[Message, None, bool]:
    """Yields messages; the value of ``yield from`` says whether NLMSG_DONE was there."""
    at, end = 0, len(read)
    while at < end:
        length, kind, *_ = HEADER.unpack_from(read, at)
        if kind in (_NLMSG_ERROR, _NLMSG_DONE):
            (error,) = _ERROR.unpack_from(read, at + HEADER.size)
            if error:
                raise OSError(-error, os.strerror(-error))
            return True
        if kind != _NLMSG_NOOP:
            yield read, at + HEADER.size, at + length
        at += (length + 3) & ~3
    return False
