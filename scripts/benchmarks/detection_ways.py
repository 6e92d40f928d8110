# SPDX-License-Identifier: Apache-2.0
"""The ways that a client moves bytes other than send(2) and recv(2)."""

import contextlib
import ctypes
import os
import socket
import tempfile

import detection_wire as wire

from tests.generator import Iovec, Mmsghdr, Msghdr, Ring

_IORING_OP_SEND, _IORING_OP_RECV = 26, 27  # include/uapi/linux/io_uring.h, 5.6
_SO_RCVBUFFORCE = 33
_MSG_WAITFORONE = 0x10000
_AT_ONCE = 32  # datagrams
_libc = ctypes.CDLL(None, use_errno=True)


def send_file(sock: socket.socket, total: int, seconds: float) -> None:
    """sendfile(2)."""
    with tempfile.TemporaryFile() as file:
        file.write(wire.ZEROS)
        file.flush()
        for size in wire.paced(total, wire.CHUNK, seconds):
            done = 0
            while done < size:
                done += os.sendfile(sock.fileno(), file.fileno(), done, size - done)


def receive_spliced(sock: socket.socket, total: int) -> int:
    """splice(2), into a pipe and from there to where it is dropped."""
    reader, writer = os.pipe()
    received = 0
    with open("/dev/null", "wb") as nowhere:
        while received < total:
            came = os.splice(sock.fileno(), writer, min(wire.CHUNK, total - received))
            if not came:
                break
            received += came
            while came:
                came -= os.splice(reader, nowhere.fileno(), came)
    os.close(reader)
    os.close(writer)
    return received


def send_by_ring(sock: socket.socket, total: int, seconds: float) -> None:
    """io_uring."""
    buffer = ctypes.create_string_buffer(wire.CHUNK)
    ring = Ring()
    for size in wire.paced(total, wire.CHUNK, seconds):
        done = 0
        while done < size:
            done += _requested(ring, _IORING_OP_SEND, sock, buffer, size - done)


def receive_by_ring(sock: socket.socket, total: int) -> int:
    """io_uring."""
    buffer = ctypes.create_string_buffer(wire.CHUNK)
    ring, received = Ring(), 0
    while received < total:
        size = min(wire.CHUNK, total - received)
        came = _requested(ring, _IORING_OP_RECV, sock, buffer, size)
        if not came:
            break
        received += came
    return received


def _requested(
    ring: Ring, opcode: int, sock: socket.socket, buffer: ctypes.Array[ctypes.c_char], size: int
) -> int:
    moved = ring.request(opcode, sock.fileno(), ctypes.addressof(buffer), size)
    if moved < 0:
        raise OSError(-moved, os.strerror(-moved))
    return moved


def _messages(size: int) -> ctypes.Array[Mmsghdr]:
    """So many as go at once; all have one buffer, which they keep."""
    buffer = ctypes.create_string_buffer(size)
    vector = (Iovec * 1)(Iovec(ctypes.cast(buffer, ctypes.c_char_p), size))
    header = Msghdr(None, 0, vector, 1, None, 0, 0)
    return (Mmsghdr * _AT_ONCE)(*[Mmsghdr(header, 0) for _ in range(_AT_ONCE)])


def send_many(sock: socket.socket, total: int, seconds: float) -> None:
    """sendmmsg(2), on a connected socket; ``total`` is a number of whole datagrams."""
    messages = _messages(wire.DATAGRAM)
    for size in wire.paced(total, _AT_ONCE * wire.DATAGRAM, seconds):
        wanted = size // wire.DATAGRAM
        if _libc.sendmmsg(sock.fileno(), messages, wanted, 0) != wanted:
            raise OSError(ctypes.get_errno(), "sendmmsg")


def receive_many(sock: socket.socket, total: int) -> int:
    """recvmmsg(2)."""
    messages, received = _messages(wire.DATAGRAM), 0
    while received < total:
        came = _libc.recvmmsg(sock.fileno(), messages, _AT_ONCE, _MSG_WAITFORONE, None)
        if came < 0:  # silence
            break
        received += sum(message.length for message in messages[:came])
    return received


def receive_datagrams(sock: socket.socket, total: int) -> int:
    """recv(2); what came if some were lost."""
    received = 0
    with contextlib.suppress(BlockingIOError):  # silence
        while received < total:
            received += len(sock.recv(wire.CHUNK))
    return received


def make_room(sock: socket.socket, total: int) -> None:
    """For all that comes, so that none is dropped: the kernel counts some 2,304 bytes for each
    datagram of 1,400."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 2 * total + wire.CHUNK)
