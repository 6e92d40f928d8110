# SPDX-License-Identifier: Apache-2.0
"""Files stand for namespaces: their inode numbers, too, are given away again once nobody has them
open. Real namespaces are in native/test_filters.py."""

import os
from pathlib import Path

import pytest

from tracer.filter.parse import NetnsPlace
from tracer.host.netns import Namespaces
from tracer.trace import held_netns
from tracer.trace.held_netns import HeldNetns


def inode_of(path):
    try:
        return os.stat(path).st_ino  # noqa: PTH116  as the real one
    except OSError:
        return None


class Machine:
    """``others`` are paths of processes and mounts that lead to a namespace."""

    def __init__(self, folder):
        self.folder = folder
        self.others = {}
        self.passes = set()
        self.said = []

    def add_netns(self, inode):
        self.passes.add(inode)

    def remove_netns(self, inode):
        self.passes.remove(inode)

    def make(self, name):
        path = self.folder / name
        path.write_text("")
        return path, path.stat().st_ino

    def watch(self, *places):
        held = HeldNetns(NetnsPlace(*place) for place in places)
        self.passes = set(held.inodes())
        return held

    def check(self, held):
        held.check(self, self.said.append)
        return [(change.asked, change.inode) for change in self.said]


def open_inodes():
    return {inode_of(fd) for fd in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    made = Machine(tmp_path)
    monkeypatch.setattr(held_netns, "netns_inode", inode_of)
    monkeypatch.setattr(held_netns.netns, "all_namespaces", lambda: Namespaces(made.others, 0))
    return made


def test_one_that_stays(machine):
    path, inode = machine.make("blue")
    held = machine.watch(("blue", str(path), inode))
    assert machine.check(held) == []
    assert (machine.passes, held.inodes(), held.not_held()) == ({inode}, {inode}, [])
    assert inode in open_inodes()
    held.close()
    assert inode not in open_inodes()


def test_one_that_ends_and_is_made_anew(machine):
    path, inode = machine.make("blue")
    held = machine.watch(("blue", str(path), inode))
    path.unlink()
    assert machine.check(held) == [("blue", None)]
    assert "nothing leads to the network namespace blue any more" in str(machine.said[0])
    assert machine.passes == set()
    assert inode not in open_inodes()  # nor is it kept alive
    assert len(machine.check(held)) == 1  # it is said once
    _, anew = machine.make("blue")
    assert machine.check(held)[1:] == [("blue", anew)]
    assert (machine.passes, held.inodes()) == ({anew}, {anew})
    assert anew in open_inodes()


def test_one_that_is_replaced_between_two_looks(machine):
    path, inode = machine.make("blue")
    held = machine.watch(("blue", str(path), inode))
    path.unlink()
    _, anew = machine.make("blue")
    assert anew != inode  # because it is held
    assert machine.check(held) == [("blue", anew)]
    assert f"blue is another network namespace now ({anew})" in str(machine.said[0])
    assert machine.passes == {anew}
    assert inode not in open_inodes()


def test_a_name_that_is_gone_while_a_process_is_there(machine):
    path, inode = machine.make("blue")
    other, _ = machine.make("of-a-process")
    held = machine.watch(("blue", str(path), inode))
    other.unlink()
    other.hardlink_to(path)
    machine.others[inode] = str(other)
    path.unlink()
    assert machine.check(held) == []
    assert machine.passes == {inode}
    machine.others.clear()
    other.unlink()
    assert machine.check(held) == [("blue", None)]


def test_two_names_of_one(machine):
    path, inode = machine.make("blue")
    other = machine.folder / "azure"
    other.hardlink_to(path)
    held = machine.watch(("blue", str(path), inode), ("azure", str(other), inode))
    path.unlink()
    _, anew = machine.make("blue")
    machine.check(held)
    assert machine.passes == {inode, anew}


def test_a_pid_is_not_followed_to_its_successor(machine, monkeypatch):
    """Its namespace is watched for as long as anything leads there."""
    path, inode = machine.make("ns")
    monkeypatch.setattr(held_netns, "_PROC", str(machine.folder))
    held = machine.watch(("4321", str(path), inode))
    path.unlink()
    machine.make("ns")
    assert machine.check(held) == [("4321", None)]
    assert machine.passes == set()


def test_an_inode_that_nothing_leads_to_is_not_vouched_for(machine):
    held = machine.watch(("4026532000", None, 4026532000))
    assert machine.check(held) == []
    assert (machine.passes, held.not_held()) == ({4026532000}, ["4026532000"])


def test_an_inode_that_a_process_leads_to(machine):
    path, inode = machine.make("of-a-process")
    machine.others[inode] = str(path)
    held = machine.watch((str(inode), None, inode))
    assert (machine.check(held), held.not_held()) == ([], [])
    machine.others.clear()
    path.unlink()
    assert machine.check(held) == [(str(inode), None)]
