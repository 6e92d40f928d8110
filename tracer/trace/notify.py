# SPDX-License-Identifier: Apache-2.0
"""Tells the service manager how far this process is: sd_notify(3)."""

import contextlib
import os
import socket
import time


def ready() -> None:
    """Started, or done with what :func:`reloading` began."""
    _send("READY=1")


def reloading() -> None:
    """Asked to go on with a new log. May be called by a signal handler."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """About to end."""
    _send("STOPPING=1")


def _send(state: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(state.encode(), f"\0{address[1:]}" if address[0] == "@" else address)
