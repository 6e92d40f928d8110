# SPDX-License-Identifier: Apache-2.0
import contextlib
import socket

import pytest

from tracer.model import protocols


def test_names_are_those_of_this_machine():
    """Where it has them."""
    found = {}
    for number, name in protocols.NAMES.items():
        with contextlib.suppress(OSError):
            found[socket.getprotobyname(name)] = number
    assert found
    assert all(theirs == ours for theirs, ours in found.items())


def test_a_name_leads_back_to_its_number():
    assert [protocols.number(protocols.name(number)) for number in range(256)] == [*range(256)]
    assert len(protocols.ALL) == 256


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("icmp", "icmp"), ("ICMP", "icmp"), ("1", "icmp"), ("001", "icmp"), ("icmp6", "ipv6-icmp"),
        ("58", "ipv6-icmp"), ("ax.25", "ax.25"), ("255", "255"), ("99", "99"), ("0", "hopopt"),
    ],
)  # fmt: skip
def test_what_a_user_asks_for(asked, name):
    assert protocols.find(asked) == name


@pytest.mark.parametrize("asked", ["", "ip", "256", "-1", "1.0", "٣", "0x11", "9" * 5000])
def test_what_is_no_protocol(asked):
    assert protocols.find(asked) is None
