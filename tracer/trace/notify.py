# SPDX-License-Identifier: Apache-2.0
"""Tells the service manager what this process is doing: sd_notify(3)."""

import contextlib
import os
import socket
import time
from typing import Final

_PATIENCE: Final = 0.2  # seconds for the service manager to make room


def ready() -> None:
    """Says that the start, or what :func:`reloading` began, is complete."""
    _send("READY=1")


def reloading() -> None:
    """Says that the log is being reopened. A signal handler may call this."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """Says that this process is about to end."""
    _send("STOPPING=1")


def _send(state: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_PATIENCE)  # its queue is full, unix(7): a manager that hangs
        sock.sendto(state.encode(), f"\0{address[1:]}" if address[0] == "@" else address)
