# SPDX-License-Identifier: Apache-2.0
"""Addresses with ports behind them."""

import pytest

from tracer.errors import UsageError
from tracer.filter import parse
from tracer.filter.endpoints import endpoints, split


@pytest.mark.parametrize(
    ("typed", "address", "ports"),
    [
        ("10.0.0.5", "10.0.0.5", None),
        ("10.0.0.5:53", "10.0.0.5", "53"),
        ("10.0.0.0/8:53,80-90", "10.0.0.0/8", "53,80-90"),
        ("dns.example.net:domain", "dns.example.net", "domain"),
        ("fd00::5", "fd00::5", None),
        ("fd00::5:53", "fd00::5:53", None),  # it is an address
        ("[fd00::5]", "fd00::5", None),
        ("[fd00::5]:53", "fd00::5", "53"),
        ("[fd00::]/16:53", "fd00::/16", "53"),
        ("[fe80::1%eth0]:53", "fe80::1%eth0", "53"),
        ("fe80::1%eth0", "fe80::1%eth0", None),
        ("10.0.0.5:", "10.0.0.5", ""),
        (":53", "", "53"),
        ("[10.0.0.5]:53", "[10.0.0.5]", "53"),
        ("[fd00::5", "[fd00::5", None),
        ("[fd00::5]53", "[fd00::5]53", None),
    ],
)
def test_split(typed, address, ports):
    assert split(typed) == (address, ports)


def test_each_value_has_its_address_and_all_the_same_ports():
    found = endpoints("--dst", ["10.0.0.5:53", "[fd00::5]:domain", "10.0.0.5:53"])
    assert list(map(str, found.networks)) == ["10.0.0.5/32", "fd00::5/128"]
    assert found.ports == {53}
    assert endpoints("--dst", ["10.0.0.5", "[::1]"]).ports == frozenset()
    assert endpoints("--dst", []) == ((), frozenset())


def test_ports_of_one_address_are_alternatives():
    assert endpoints("--dst", ["10.0.0.5:53", "10.0.0.5:80"]).ports == {53, 80}
    assert endpoints("--dst", ["10.0.0.5:53", "10.0.0.5"]).ports == frozenset()
    assert endpoints("--dst", ["10.0.0.5", "10.0.0.5:53"]).ports == frozenset()


@pytest.mark.parametrize(
    "values",
    [
        ["10.0.0.5:53", "10.0.0.6:80"],
        ["10.0.0.5:53", "10.0.0.6"],
        ["10.0.0.6", "10.0.0.5:53"],
        ["10.0.0.5:53", "10.0.0.0/8:80"],
        ["10.0.0.5:53", "10.0.0.5:80", "10.0.0.6:53"],
    ],
)
def test_pairs_that_no_filter_can_hold_are_refused(values):
    """Not widened to all the ports of all the addresses."""
    with pytest.raises(UsageError, match="the values of --dst have different ports"):
        endpoints("--dst", values)


@pytest.mark.parametrize(
    "typed",
    ["10.0.0.5:", ":53", "10.0.0.5:70000", "[fd00::5]:x-", "[10.0.0.5]:53", "[fd00::5", "[]:53",
     "http://10.0.0.5/", "10.0.0.5:53:80", "[fd00::5]/129"],
)  # fmt: skip
def test_what_is_no_address_with_ports(typed, monkeypatch):
    monkeypatch.setattr(parse.socket, "getaddrinfo", no_look_up)
    with pytest.raises(UsageError):
        endpoints("--dst", [typed])


def no_look_up(*_, **__):
    raise AssertionError("the resolver was asked")
