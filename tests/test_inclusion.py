# SPDX-License-Identifier: Apache-2.0
"""Whether a trace's filter lets pass all that is asked for."""

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.samples import flow, process
from tracer.filter import parse
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.filter.inclusion import KNOWN, left_out, of_description
from tracer.model.flow import Endpoint
from tracer.model.process import Container


def nets(*texts):
    return tuple(net for text in texts for net in parse.networks(text))


def described(filters):
    return of_description(filters.describe())


WHOLE = Filters(
    dst=nets("10.0.0.0/8", "fe80::5%eth0", "fd00::5"),
    not_dst=nets("10.0.0.1"),
    src=nets("10.1.0.0/16"),
    dport=frozenset({53, 8000, 8001}),
    sport=frozenset({1}),
    pid=frozenset({7}),
    uid=frozenset({0, 33}),
    netns=frozenset({4026531833}),
    version=frozenset({4}),
    proto=frozenset({"udp"}),
    failed=True,
    accept=True,
    follow=True,
    summary=True,
    exe=frozenset({"/usr/bin/dig"}),
    cgroup=frozenset({"/system.slice"}),
    container=frozenset({"abab"}),
    unit=frozenset({"ssh.service"}),
)


def test_what_is_described_is_the_same_filter():
    assert described(WHOLE) == WHOLE
    assert described(NO_FILTERS) == NO_FILTERS
    assert described(Filters(comm=frozenset({b"dig"}))).comm == {b"dig"}


def test_every_part_is_decided_on():
    """A part that is new must be decided on in tracer/filter/inclusion.py."""
    assert set(Filters._fields) - {"exe_file", "exe_elsewhere"} == KNOWN


@pytest.mark.parametrize(
    "parts",
    [
        {"colour": ["red"]},
        {"dst": "10.0.0.5"},
        {"dst": ["example.org"]},
        {"dst": [5]},
        {"dport": ["53-"[:3] + "x"]},
        {"dport": ["99999"]},
        {"dport": ["9-8"]},
        {"uid": ["0"]},
        {"uid": [True]},
        {"failed": 1},
        {"proto": {"udp": 1}},
        {"exe_file": []},
    ],
)
def test_what_no_run_describes(parts):
    with pytest.raises((ValueError, TypeError)):
        of_description(parts)


def test_no_namespace_that_is_left_lets_nothing_pass():
    assert left_out(of_description({"netns": []}), Filters(netns=frozenset({5}))) == ["netns"]


