# SPDX-License-Identifier: Apache-2.0
"""Who accepted a connection, by who holds its sockets."""

from ipaddress import ip_address

import pytest

from tests.samples import SOCKET, flow, process
from tracer.host.fd_holders import Holders
from tracer.model.flow import Endpoint, EventKind
from tracer.trace import acceptor

ARRIVED = 1000
FLOW = flow(
    kind=EventKind.ACCEPT,
    proto="tcp",
    process=None,
    src=Endpoint(ip_address("10.0.0.1"), 22),
    dst=Endpoint(ip_address("10.0.0.5"), 40001),
)
ACCEPTED = SOCKET._replace(proto="tcp", inode=70)
STARTED = {1: 10, 2: 20, 3: 30, 8: ARRIVED + 1}  # process 9 has ended


def listening(src="0.0.0.0", inode=60):
    return SOCKET._replace(proto="tcp", state="LISTEN", src=src, dst=None, inode=inode)


@pytest.fixture
def found(monkeypatch):
    """Returns the pid that is found where these listen, and these hold (pids by inode)."""

    def dump(diag, proto, version, states, netns, *, sport):
        assert (diag, proto, states, netns, sport) == ("diag", "tcp", {10}, FLOW.netns, 22)
        return [sock for sock in there if sock.version == version]

    def process_of(pid):
        return process(pid=pid, start_time=STARTED[pid]) if pid in STARTED else None

    def find(holders, *listeners, accepted=ACCEPTED, unreadable=0):
        there[:] = listeners
        flat = {
            inode: tuple(n for pid in pids for n in (pid, 3)) for inode, pids in holders.items()
        }
        held = Holders(flat, unreadable)
        who = acceptor.find("diag", FLOW, accepted, held, process_of, ARRIVED)
        return who and who.pid

    there = []
    monkeypatch.setattr(acceptor.sock_diag, "dump", dump)
    return find


@pytest.mark.parametrize("accepted", [ACCEPTED, None])
def test_who_alone_listens(found, accepted):
    assert found({60: (1,)}, listening(), accepted=accepted) == 1
    assert found({60: (1,), 70: (2,)}, listening(), accepted=accepted) == 1
    assert found({60: (8,)}, listening(), accepted=accepted) is None  # it began later


def test_nobody_has_what_waits_for_accept(found):
    """systemd may listen, and start the one that will accept."""
    assert found({60: (1,)}, listening(), accepted=ACCEPTED._replace(inode=None)) is None


@pytest.mark.parametrize(
    ("src", "version", "may_be"),
    [
        ("10.0.0.1", 4, True),
        ("10.0.0.1", 6, True),  # mapped
        ("::", 6, True),
        ("10.0.0.2", 4, False),
        ("fd00::1", 6, False),
    ],
)
def test_where_it_may_have_come_to(found, src, version, may_be):
    at = listening(src, 61)._replace(version=version)
    assert found({61: (1,)}, at, accepted=None) == (1 if may_be else None)
    both = found({60: (2,), 61: (1,)}, listening(), at, accepted=None)
    assert both == (None if may_be else 2)
    assert found({60: (2,), 61: (2,)}, listening(), at, accepted=None) == 2


def test_whose_listening_socket_is_not_known_may_be_anybodys(found):
    """As one that only the kernel has."""
    assert found({}, listening(), accepted=None) is None
    assert found({61: (1,)}, listening(), listening(inode=61), accepted=None) is None
    assert found({61: (1,), 70: (1,)}, listening(), listening(inode=61)) == 1


def test_one_of_several(found):
    assert found({60: (1, 2)}, listening()) is None
    assert found({60: (1, 2), 70: (2,)}, listening()) == 2
    assert found({60: (2, 3), 70: (1, 3)}, listening()) == 3
    assert found({60: (2, 3), 70: (1,)}, listening()) == 1
    assert found({60: (9, 3), 70: (9, 3)}, listening()) == 3
    assert found({70: (1,)}) == 1


def test_a_later_process_may_have_it_from_its_parent(found):
    assert found({60: (1, 8), 70: (8,)}, listening()) is None


def test_whoever_could_not_be_read_may_have_it(found):
    """But for init, which may be closed to root, too."""
    assert found({60: (1,)}, listening(), unreadable=1) == 1
    assert found({60: (1,)}, listening(), unreadable=2) is None
