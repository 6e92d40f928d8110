# SPDX-License-Identifier: Apache-2.0
"""Virtual services of IPVS, which forwards what is sent there to a real server by NAT."""

import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path

from tracer.host import netns

# include/uapi/linux/ip_vs.h
IP_VS_SO_SET_ADD, IP_VS_SO_SET_ADDDEST = 1154, 1159
SERVICE = struct.Struct("=H2x4sH2xI16sII4s")  # struct ip_vs_service_user
SERVER = struct.Struct("=4sH2xIiII")  # struct ip_vs_dest_user; its flags 0: by NAT


def has_ipvs() -> bool:
    """Loads the module where the kernel has it."""
    modprobe = shutil.which("modprobe", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not modprobe:
        return False
    done = subprocess.run([modprobe, "ip_vs_rr"], check=False, capture_output=True)
    return done.returncode == 0


def add_service(namespace: str, proto: int, service: tuple[str, int], to: tuple[str, int]) -> None:
    """Makes one with one real server, in a network namespace of ours, given by name."""
    path = Path("/run/netns", namespace)
    (addr, port), (server, server_port) = service, to
    made = SERVICE.pack(
        proto, socket.inet_aton(addr), socket.htons(port), 0, b"rr", 0, 0, b"\xff" * 4
    )
    server_made = SERVER.pack(socket.inet_aton(server), socket.htons(server_port), 0, 1, 0, 0)
    with (
        netns.inside(str(path), path.stat().st_ino),
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock,
    ):
        sock.setsockopt(socket.IPPROTO_IP, IP_VS_SO_SET_ADD, made)
        sock.setsockopt(socket.IPPROTO_IP, IP_VS_SO_SET_ADDDEST, made + server_made)
