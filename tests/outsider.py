# SPDX-License-Identifier: Apache-2.0
"""Sends packets that no socket of this machine's IP stack makes: as a virtual machine's monitor,
into a tun or tap; or, past the queue of a device and its hooks, as another machine's.

    outsider.py tap|napi|tun|past DEVICE SOURCE TO

``napi``: a tap whose packets are delivered by a softirq. TO is the Ethernet address that frames go
to. Says "ready" once the device is there; then sends for each line of its input, "PROTO DST COUNT",
and says "sent".
"""

import fcntl
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.generator import echo_request, ip_packet, tcp_segment, udp_packet

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_TAP, IFF_NAPI, IFF_NO_PI = 1, 2, 0x10, 0x1000
FLAGS = {"tun": IFF_TUN, "tap": IFF_TAP, "napi": IFF_TAP | IFF_NAPI}
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
MAC = "02:00:00:00:00:77"
PAYLOAD = b"hello"
SPORT, PORT = 40077, 9
PAYLOADS = {
    "udp": (17, udp_packet(PAYLOAD, SPORT, PORT)),
    "tcp": (6, tcp_segment(PORT)),
    "icmp": (1, echo_request(8, len(PAYLOAD))),
    "esp": (50, PAYLOAD * 4),
}


def opened(how: str, device: str) -> Callable[[bytes], object]:
    """Returns what writes a frame."""
    if how == "past":
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        sock.bind((device, 0))
        return sock.send
    tap = os.open("/dev/net/tun", os.O_RDWR)
    request = struct.pack("16sH22x", device.encode(), FLAGS[how] | IFF_NO_PI)
    fcntl.ioctl(tap, TUNSETIFF, request)
    return lambda frame: os.write(tap, frame)


def main(how: str, device: str, source: str, to: str) -> None:
    write = opened(how, device)
    head = b"" if how == "tun" else bytes.fromhex((to + MAC).replace(":", "")) + b"\x08\x00"
    print("ready", flush=True)
    for line in sys.stdin:
        proto, dst, count = line.split()
        number, payload = PAYLOADS[proto]
        for _ in range(int(count)):
            write(head + ip_packet(source, dst, payload, number))
        print("sent", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
