# SPDX-License-Identifier: Apache-2.0
"""What a service manager is told, and one that does not listen."""

import contextlib
import socket

import pytest

from tracer.trace import notify


@pytest.fixture
def manager(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def test_what_it_is_told(manager):
    notify.ready()
    notify.stopping()
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_one_that_does_not_listen(manager):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                other.sendto(b"x", manager.getsockname())
    notify.stopping()  # returns
