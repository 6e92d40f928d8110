# SPDX-License-Identifier: Apache-2.0
import os
import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.samples import flow, process
from tracer.errors import UsageError
from tracer.filter import filters, maps, parse
from tracer.filter.filters import Filters
from tracer.model.flow import Endpoint, EventKind, Nat, Opener, Origin, Via
from tracer.model.process import File


def strings(networks):
    return [str(network) for network in networks]


@pytest.mark.parametrize(
    ("typed", "parsed"),
    [
        ("10.0.0.5", ["10.0.0.5/32"]),
        ("10.0.0.5/8", ["10.0.0.0/8"]),
        ("fd00::5", ["fd00::5/128"]),
        ("fd00::/16", ["fd00::/16"]),
        ("::ffff:10.0.0.5", ["10.0.0.5/32"]),
        ("::ffff:10.0.0.0/104", ["10.0.0.0/8"]),
        ("::/0", ["::/0"]),
        ("fe80::5%eth0", ["fe80::5%eth0/128"]),
        ("fe80::5%eth0/64", ["fe80::%eth0/64"]),
        ("ff02::fb%3", ["ff02::fb%3/128"]),
    ],
)
def test_networks(typed, parsed):
    assert strings(parse.networks(typed)) == parsed


@pytest.mark.parametrize(
    ("sent_here", "nat_dst", "passes"),
    [
        (False, None, True),
        (True, None, False),  # it has an event where it was sent
        (None, None, None),
        (True, "10.0.0.5", True),  # it has none: what was asked for is NAT's work
        (None, "10.0.0.5", True),
    ],
)
def test_forwarded_packets_count_once(sent_here, nat_dst, passes):
    nat = Nat(dst=Endpoint(ip_address(nat_dst), 53)) if nat_dst else Nat()
    dst = Endpoint(ip_address("10.96.0.1" if nat_dst else "10.0.0.5"), 53)
    packet = flow(
        kind=EventKind.FORWARD, via=Via.DEVICE, process=None, dst=dst, nat=nat,
        origin=Origin("veth1", None, sent_here),
    )  # fmt: skip
    asked = Filters(dst=parse.networks("10.0.0.5"), forward=True)
    assert asked.selects_flow(packet) is passes


def test_a_forwarded_packet_without_a_process_is_nobodys():
    packet = flow(
        kind=EventKind.FORWARD, process=None, origin=Origin("eth0", None, sent_here=False)
    )
    assert Filters(exe=frozenset({"/bin/a"})).selects_flow(packet) is False
    assert Filters(pid=frozenset({1})).matches(packet) is False
    assert Filters(dst=parse.networks("10.0.0.5")).matches(packet)


def test_a_host_name_is_all_its_addresses():
    assert "127.0.0.1/32" in strings(parse.networks("localhost"))


@pytest.mark.parametrize("typed", ["fd00::5%eth0", "10.0.0.5%eth0", "::%eth0/0", "fe80::%eth0/9"])
def test_what_has_no_zone(typed):
    with pytest.raises(UsageError, match="only link-local IPv6 addresses have"):
        parse.networks(typed)


@pytest.mark.parametrize(
    "typed",
    ["", "10.0.0.0/33", "10.0.0.5/x", "no such host", "010.0.0.5", "10.77", "10", "0x7f000001",
     "0x7f.1", "10.0.0.300", "1.2.3.4.5", "10.0.0.5.", "fd00::5::", "10.0.0.5,10.0.0.6", "a/b",
     "fe80::5%", "fe80::%eth0/129"],
)  # fmt: skip
def test_what_is_no_network_is_not_looked_up(typed, monkeypatch):
    def look_up(*_, **__):
        raise AssertionError("the resolver was asked")

    monkeypatch.setattr(parse.socket, "getaddrinfo", look_up)
    with pytest.raises(UsageError, match=f"'{re.escape(typed)}' is not an address"):
        parse.networks(typed)


@pytest.mark.parametrize("typed", ["dns.example.net", "web1", "7eleven.example", "a_b", "x.0xyz"])
def test_what_may_be_a_hosts_name_is_looked_up(typed, monkeypatch):
    found = [(2, 2, 17, "", ("127.0.0.9", 0))]
    monkeypatch.setattr(
        parse.socket, "getaddrinfo", lambda name, *_, **__: found if name == typed else []
    )
    assert strings(parse.networks(typed)) == ["127.0.0.9/32"]


def test_a_name_that_no_host_can_have():
    with pytest.raises(UsageError, match="cannot be resolved"):
        parse.networks("a" * 300)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("ssh", "ssh.service"),
        ("ssh.service", "ssh.service"),
        ("session-1.scope", "session-1.scope"),
        ("org.example.Thing", "org.example.Thing.service"),
        ("getty@tty1", "getty@tty1.service"),
        ("a\\x2db", "a\\x2db.service"),
        ("user@1000.service/app.scope", "user@1000.service/app.scope"),
    ],
)
def test_units(typed, name):
    assert parse.unit(typed) == name


