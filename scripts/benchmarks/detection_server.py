# SPDX-License-Identifier: Apache-2.0
"""The peer of scripts/benchmarks/detection.py, in a process of its own: gives what it is asked for,
and takes what comes. Prints ``ready``; ends with its standard input.

detection_server.py WHERE: ``peer``, all that it can; ``loopback``, TCP only
"""

import contextlib
import socket
import sys
import threading

import detection_wire as wire


def serve(conn: socket.socket) -> None:
    """One connection, until it has moved what was asked for."""
    wire.be_patient(conn)
    with conn, contextlib.suppress(OSError):
        asked = wire.request_in(conn.recv(wire.REQUEST_SIZE))
        if asked:
            giver = threading.Thread(target=wire.send_stream, args=(conn, *asked[1:]))
            giver.start()
            wire.receive_stream(conn, asked.up)
            giver.join()


def accept_all(listener: socket.socket) -> None:
    """A thread for each."""
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=serve, args=(conn,), daemon=True).start()


def answer_all(sock: socket.socket) -> None:
    """Datagrams: what is no request is dropped."""
    while True:
        raw, sender = sock.recvfrom(wire.CHUNK)
        asked = wire.request_in(raw)
        if asked:
            give = (sock, asked.down, asked.seconds, sender)
            threading.Thread(target=wire.send_datagrams, args=give, daemon=True).start()


def listening(family: int, protocol: int = 0) -> socket.socket:
    """On all addresses; IPv6's are IPv4's, too."""
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("", wire.PORT))
    sock.listen(128)
    return sock


def bound(port: int) -> socket.socket:
    """For datagrams of both families."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("", port))
    return sock


def main() -> None:
    """Serves."""
    work = [(accept_all, listening(socket.AF_INET6))]
    if sys.argv[1] == "peer":
        work += [(answer_all, bound(port)) for port in (wire.PORT, wire.QUIC, wire.DNS)]
        with contextlib.suppress(OSError):  # a kernel without it
            work.append((accept_all, listening(socket.AF_INET, wire.IPPROTO_SCTP)))
        # so that no error comes back
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, wire.IPPROTO_TEST)
        work.append((answer_all, raw))
    for target, sock in work:
        threading.Thread(target=target, args=(sock,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
