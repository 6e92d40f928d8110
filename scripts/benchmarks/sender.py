# SPDX-License-Identifier: Apache-2.0
"""Sends datagrams as fast as sendmmsg(2) does, and says how many a second. Loopback only.

sender.py ADDRESS NUMBER
"""

import ctypes
import ipaddress
import socket
import sys
import time

AT_ONCE = 64
SIZE = 64  # bytes


class IoVec(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class MMsgHdr(ctypes.Structure):
    """``struct mmsghdr``, with its ``struct msghdr`` laid out flat."""

    _fields_ = (
        ("name", ctypes.c_void_p), ("namelen", ctypes.c_uint),
        ("iov", ctypes.POINTER(IoVec)), ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int), ("length", ctypes.c_size_t),
    )  # fmt: skip


def main() -> None:
    """Sends."""
    addr, number = sys.argv[1], int(sys.argv[2])
    assert ipaddress.ip_address(addr).is_loopback
    libc = ctypes.CDLL(None, use_errno=True)
    payload = ctypes.create_string_buffer(SIZE)
    vector = IoVec(ctypes.addressof(payload), SIZE)
    messages = (MMsgHdr * AT_ONCE)()
    for message in messages:
        message.iov, message.iovlen = ctypes.pointer(vector), 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((addr, 9999))
        started, sent = time.monotonic(), 0
        while sent < number:
            done = libc.sendmmsg(sock.fileno(), messages, min(AT_ONCE, number - sent), 0)
            # nobody listens: the answers to earlier ones are errors of later ones, sent nothing
            sent += max(done, 0)
            if time.monotonic() > started + 60:
                sys.exit("sender: this takes too long")
        print(number / (time.monotonic() - started))


if __name__ == "__main__":
    main()