@pytest.mark.parametrize(
    ("trace", "asked", "parts"),
    [
        ({}, {}, []),
        ({}, {"dst": nets("10.0.0.5"), "uid": frozenset({0}), "failed": True}, []),
        ({"dst": nets("10.0.0.5")}, {"dst": nets("10.0.0.5")}, []),
        ({"dst": nets("10.0.0.5")}, {"dst": nets("10.0.0.6")}, ["dst"]),
        ({"dst": nets("10.0.0.5")}, {}, ["dst"]),
        ({"dst": nets("10.0.0.5")}, {"dst": nets("10.0.0.5", "10.0.0.6")}, ["dst"]),
        ({"dst": nets("10.0.0.0/9", "10.128.0.0/9")}, {"dst": nets("10.0.0.0/8")}, []),
        ({"dst": nets("10.0.0.5")}, {"dst": nets("10.0.0.0/8")}, ["dst"]),
        ({"dst": nets("10.0.0.5")}, {"dst": nets("10.0.0.5", "fd00::5"),
                                     "version": frozenset({4})}, []),
        ({"dst": nets("fe80::5%eth0")}, {"dst": nets("fe80::5%eth0")}, []),
        ({"dst": nets("fe80::5")}, {"dst": nets("fe80::5%eth0")}, []),
        ({"dst": nets("fe80::5%eth0")}, {"dst": nets("fe80::5")}, ["dst"]),
        ({"dst": nets("fe80::5%eth0")}, {"dst": nets("fe80::5%eth1")}, ["dst"]),
        ({"src": nets("10.0.0.0/8")}, {"src": nets("10.0.0.1")}, []),
        ({"src": nets("10.0.0.0/8")}, {"dst": nets("10.0.0.1")}, ["src"]),
        ({"not_dst": nets("10.0.0.1")}, {"dst": nets("10.0.0.5")}, []),
        ({"not_dst": nets("10.0.0.5")}, {"dst": nets("10.0.0.5")}, ["not_dst"]),
        ({"not_dst": nets("10.0.0.1")}, {"dst": nets("10.0.0.0/8")}, ["not_dst"]),
        ({"not_dst": nets("10.0.0.1")}, {}, ["not_dst"]),
        ({"not_dst": nets("10.0.0.1")}, {"not_dst": nets("10.0.0.0/24")}, []),
        ({"not_dst": nets("fd00::1")}, {"version": frozenset({4})}, []),
        ({"not_dst": nets("fe80::5%eth0")}, {"dst": nets("fe80::5%eth1")}, ["not_dst"]),
        ({"dport": frozenset({53, 80})}, {"dport": frozenset({53})}, []),
        ({"dport": frozenset({53})}, {"dport": frozenset({53, 80})}, ["dport"]),
        ({"dport": frozenset({53})}, {"port": frozenset({53})}, ["dport"]),
        ({"port": frozenset({53})}, {"dport": frozenset({53})}, []),
        ({"port": frozenset({53})}, {"sport": frozenset({53})}, []),
        ({"port": frozenset({53})}, {"sport": frozenset({54})}, ["port"]),
        ({"proto": frozenset({"udp"})}, {"proto": frozenset({"udp"})}, []),
        ({"proto": frozenset({"udp"})}, {"proto": frozenset({"tcp"})}, ["proto"]),
        ({"proto": frozenset({"udp"})}, {}, ["proto"]),
        ({"version": frozenset({4})}, {"dst": nets("10.0.0.5")}, []),
        ({"version": frozenset({4})}, {"dst": nets("fd00::5")}, ["version"]),
        ({"version": frozenset({4})}, {}, ["version"]),
        ({"uid": frozenset({0, 1})}, {"uid": frozenset({1})}, []),
        ({"uid": frozenset({0})}, {"uid": frozenset({1})}, ["uid"]),
        ({"pid": frozenset({7})}, {"comm": frozenset({b"dig"})}, ["pid"]),
        ({"comm": frozenset({b"a\xff"})}, {"comm": frozenset({b"a\xff"})}, []),
        ({"comm": frozenset({b"a"})}, {"comm": frozenset({b"b"})}, ["comm"]),
        ({"cgroup": frozenset({"/a"})}, {"cgroup": frozenset({"/a/b"})}, []),
        ({"cgroup": frozenset({"/a"})}, {"cgroup": frozenset({"/ab"})}, ["cgroup"]),
        ({"cgroup": frozenset({"/a"})}, {}, ["cgroup"]),
        ({"container": frozenset({"abab"})}, {"container": frozenset({"ababcd"})}, []),
        ({"container": frozenset({"ababcd"})}, {"container": frozenset({"abab"})}, ["container"]),
        ({"unit": frozenset({"a.service"})}, {"unit": frozenset({"a.service"})}, []),
        ({"exe": frozenset({"/a"})}, {"exe": frozenset({"/b"})}, ["exe"]),
        ({"failed": True}, {}, ["failed"]),
        ({"failed": True}, {"failed": True}, []),
        ({"follow": True, "pid": frozenset({7})}, {"pid": frozenset({7})}, []),
        ({}, {"accept": True}, []),
    ],
)  # fmt: skip
def test_left_out(trace, asked, parts):
    assert left_out(described(Filters(**trace)), Filters(**asked)) == parts


ADDRESSES = ["10.0.0.1", "10.0.0.5", "10.1.0.5", "fd00::5"]
NETS = st.lists(st.sampled_from([*ADDRESSES, "10.0.0.0/24", "10.0.0.0/8"]), max_size=2).map(
    lambda texts: nets(*texts)
)


def some(*values):
    return st.frozensets(st.sampled_from(values), max_size=2)


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "dst": NETS,
        "not_dst": NETS,
        "src": NETS,
        "dport": some(53, 54),
        "port": some(53, 54),
        "uid": some(0, 1),
        "comm": some(b"a", b"b"),
        "version": st.sampled_from([frozenset({4}), frozenset({6}), frozenset({4, 6})]),
        "proto": st.sampled_from(
            [frozenset({"udp"}), frozenset({"tcp"}), frozenset({"udp", "tcp"})]
        ),
        "cgroup": some("/a", "/a/b"),
        "container": some("abab", "ababab"),
    },
).map(lambda parts: Filters(**parts))
FLOWS = st.builds(
    lambda dst, src, dport, sport, uid, comm, proto, cgroup, container: flow(
        dst=Endpoint(ip_address(dst), dport),
        src=Endpoint(ip_address(src if ":" not in dst else "fd00::1"), sport),
        proto=proto,
        process=process(
            uid=uid, comm=comm, cgroup=cgroup, container=Container(container, None, None)
        ),
    ),
    st.sampled_from(ADDRESSES),
    st.sampled_from(ADDRESSES[:3]),
    *[st.sampled_from([53, 54, 55])] * 2,
    st.sampled_from([0, 1]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["udp", "tcp"]),
    st.sampled_from(["/a", "/a/b", "/c"]),
    st.sampled_from(["abababab", "ababcdcd"]),
)


@settings(deadline=None, max_examples=300)
@given(FILTERS, FILTERS, FLOWS)
def test_what_is_included_passes(trace, asked, a_flow):
    """Where nothing is left out, whatever passes the one passes the other."""
    if not left_out(described(trace), asked) and asked.matches(a_flow):
        assert trace.matches(a_flow)
