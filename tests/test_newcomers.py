# SPDX-License-Identifier: Apache-2.0
"""Namespaces that are opened by a process of its own; a pipe stands for what the kernel tells."""

import os
from pathlib import Path

import pytest

from tests.native.conftest import ip, wait_for
from tracer.host import netns
from tracer.kernel.newcomers import Newcomer
from tracer.prove import newcomers
from tracer.prove.newcomers import Newcomers


class Told:
    """Reads as a ring does: "PID INODE" a line."""

    def __init__(self, descriptor):
        self._descriptor = descriptor

    def read(self):
        lines = os.read(self._descriptor, 4096).splitlines()
        return [Newcomer(*map(int, line.split())) for line in lines]


@pytest.fixture
def told(monkeypatch):
    """Returns two ends of a pipe: what Newcomers reads, and what is written to."""
    monkeypatch.setattr(newcomers, "NewcomerRing", Told)
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def tell(told, *those):
    os.write(told[1], "".join(f"{pid} {inode}\n" for pid, inode in those).encode())


def test_it_hands_over_what_it_opens(told):
    own = os.getpid(), netns.own()
    with Newcomers(told[0]) as opening:
        assert list(opening.opened()) == []
        tell(told, own, own)
        found = []
        wait_for(lambda: found.extend(opening.opened()) or len(found) == 2)
    for inode, descriptor in found:
        assert inode == os.fstat(descriptor).st_ino == netns.own()
        os.close(descriptor)


def test_who_has_ended_or_is_elsewhere_is_passed_over(told):
    with Newcomers(told[0]) as opening:
        tell(told, (1 << 30, netns.own()), (os.getpid(), 1), (os.getpid(), netns.own()))
        found = []
        wait_for(lambda: found.extend(opening.opened()) or found)
        ((inode, descriptor),) = found
        os.close(descriptor)
    assert inode == netns.own()


def test_it_ends_with_the_block(told):
    with Newcomers(told[0]) as opening:
        tell(told, (os.getpid(), netns.own()))  # which nobody takes
        pid = opening._pid
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_it_keeps_nothing_open(told):
    """Else what is attached would stay if the parent were killed."""
    with Newcomers(told[0]) as opening:
        tell(told, (os.getpid(), netns.own()))
        wait_for(lambda: list(map(os.close, (fd for _, fd in opening.opened()))))
        kept = {int(fd.name) for fd in Path(f"/proc/{opening._pid}/fd").iterdir()} - {0, 1, 2}
    assert told[0] in kept
    assert len(kept) == 3  # and /proc/self/mountinfo


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give one a name")
def test_what_gets_a_name_is_opened(told):
    """Nothing else need tell of it."""
    name = f"swnamed{os.getpid()}"
    with Newcomers(told[0]) as opening:
        ip("netns", "add", name)
        try:
            inode, found = Path(f"/run/netns/{name}").stat().st_ino, []
            wait_for(lambda: found.extend(opening.opened()) or found)
        finally:
            ip("netns", "del", name)
        ((opened, descriptor),) = found
        os.close(descriptor)
    assert opened == inode