@pytest.mark.parametrize("typed", ["a b", "a/b", "user.slice", "backup.timer", "x" * 250, "é"])
def test_what_is_no_unit_with_processes(typed):
    with pytest.raises(UsageError, match="no process is in a unit"):
        parse.unit(typed)


def test_ports():
    assert parse.ports("53") == {53}
    assert parse.ports("53,8000-8002, 9") == {9, 53, 8000, 8001, 8002}
    assert len(parse.ports("0-65535")) == 65_536


@pytest.mark.parametrize(
    "typed", ["", "x", "-1", "65536", "9-8", "1-", "1,,2", "1-2-3", "٣", "9" * 5000]
)
def test_what_is_no_port(typed):
    with pytest.raises(UsageError):
        parse.ports(typed)


def test_users():
    assert parse.user("root") == 0
    assert parse.user("4294967295") == 4294967295
    for typed in ("no-such-user", "4294967296", "-1"):
        with pytest.raises(UsageError):
            parse.user(typed)


def test_netns_by_path_pid_and_inode():
    inode = Path("/proc/self/ns/net").stat().st_ino
    for typed in ("self", "/proc/self/ns/net", str(os.getpid()), str(inode)):
        assert parse.netns(typed).inode == inode
    for typed in ("nowhere", "", "/etc/passwd", "4294967296", "9" * 5000):
        with pytest.raises(UsageError):
            parse.netns(typed)


def test_a_program_by_its_path_or_its_file(tmp_path):
    path = tmp_path / "dig"
    path.write_text("")
    (file,) = parse.exe_files(str(path))
    assert (file.inode, parse.exe_files(f"{path}-not")) == (path.stat().st_ino, frozenset())
    wanted = Filters(exe=frozenset({str(path)}), exe_file=frozenset({file}))
    other = file._replace(inode=file.inode + 1)
    cases = {
        (str(path), file): True,
        ("/elsewhere", file): True,
        (None, file): True,
        (f"{path} (deleted)", other): True,
        ("/elsewhere", other): False,
        ("/elsewhere", None): False,
        (None, other): None,
        (None, None): None,
    }
    found = {(exe, one): wanted.selects(process(exe=exe, exe_file=one)) for exe, one in cases}
    assert found == cases
    assert wanted.describe() == {"exe": [str(path)]}


def test_a_path_that_leads_to_another_file_here_is_not_taken():
    wanted = Filters(
        exe=frozenset({"/bin/dig", "/app/only"}), exe_elsewhere=frozenset({"/app/only"})
    )
    cases = {
        ("/bin/dig", True): True,
        ("/bin/dig", None): True,
        ("/bin/dig", False): False,
        ("/bin/dig (deleted)", None): True,
        ("/bin/dig (deleted)", False): None,
        ("/app/only", False): True,
        ("/app/only (deleted)", False): True,
    }
    found = {(exe, here): wanted.selects(process(exe=exe, exe_here=here)) for exe, here in cases}
    assert found == cases
    file = File(8, 1, 7)
    forged = process(exe="/bin/dig", exe_here=False, exe_file=file)
    assert wanted._replace(exe_file=frozenset({file})).selects(forged)
    assert wanted.describe() == {"exe": ["/app/only", "/bin/dig"]}


def test_comm_is_cut_as_the_kernel_cuts_it():
    assert parse.comm("a-name-of-sixteen") == b"a-name-of-sixte"
    assert parse.comm("日本語日本x") == "日本語日本".encode()
    assert parse.comm("\udcff") == b"\xff"


def test_describe_names_the_options_in_use():
    described = Filters(
        dst=(ip_network("10.0.0.5"), ip_network("fd00::/8")),
        dport=frozenset({53, 8000, 8001, 8002}),
        uid=frozenset({5, 1}),
    ).describe()
    assert described == {
        "dst": ["10.0.0.5", "fd00::/8"],
        "dport": ["53", "8000-8002"],
        "uid": [1, 5],
    }
    assert Filters().describe() == {}


PEER = ip_address("fe80::5")


@pytest.mark.parametrize(
    ("options", "zone", "oif", "verdict"),
    [
        ({"dst": "fe80::5%d0"}, "d0", 3, True),
        ({"dst": "fe80::5%d0"}, "d1", 4, False),
        ({"dst": "fe80::5%d0"}, None, None, None),
        ({"dst": "fe80::5%nope"}, "d0", 3, False),
        ({"dst": "fe80::%d0/64"}, "d0", 3, True),
        ({"dst": "fe80::6%d0"}, "d0", 3, False),
        ({"dst": "fe80::5"}, None, None, True),
        ({"dst": "fe80::5%3"}, "d0", 3, True),
        ({"dst": "fe80::5%3"}, "d1", 4, False),
        ({"dst": "fe80::5%3"}, None, 3, True),
        ({"dst": "fe80::5%3"}, None, None, None),
        ({"not_dst": "fe80::5%d0"}, "d0", 3, False),
        ({"not_dst": "fe80::5%d0"}, "d1", 4, True),
        ({"not_dst": "fe80::5%d0"}, None, None, None),
        ({"dst": "fe80::/10", "not_dst": "fe80::5%d0"}, "d1", 4, True),
        ({"src": "fe80::1%d0"}, "d0", 3, True),
        ({"src": "fe80::1%d0"}, "d1", 4, False),
    ],
)
def test_zones(options, zone, oif, verdict):
    """What the kernel passes in any zone is decided here; what is not known counts as undecided."""
    asked = Filters(**{name: parse.networks(value) for name, value in options.items()})
    ends = Endpoint(ip_address("fe80::1"), 1, zone), Endpoint(PEER, 53, zone)
    one = flow(src=ends[0], dst=ends[1], oif=oif)
    assert asked.matches(one) is bool(verdict)
    if asked.passes_dst(PEER):
        assert asked.selects_flow(one) is verdict


