# SPDX-License-Identifier: Apache-2.0
"""Sends datagrams as fast as sendmmsg(2) does, and says how many a second. Loopback only. They
arrive at a socket that has no room, so that no error comes back.

sender.py ADDRESS NUMBER [BURST PERIOD]: to one address; every PERIOD seconds BURST of them
sender.py NETWORK NUMBER: to as many addresses of it
"""

import ctypes
import ipaddress
import os
import socket
import struct
import sys
import time

AT_ONCE = 64
SIZE = 64  # bytes
PORT = 9999
LIMIT = 1800  # seconds


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


class Sender:
    """A socket, and messages that are sent again and again."""

    def __init__(self, network: ipaddress.IPv4Network) -> None:
        assert network.is_loopback
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._many = network.num_addresses > 1
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self._sink.bind(("0.0.0.0" if self._many else str(network.network_address), PORT))
        payload = ctypes.create_string_buffer(SIZE)
        vector = IoVec(ctypes.addressof(payload), SIZE)
        self._next_address = int(network.network_address)
        self._names = ctypes.create_string_buffer(16 * AT_ONCE)
        self._messages = (MMsgHdr * AT_ONCE)()
        for number, message in enumerate(self._messages):
            message.iov, message.iovlen = ctypes.pointer(vector), 1
            if self._many:
                message.name = ctypes.addressof(self._names) + 16 * number
                message.namelen = 16
        if not self._many:
            self._socket.connect((str(network.network_address), PORT))

    def send(self, number: int) -> int:
        """How many of at most this number went."""
        number = min(number, AT_ONCE)
        if self._many:
            for place in range(number):
                name = struct.pack("=H", socket.AF_INET)
                name += struct.pack("!HI", PORT, self._next_address + place)
                struct.pack_into("8s", self._names, 16 * place, name)
        sent: int = self._libc.sendmmsg(self._socket.fileno(), self._messages, number, 0)
        if sent < 0:
            sys.exit(f"sender: {os.strerror(ctypes.get_errno())}")
        self._next_address += sent
        return sent


def main() -> None:
    """Sends."""
    sender, number = Sender(ipaddress.ip_network(sys.argv[1])), int(sys.argv[2])
    burst, period = (int(sys.argv[3]), float(sys.argv[4])) if len(sys.argv) > 3 else (number, 0)
    started, sent = time.monotonic(), 0
    while sent < number:
        due = started + sent // burst * period
        time.sleep(max(0, due - time.monotonic()))
        sent += sender.send(min(number - sent, burst - sent % burst))
        if time.monotonic() > started + LIMIT:
            sys.exit("sender: this takes too long")
    print(number / (time.monotonic() - started))


if __name__ == "__main__":
    main()
