# SPDX-License-Identifier: Apache-2.0
"""A process that talks when it is told to, and keeps its socket.

    talker.py udp|tcp DESTINATION PORT [connect] [share] [device=NAME]

says as JSON which socket it has, sends a datagram (or a segment) for each line of its standard
input and answers with an empty line, and exits when that ends. ``tcp`` is connected at once;
``share``: a child holds the socket, too. ``listen ADDRESS PORT`` only listens.
"""

import json
import os
import socket
import sys

SO_COOKIE = 57  # include/uapi/asm-generic/socket.h


def open_socket(kind, addr, port, options):
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "device" in options:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, options["device"].encode())
    if kind == "listen":
        sock.bind((addr, port))
        sock.listen()
    elif kind == "tcp" or "connect" in options:
        sock.connect((addr, port))
    return sock


def share():
    """With a child that ends when we do."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(read_end)
        return child
    os.close(write_end)
    os.read(read_end, 1)
    os._exit(0)


def main():
    kind, addr, port, *words = sys.argv[1:]
    options = dict(word.partition("=")[::2] for word in words)
    sock = open_socket(kind, addr, int(port), options)
    child = share() if "share" in options else None
    said = {
        "pid": os.getpid(),
        "child": child,
        "inode": os.fstat(sock.fileno()).st_ino,
        "cookie": int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), sys.byteorder),
    }
    print(json.dumps(said), flush=True)
    for _ in sys.stdin:
        if kind == "tcp" or "connect" in options:
            sock.send(b"from a talker")
        else:
            sock.sendto(b"from a talker", (addr, int(port)))
        print(flush=True)


if __name__ == "__main__":
    main()
