# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.samples import SOCKET, process
from tracer.errors import UsageError
from tracer.filter import parse
from tracer.filter.filters import Filters
from tracer.inventory.selection import Selection
from tracer.model.process import Holder
from tracer.model.socket import STATE_NAMES, Held

HELD = (Held(Holder(1, "init", None), 3), Held(Holder(9, "dig", None), 4))


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("established", {1}),
        ("ESTAB", {1}),
        ("time_wait", {6}),
        ("unconn", {7}),
        ("listen", {10}),
        ("new-syn-recv", {12}),
        ("bound-inactive", {13}),
        ("bucket", {3, 6, 12}),
        ("connected", {1, 2, 3, 4, 5, 6, 8, 9, 11, 12}),
    ],
)
def test_states_have_the_names_that_ss_has(name, states):
    assert parse.state(name) == states


def test_every_name_is_one():
    assert all(parse.state(name) for name in STATE_NAMES)
    with pytest.raises(UsageError, match="there is no state 'asleep'"):
        parse.state("asleep")


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        ({"dst": ("10.0.0.0/8",)}, True),
        ({"dst": ("10.0.0.6",)}, False),
        ({"not_dst": ("10.0.0.5",)}, False),
        ({"src": ("10.0.0.1",)}, True),
        ({"src": ("::/0",)}, False),
        ({"dport": {53}}, True),
        ({"sport": {53}}, False),
        ({"port": {53}}, True),
        ({"port": {40001}}, True),
        ({"port": {9}}, False),
        ({"uid": {1000}}, True),
        ({"uid": {0}}, False),
        ({"version": {6}}, False),
    ],
)
def test_what_is_selected(options, taken):
    networks = ("dst", "not_dst", "src")
    given = {
        name: tuple(net for text in value for net in parse.networks(text))
        if name in networks
        else frozenset(value)
        for name, value in options.items()
    }
    assert Selection(filters=Filters(**given)).takes(SOCKET) == taken


def test_a_socket_without_peer_has_no_destination():
    unconnected = SOCKET._replace(dst=None, dport=None)
    assert not Selection(filters=Filters(dst=tuple(parse.networks("0.0.0.0/0")))).takes(unconnected)
    assert Selection(filters=Filters(not_dst=tuple(parse.networks("10.0.0.5")))).takes(unconnected)


def test_one_holder_is_enough():
    by_pid, by_name = Filters(pid=frozenset({9})), Filters(comm=frozenset({b"dig"}))
    both = Filters(pid=frozenset({1}), comm=frozenset({b"dig"}))
    for filters in (by_pid, by_name, both):
        assert Selection(filters=filters).takes_holders(HELD)
    assert not Selection(filters=Filters(pid=frozenset({2}))).takes_holders(HELD)
    assert not Selection(filters=by_pid).takes_holders(None)
    assert Selection().takes_holders(())


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        ({1: None, 9: process(units=("x.service",), cgroup="/x.service")}, True),
        ({1: None, 9: process(cgroup="/")}, None),
        ({1: process(cgroup="/"), 9: process(cgroup=None)}, None),
        ({1: process(cgroup="/"), 9: process(cgroup="/y.service")}, False),
    ],
)
def test_a_unit_of_which_not_all_holders_are_known(found, taken):
    selection = Selection(filters=Filters(unit=frozenset({"x.service"})), process_of=found.get)
    assert selection.takes_holders(HELD) is taken


def test_holders_that_are_not_known():
    assert Selection(filters=Filters(pid=frozenset({9}))).takes_holders(None) is None
    assert Selection().takes_holders(None) is True


@pytest.mark.parametrize(
    ("asked", "zone", "taken"),
    [
        ("fe80::5%d0", "d0", True),
        ("fe80::5%d0", "d1", False),
        ("fe80::5%d0", None, False),  # procfs tells none, and the user is warned
        ("fe80::5%3", "d0", True),
        ("fe80::5", "d1", True),
    ],
)
def test_a_zone(asked, zone, taken):
    ends = {"src": "fe80::1", "dst": "fe80::5", "src_zone": zone, "dst_zone": zone}
    sock = SOCKET._replace(**ends, ifindex=3 if zone == "d0" else 0, version=6)
    assert Selection(filters=Filters(dst=parse.networks(asked))).takes(sock) is taken
