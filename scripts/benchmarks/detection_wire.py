# SPDX-License-Identifier: Apache-2.0
"""What the client and its peer agree on: where they are, how one asks the other for traffic, and
how it is spread over time."""

import socket
import struct
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

CLIENT, PEER, PEER6, LOOPBACK = "10.0.0.1", "10.0.0.5", "fd00::5", "127.0.0.1"
CLIENT_MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:05"
PORT, QUIC, DNS = 9999, 443, 53
IPPROTO_SCTP, IPPROTO_TEST = 132, 253  # RFC 3692: 253 is for experiments
DATAGRAM: Final = 1400  # bytes; fits a link
CHUNK: Final = 1 << 16
ZEROS: Final = memoryview(bytes(CHUNK))
PATIENCE: Final = 20  # seconds of silence

_REQUEST: Final = struct.Struct("!4sQQd")
_MARK: Final = b"move"
REQUEST_SIZE: Final = _REQUEST.size


class Request(NamedTuple):
    """Bytes that the client sends after it, bytes that it wants, and in how many seconds."""

    up: int
    down: int
    seconds: float

    def pack(self) -> bytes:
        """As it is sent."""
        return _REQUEST.pack(_MARK, *self)


def request_in(raw: bytes) -> Request | None:
    """None: what was sent is no request."""
    if len(raw) != REQUEST_SIZE or not raw.startswith(_MARK):
        return None
    return Request(*_REQUEST.unpack(raw)[1:])


def be_patient(sock: socket.socket) -> None:
    """A call that waits for too long fails with EAGAIN. The descriptor stays a blocking one."""
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("=qq", PATIENCE, 0))


def paced(total: int, piece: int, seconds: float) -> Iterator[int]:
    """The sizes of pieces that make up ``total``, each when it is due."""
    started, done = time.monotonic(), 0
    while done < total:
        time.sleep(max(0, started + seconds * done / total - time.monotonic()))
        size = min(piece, total - done)
        yield size
        done += size


def send_stream(sock: socket.socket, total: int, seconds: float) -> None:
    """Bytes, by send(2)."""
    for size in paced(total, CHUNK, seconds):
        sock.sendall(ZEROS[:size])


def send_datagrams(
    sock: socket.socket, total: int, seconds: float, to: tuple[str, int], size: int = DATAGRAM
) -> None:
    """A datagram a call."""
    for length in paced(total, size, seconds):
        sock.sendto(ZEROS[:length], to)


def receive_stream(sock: socket.socket, total: int) -> int:
    """How many bytes came: fewer if the other end closes."""
    received = 0
    while received < total:
        came = len(sock.recv(min(CHUNK, total - received)))
        if not came:
            break
        received += came
    return received
