# SPDX-License-Identifier: Apache-2.0
"""Asks a DNS server for the address of a name."""

import os
import socket

labels = b"".join(bytes([len(part)]) + part for part in b"licence.example.net".split(b"."))
question = bytes.fromhex("0001 0100 0001 0000 0000 0000") + labels + bytes.fromhex("00 0001 0001")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.sendto(question, (os.environ["SERVER"], 53))
    sock.recv(512)
