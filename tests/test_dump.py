# SPDX-License-Identifier: Apache-2.0
"""Listing sockets of several namespaces, where netlink and /proc/net are made up."""

import contextlib
import errno
import os

import pytest

from tests.samples import SOCKET
from tracer.errors import SockwatchError
from tracer.filter.filters import Filters
from tracer.host.netns import Namespaces
from tracer.inventory import dump
from tracer.inventory.selection import Selection
from tracer.model.socket import BOUND_INACTIVE, LISTEN

ALL = {1: "/one", 2: "/two", 3: "/three"}


class Machine:
    """Namespaces 1 (ours), 2 and 3."""

    def __init__(self, monkeypatch):
        self.said, self.asked = [], []
        self.refused = {}
        self.netlink = [SOCKET]
        self.procfs = [SOCKET._replace(cookie=None)]
        self.bound_inactive = True
        self.unreadable = 0
        for module, name, told in (
            (dump.netns, "own", lambda: 1),
            (dump.netns, "all_namespaces", lambda: Namespaces(ALL, self.unreadable)),
            (dump.netns, "inside", self._inside),
            (dump.sock_diag, "connect", lambda: contextlib.nullcontext("diag")),
            (dump.sock_diag, "dump", self._netlink),
            (dump.sock_diag, "lists_bound_inactive", lambda: self.bound_inactive),
            (dump.proc_net, "dump", self._procfs),
        ):
            monkeypatch.setattr(module, name, told)

    @contextlib.contextmanager
    def _inside(self, path, _inode):
        if path in self.refused:
            raise self.refused[path]
        self.asked.append(path)
        yield

    def _netlink(self, _sock, proto, version, _states, inode, **_):
        self.asked.append(("netlink", proto, version, inode))
        if isinstance(self.netlink, Exception):
            raise self.netlink
        yield from (one for one in self.netlink if (proto, version) == ("udp", 4))

    def _procfs(self, proto, version, _states, inode):
        self.asked.append(("procfs", proto, version, inode))
        if isinstance(self.procfs, dict):
            raise self.procfs[version]
        yield from (one for one in self.procfs if (proto, version) == ("udp", 4))

    def sockets(self, selection=None, where=None, source="auto"):
        return list(
            dump.sockets(selection or Selection(), where or {1: None}, source, self.said.append)
        )


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        (set(), {1: None, 2: "/two", 3: "/three"}),
        ({2}, {2: "/two"}),
        ({1}, {1: None}),
        ({1, 3}, {1: None, 3: "/three"}),
    ],
)
def test_namespaces(machine, wanted, where):
    machine.unreadable = 7 if wanted else 0
    found = dump.namespaces(frozenset(wanted), machine.said.append)
    assert list(found.items()) == list(where.items())
    assert machine.said == []


def test_namespaces_that_may_be_there_unseen(machine):
    machine.unreadable = 7
    assert len(dump.namespaces(frozenset(), machine.said.append)) == 3
    (said,) = machine.said
    assert said.startswith("7 of the processes cannot be looked into: network namespaces that")


@pytest.mark.usefixtures("machine")
def test_a_namespace_that_is_nowhere():
    with pytest.raises(SockwatchError, match="nothing leads to the network namespace 9"):
        dump.namespaces(frozenset({2, 9}), print)


def test_each_namespace_in_turn(machine):
    found = machine.sockets(where={1: None, 2: "/two"})
    assert found == [SOCKET, SOCKET]
    assert [what for what in machine.asked if what[1] == "udp" or isinstance(what, str)] == [
        ("netlink", "udp", 4, 1),
        ("netlink", "udp", 6, 1),
        "/two",
        ("netlink", "udp", 4, 2),
        ("netlink", "udp", 6, 2),
    ]


def test_one_that_may_not_be_entered(machine):
    refused = {number: f"/{number}" for number in range(4, 9)}
    for path in ("/two", *refused.values()):
        machine.refused[path] = PermissionError(errno.EPERM, "Operation not permitted")
    hint = ": run it as root" if os.geteuid() else ""
    assert machine.sockets(where={2: "/two", 3: "/three"}) == [SOCKET]
    assert machine.sockets(where={2: "/two", 3: "/three", **refused}) == [SOCKET]
    assert machine.said == [
        f"network namespaces that cannot be entered are not listed, /two{hint}",
        f"network namespaces that cannot be entered are not listed, /two, /4, /5 and 3 more{hint}",
    ]


def test_the_only_one_that_may_not_be_entered(machine):
    machine.refused["/two"] = PermissionError(errno.EPERM, "Operation not permitted")
    with pytest.raises(SockwatchError, match=r"cannot be entered.*: run it as root"):
        machine.sockets(where={2: "/two"})


def test_one_that_has_ended(machine):
    machine.refused["/two"] = FileNotFoundError()
    assert machine.sockets(where={2: "/two"}) == []
    assert machine.said == []


@pytest.mark.parametrize(
    ("filters", "asked"),
    [
        (Filters(proto=frozenset({"tcp"})), [("tcp", 4), ("tcp", 6)]),
        # an IPv6 socket may have IPv4 addresses
        (Filters(version=frozenset({4})), [("udp", 4), ("udp", 6), ("tcp", 4), ("tcp", 6)]),
        (Filters(version=frozenset({6})), [("udp", 6), ("tcp", 6)]),
    ],
)
def test_only_what_may_match_is_asked_for(machine, filters, asked):
    machine.sockets(Selection(filters=filters))
    assert [question[1:3] for question in machine.asked] == asked


def test_what_netlink_lists_is_filtered_again(machine):
    machine.netlink = [SOCKET, SOCKET._replace(uid=7)]
    assert machine.sockets(Selection(filters=Filters(uid=frozenset({7})))) == [
        SOCKET._replace(uid=7)
    ]


def test_without_netlink_procfs_is_read(machine):
    machine.netlink = PermissionError(errno.EPERM, "Operation not permitted")
    assert machine.sockets() == machine.procfs
    (said,) = machine.said
    assert said.startswith("sock_diag cannot be used (Operation not permitted): reading /proc/net")
    assert [question[0] for question in machine.asked] == ["netlink", *["procfs"] * 4]


def test_without_netlink_where_that_was_asked_for(machine):
    machine.netlink = PermissionError(errno.EPERM, "Operation not permitted")
    with pytest.raises(SockwatchError, match=r"sock_diag cannot be used.*: use --source procfs"):
        machine.sockets(source="netlink")


def test_procfs_if_it_is_asked_for(machine):
    assert machine.sockets(source="procfs") == machine.procfs
    assert {question[0] for question in machine.asked} == {"procfs"}


def test_a_kernel_without_ipv6(machine):
    machine.procfs = {4: FileNotFoundError(), 6: FileNotFoundError()}
    with pytest.raises(SockwatchError, match="there is no /proc/net: mount /proc"):
        machine.sockets(source="procfs")
    only_6 = Selection(filters=Filters(version=frozenset({6})))
    assert machine.sockets(only_6, source="procfs") == []


@pytest.mark.parametrize(
    ("states", "listed", "said"),
    [
        ({BOUND_INACTIVE}, False, 1),
        ({BOUND_INACTIVE}, True, 0),
        ({LISTEN}, False, 0),
        (None, False, 0),
    ],
)
def test_a_state_that_the_kernel_does_not_list(machine, states, listed, said):
    machine.bound_inactive = listed
    machine.sockets(Selection(frozenset(states)) if states else Selection())
    assert len(machine.said) == said