def test_an_address_that_has_no_zone_passes_whatever_its_interface_is():
    asked = Filters(dst=(*parse.networks("fe80::5%d0"), *parse.networks("10.0.0.5")))
    assert asked.selects_flow(flow(oif=9)) is True


def test_the_kernel_knows_no_zones():
    """It passes an address that is asked for in any zone, and refuses none for its zone."""
    with_zones = Filters(dst=parse.networks("fe80::5%d0"), not_dst=parse.networks("fe80::6%d0"))
    assert maps.entries(with_zones) == maps.entries(Filters(dst=parse.networks("fe80::5")))
    only_excluded = Filters(not_dst=parse.networks("fe80::5%d0"))
    assert all(verdict[0] for _, verdict in maps.entries(only_excluded)["dst_prefixes"])


def test_zones_that_are_asked_for():
    asked = Filters(
        dst=(*parse.networks("fe80::5%d1"), *parse.networks("fe80::6")),
        not_dst=parse.networks("fe80::7%d0"),
        src=parse.networks("fe80::1%d1"),
    )
    assert asked.zones == ["d0", "d1"]
    assert asked.describe()["dst"] == ["fe80::5%d1", "fe80::6"]


def test_ipv6_prefixes_do_not_take_in_ipv4():
    """::/0 covers ::ffff:0:0/96 in bits, but nobody means it so."""
    everything = dict(maps.entries(Filters(dst=(ip_network("::/0"),)))["dst_prefixes"])
    verdicts = {int.from_bytes(key[:4], "little"): value[0] for key, value in everything.items()}
    assert verdicts == {0: 1, 96: 0}
    assert not filters._in_any(ip_address("10.0.0.5"), (ip_network("::/0"),))


HOP, END = ip_address("10.0.0.5"), ip_address("10.9.9.9")


@pytest.mark.parametrize(
    ("dst", "not_dst", "passes"),
    [
        (["10.0.0.5"], [], True),
        (["10.9.9.9"], [], True),
        (["10.0.0.6"], [], False),
        (["10.9.9.9"], ["10.0.0.5"], False),
        ([], ["10.9.9.9"], False),
        ([], ["10.0.0.6"], True),
    ],
)
def test_the_end_or_the_next_stop_of_a_source_route(dst, not_dst, passes):
    asked = Filters(dst=tuple(map(ip_network, dst)), not_dst=tuple(map(ip_network, not_dst)))
    assert asked.passes_dst(END, HOP) is passes
    assert asked.matches(flow(dst=Endpoint(END, 53), hop=HOP)) is passes


WIRE = Endpoint(ip_address("10.1.0.9"), 5353)


@pytest.mark.parametrize(
    ("asked", "passes"),
    [
        ({"dst": "10.1.0.9"}, True),
        ({"dst": "10.0.0.5"}, True),
        ({"dst": "10.0.0.6"}, False),
        ({"dst": "10.0.0.5", "not_dst": "10.1.0.9"}, False),
        ({"src": "10.1.0.9"}, True),
        ({"src": "10.0.0.1"}, True),
        ({"src": "10.0.0.2"}, False),
        ({"dport": 5353}, True),
        ({"dport": 53}, True),
        ({"dport": 0}, False),
        ({"sport": 5353}, True),
        ({"sport": 40001}, True),
        ({"port": 5353}, True),
        ({"port": 54}, False),
    ],
)
def test_both_ends_as_they_are_named_or_as_nat_made_them(asked, passes):
    given = {
        name: frozenset({value}) if isinstance(value, int) else (ip_network(value),)
        for name, value in asked.items()
    }
    assert Filters(**given).matches(flow(nat=Nat(WIRE, WIRE))) is passes
    assert not Filters(dst=(ip_network("10.1.0.9"),)).matches(flow())


def test_a_close_by_another_process_is_not_left_out_in_silence():
    """Its opener may be what is asked for: it counts as undecided."""
    opened = Opener(1, 2)
    closed = flow(kind=EventKind.CLOSE, process=process(exe="/bin/sh"), opener=opened)
    asked = Filters(exe=frozenset({"/usr/bin/python3"}))
    assert asked.selects_flow(closed) is None
    own = closed._replace(opener=Opener(process().pid, process().start_time))
    assert asked.selects_flow(own) is False
    assert Filters(exe=frozenset({"/bin/sh"})).selects_flow(closed) is True
