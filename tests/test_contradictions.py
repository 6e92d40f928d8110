# SPDX-License-Identifier: Apache-2.0
"""Filters that nothing can pass, and some that look like it."""

import contextlib
from ipaddress import IPv6Network

import pytest

from tracer.errors import UsageError
from tracer.filter import parse
from tracer.filter.contradictions import check, joined
from tracer.filter.filters import Filters


def filters(**given):
    networks = ("dst", "not_dst", "src")
    return Filters(
        **{
            name: tuple(net for one in value.split() for net in parse.networks(one))
            if name in networks
            else frozenset(value)
            for name, value in given.items()
        }
    )


@pytest.mark.parametrize(
    ("given", "one", "other"),
    [
        ({"dst": "10.0.0.5", "version": {6}}, "--dst 10.0.0.5", "-6"),
        ({"dst": "::ffff:10.0.0.5", "version": {6}}, "--dst 10.0.0.5", "-6"),
        ({"dst": "10.0.0.5 10.0.0.6", "version": {6}}, "--dst", "-6"),
        ({"dst": "::1", "version": {4}}, "--dst ::1", "-4"),
        ({"src": "127.0.0.1", "version": {6}}, "--src 127.0.0.1", "-6"),
        ({"src": "::1", "dst": "127.0.0.0/8"}, "--dst 127.0.0.0/8", "--src ::1"),
        ({"dst": "10.0.0.5", "not_dst": "10.0.0.5"}, "--dst 10.0.0.5", "--not-dst 10.0.0.5"),
        ({"dst": "10.0.0.5", "not_dst": "10.0.0.0/8"}, "--dst 10.0.0.5", "--not-dst 10.0.0.0/8"),
        (
            {"dst": "10.0.0.0/8", "not_dst": "10.0.0.0/9 10.128.0.0/9"},
            "--dst 10.0.0.0/8",
            "--not-dst",
        ),
        ({"dst": "10.0.0.5 ::1", "not_dst": "10.0.0.0/8 ::/0"}, "--dst", "--not-dst"),
        ({"dst": "fe80::1%a", "src": "fe80::2%b"}, "--dst fe80::1%a", "--src fe80::2%b"),
        ({"dst": "fe80::1%a fe80::1%c", "src": "fe80::2%b"}, "--dst", "--src fe80::2%b"),
        ({"port": {53}, "dport": {53}}, "--port", "--dport"),
        ({"proto": {"icmp"}, "dport": {53}}, "--proto icmp", "--dport"),
        ({"proto": {"icmp", "253"}, "sport": {53}}, "--proto", "--sport"),
        ({"proto": {"esp"}, "port": {53}}, "--proto esp", "--port"),
        ({"proto": {"icmp"}, "failed": [True]}, "--failed", "--proto icmp"),
        ({"port": {53}, "sport": {9}}, "--port", "--sport"),
    ],
)
def test_nothing_can_pass(given, one, other):
    with pytest.raises(UsageError) as caught:
        check(filters(**given))
    message = str(caught.value)
    assert message.startswith(f"{one} ")
    assert f" {other}: " in message or f" {other} " in message


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"dst": "10.0.0.5 ::1", "version": {6}},
        {"dst": "10.0.0.5", "version": {4}},
        {"dst": "10.0.0.5", "src": "127.0.0.1 ::1"},
        {"dst": "10.0.0.0/8", "not_dst": "10.0.0.5"},
        {"dst": "10.0.0.5 10.0.0.6", "not_dst": "10.0.0.5"},
        {"dst": "10.0.0.0/8", "not_dst": "10.0.0.0/9"},
        {"dst": "10.0.0.5", "not_dst": "::/0"},
        # what has no peer passes
        {"not_dst": "0.0.0.0/0 ::/0"},
        {"dport": {53}, "sport": {53}},
        {"dst": "fe80::1%a", "src": "fe80::2%a"},
        {"dst": "fe80::1%a", "src": "fe80::2%a fe80::2%b"},
        {"dst": "fe80::1%a", "src": "fe80::2"},
        {"dst": "fe80::1%a 10.0.0.5", "src": "fe80::2%b"},
        {"dst": "fe80::1%a", "src": "fe80::2%7"},
    ],
)
def test_something_can_pass(given):
    check(filters(**given))


@pytest.mark.parametrize(
    ("dst", "not_dst", "refused"),
    [
        ("fe80::5%a", "fe80::5%b", False),
        ("fe80::5", "fe80::5%a", False),
        ("fe80::5%a", "fe80::5%a", True),
        ("fe80::5%a", "fe80::5", True),
    ],
)
def test_a_zone_excludes_itself_only(dst, not_dst, refused):
    asked = Filters(dst=(IPv6Network(dst),), not_dst=(IPv6Network(not_dst),))
    with pytest.raises(UsageError) if refused else contextlib.nullcontext():
        check(asked)


def test_ports_of_two_options():
    none, both = frozenset(), frozenset({53, 80})
    assert joined("--dport", none, "--dst", none) == none
    assert joined("--dport", none, "--dst", both) == joined("--dport", both, "--dst", none) == both
    assert joined("--dport", frozenset({53, 9}), "--dst", both) == {53}
    with pytest.raises(UsageError, match="--dport and the ports of --dst exclude each other"):
        joined("--dport", frozenset({9}), "--dst", both)
