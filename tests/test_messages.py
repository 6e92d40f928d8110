# SPDX-License-Identifier: Apache-2.0
"""Netlink messages by themselves; against a real kernel, see native/test_sockets.py."""

import struct

import pytest

from tracer.filter import bytecode, parse
from tracer.filter.filters import Filters
from tracer.host.netlink import messages

NLMSG_ERROR, NLMSG_DONE = 2, 3


def message(kind, payload):
    return messages.HEADER.pack(messages.HEADER.size + len(payload), kind, 0, 0, 0) + payload


def test_messages_of_one_read():
    read = message(20, b"first---") + message(20, b"next") + message(NLMSG_DONE, bytes(4))
    found = [data[start:end] for data, start, end in messages.messages(read)]
    assert found == [b"first---", b"next"]


@pytest.mark.parametrize("kind", [NLMSG_ERROR, NLMSG_DONE])
def test_an_error_is_raised_also_at_the_end_of_a_dump(kind):
    read = message(20, b"first---") + message(kind, struct.pack("=i", -13))
    with pytest.raises(PermissionError):
        list(messages.messages(read))


def test_attributes():
    raw = messages.attribute(7, b"abc") + messages.attribute(1 | 0x8000, b"nested")
    assert len(raw) % 4 == 0
    assert messages.attributes(raw) == {7: b"abc", 1: b"nested"}
    assert messages.attributes(b"\x01\x00\x00\x00") == {}  # no end without progress


def test_bytecode_that_would_not_fit_is_left_out():
    many = tuple(net for i in range(9000) for net in parse.networks(f"10.0.{i // 256}.{i % 256}"))
    assert bytecode.assemble(Filters()) == b""
    assert bytecode.assemble(Filters(dst=many)) == b""
    assert bytecode.assemble(Filters(dst=many[:100])) != b""
