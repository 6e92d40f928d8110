# SPDX-License-Identifier: Apache-2.0
"""What is read of a packet's headers: bpf/headers.bpf.c, compiled for this machine."""

import struct
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

HERE = Path(__file__).parent
IPV4, IPV6, ARP, VLAN = 0x0800, 0x86DD, 0x0806, 0x8100
TCP, UDP, ICMP, ICMPV6, ESP, AH, SCTP, DCCP, UDPLITE, GRE = 6, 17, 1, 58, 50, 51, 132, 33, 136, 47
HOP_BY_HOP, ROUTING, FRAGMENT, OPTIONS, MOBILITY, NOTHING = 0, 43, 44, 60, 135, 59
FROM, TO = ("10.0.0.1", "10.0.0.5"), ("fd00::1", "fd00::5")


def udp(size=4, length=None):
    """From port 40001 to 53."""
    return struct.pack("!4H", 40001, 53, 8 + size if length is None else length, 0) + b"x" * size


def tcp(size=4, words=5, said=None):
    """``said`` is what the header says of its length, in words, which may be a lie."""
    start = struct.pack("!HHII", 40001, 53, 1, 2) + bytes([(said or words) << 4, 2])
    return start.ljust(4 * words, b"\1") + b"x" * size


def icmp(size=4):
    """Of type 8, code 3."""
    return bytes([8, 3]) + bytes(6) + b"x" * size


def sctp(size=4):
    return struct.pack("!HHII", 40001, 53, 1, 2) + b"x" * size


def dccp(size=4, said=4):
    """A header of 16 bytes."""
    return struct.pack("!HHB11x", 40001, 53, said) + b"x" * size


def ipv4(below, protocol=UDP, options=b"", length=None, fragment=0, words=None):
    header = 20 + len(options)
    return (
        struct.pack(
            "!BBHHHBBH",
            0x40 | (header // 4 if words is None else words),
            0,
            header + len(below) if length is None else length,
            1,
            fragment,
            64,
            protocol,
            0,
        )
        + b"".join(ip_address(addr).packed for addr in FROM)
        + options
        + below
    )


def ipv6(below, following=UDP, length=None, ends=TO):
    return (
        struct.pack("!IHBB", 6 << 28, len(below) if length is None else length, following, 64)
        + b"".join(ip_address(addr).packed for addr in ends)
        + below
    )


def extended(*kinds, below=None, last=UDP, more=0):
    """Extension headers in a row, each of 8 bytes and MORE of these, and what is below."""
    following = [*kinds, last][1:]
    raw = b"".join(
        bytes([then, 0 if kind == FRAGMENT else more])
        + bytes(6 if kind == FRAGMENT else 6 + 8 * more)
        for kind, then in zip(kinds, following, strict=True)
    )
    return ipv6(raw + (udp() if below is None else below), kinds[0] if kinds else last)


def first_fragment(offset=0, more=1, following=UDP):
    return struct.pack("!BBHI", following, 0, offset << 3 | more, 1)


SEEN4 = (UDP, 40001, 53, 4, *(f"::ffff:{addr}" for addr in FROM), "::")
SEEN6 = (UDP, 40001, 53, 4, *TO, "::")
LITE4 = (UDPLITE, *SEEN4[1:])
LITE6 = (UDPLITE, *SEEN6[1:])


def below4(protocol, size, *ports_or_type):
    return (protocol, *(ports_or_type or (0, 0)), size, *SEEN4[4:])


def below6(protocol, size, *ports_or_type):
    return (protocol, *(ports_or_type or (0, 0)), size, *SEEN6[4:])


FAR = {4: "10.9.9.9", 6: "fd00::99"}  # where a source route ends
ROUTED4 = (*SEEN4[:5], "::ffff:10.9.9.9", SEEN4[5])
ROUTED6 = (*SEEN6[:5], "fd00::99", SEEN6[5])


def of_size(seen, size):
    return (*seen[:3], size, *seen[4:])


def source_route(kind=131, pointer=4, stops=("10.8.8.8", FAR[4])):
    """An option with the stops that are left; its destination is the first one."""
    raw = b"".join(ip_address(stop).packed for stop in stops)
    return bytes([kind, 3 + len(raw), pointer]) + raw + b"\0"


def routing(kind, *stops, left=1, before=()):
    """A routing header behind those BEFORE it, and UDP."""
    raw = b"".join(ip_address(stop).packed for stop in stops)
    header = bytes([UDP, len(raw) // 8, kind, left]) + bytes(4) + raw
    return extended(*before, last=ROUTING, below=header + udp())


PACKETS = {
    "ipv4": (IPV4, ipv4(udp()), SEEN4),
    "ipv4_empty": (IPV4, ipv4(udp(0)), of_size(SEEN4, 0)),
    "ipv4_one_byte": (IPV4, ipv4(udp(1)), of_size(SEEN4, 1)),
    "ipv4_1472": (IPV4, ipv4(udp(1472)), of_size(SEEN4, 1472)),
    "ipv4_largest": (IPV4, ipv4(udp(65507)), of_size(SEEN4, 65507)),
    "ipv4_udplite": (IPV4, ipv4(udp(), UDPLITE), LITE4),
    "ipv4_udplite_covers_its_header": (IPV4, ipv4(udp(length=8), UDPLITE), LITE4),
    "ipv4_udplite_covers_all": (IPV4, ipv4(udp(length=0), UDPLITE), LITE4),
    "ipv4_option": (IPV4, ipv4(udp(), options=bytes([148, 4, 0, 0])), SEEN4),
    "ipv4_options_40": (IPV4, ipv4(udp(), options=b"\x01" * 40), SEEN4),
    "ipv4_options_udplite": (IPV4, ipv4(udp(), UDPLITE, options=b"\x01" * 8), LITE4),
    "ipv4_first_fragment": (IPV4, ipv4(udp(), fragment=0x2000), SEEN4),
    "ipv4_do_not_fragment": (IPV4, ipv4(udp(), fragment=0x4000), SEEN4),
    "ipv4_later_fragment": (
        IPV4, ipv4(udp(), fragment=0x2001), (1 << 16, 12, 1, "::ffff:10.0.0.5")),
    "ipv4_last_fragment": (IPV4, ipv4(udp(), fragment=185), (1 << 16, 12, 0, "::ffff:10.0.0.5")),
    "udplite_later_fragment": (
        IPV4, ipv4(b"x" * 80, UDPLITE, fragment=0x2001), (1 << 16, 80, 1, "::ffff:10.0.0.5")),
    "udplite_last_fragment": (
        IPV4, ipv4(b"x" * 80, UDPLITE, fragment=1), (1 << 16, 80, 0, "::ffff:10.0.0.5")),
    "udplite_last_fragment_lies": (
        IPV4, ipv4(b"x" * 80, UDPLITE, length=9000, fragment=1),
        (1 << 16, 80, 0, "::ffff:10.0.0.5")),
    "udplite_fragment_ipv6": (
        IPV6, ipv6(first_fragment(1, 1, UDPLITE) + b"x" * 80, FRAGMENT), (1, 80, 1, "fd00::5")),
    "udplite_last_fragment_ipv6": (
        IPV6, ipv6(first_fragment(2, 0, UDPLITE) + b"x" * 9, FRAGMENT), (1, 9, 0, "fd00::5")),
    "extended_fragment_ipv6": (
        IPV6, ipv6(first_fragment(2, 0, OPTIONS) + b"x" * 9, FRAGMENT), (1, 9, 0, "fd00::5")),
    "ipv4_largest_offset": (
        IPV4, ipv4(udp(), fragment=0x1FFF), (1 << 16, 12, 0, "::ffff:10.0.0.5")),
    "ipv4_tcp": (IPV4, ipv4(tcp(), TCP), (TCP, *SEEN4[1:])),
    "ipv4_tcp_options": (IPV4, ipv4(tcp(words=8), TCP), (TCP, *SEEN4[1:])),
    "ipv4_tcp_longest_options": (IPV4, ipv4(tcp(words=15), TCP), (TCP, *SEEN4[1:])),
    "ipv4_tcp_header_of_4_words": (IPV4, ipv4(tcp(words=5, said=4), TCP), (TCP, *SEEN4[1:])),
    "ipv4_tcp_header_beyond_the_packet": (
        IPV4, ipv4(tcp(words=5, said=15), TCP), (TCP, *of_size(SEEN4, 0)[1:])),
    "ipv4_tcp_cut_off": (IPV4, ipv4(tcp()[:19], TCP), below4(TCP, 19)),
    "ipv4_options_tcp": (IPV4, ipv4(tcp(), TCP, options=b"\x01" * 8), (TCP, *SEEN4[1:])),
    "ipv4_icmp": (IPV4, ipv4(icmp(), ICMP), below4(ICMP, 4, 8, 3)),
    "ipv4_icmp_options": (
        IPV4, ipv4(icmp(), ICMP, options=b"\x01" * 8), below4(ICMP, 4, 8, 3)),
    "ipv4_icmp_fragmented": (
        IPV4, ipv4(icmp(1472), ICMP, fragment=0x2000), below4(ICMP, 1472, 8, 3)),
    "ipv4_icmp_later_fragment": (
        IPV4, ipv4(b"x" * 80, ICMP, fragment=0x2001), (1 << 16, 80, 1, "::ffff:10.0.0.5")),
    "ipv4_icmp_cut_off": (IPV4, ipv4(icmp()[:7], ICMP), below4(ICMP, 7)),
    "ipv4_icmp_routed": (
        IPV4, ipv4(icmp(), ICMP, options=source_route()),
        (ICMP, 8, 3, 4, "::ffff:10.0.0.1", "::ffff:10.9.9.9", "::ffff:10.0.0.5")),
    "ipv4_sctp": (IPV4, ipv4(sctp(), SCTP), (SCTP, *SEEN4[1:])),
    "ipv4_dccp": (IPV4, ipv4(dccp(), DCCP), (DCCP, *SEEN4[1:])),
    "ipv4_dccp_header_of_2_words": (IPV4, ipv4(dccp(said=2), DCCP), (DCCP, *of_size(SEEN4, 8)[1:])),
    "ipv4_gre": (IPV4, ipv4(bytes(4) + ipv4(udp()), GRE), below4(GRE, 36)),
    "ipv4_esp": (IPV4, ipv4(bytes(16), ESP), below4(ESP, 16)),
    "ipv4_ah": (IPV4, ipv4(bytes(12) + udp(), AH), below4(AH, 24)),
    "ipv4_in_ipv4": (IPV4, ipv4(ipv4(udp()), 4), below4(4, 32)),
    "ipv4_hop_by_hop": (IPV4, ipv4(udp(), 0), below4(0, 12)),
    "ipv4_unknown": (IPV4, ipv4(udp(), 253), below4(253, 12)),
    "ipv4_unknown_fragment": (
        IPV4, ipv4(b"x" * 80, 253, fragment=0x2001), (1 << 16, 80, 1, "::ffff:10.0.0.5")),
    "ipv4_of_nothing": (IPV4, ipv4(b"", 253), below4(253, 0)),
    "ipv6": (IPV6, ipv6(udp()), SEEN6),
    "ipv6_empty": (IPV6, ipv6(udp(0)), of_size(SEEN6, 0)),
    "ipv6_1452": (IPV6, ipv6(udp(1452)), of_size(SEEN6, 1452)),
    "ipv6_largest": (IPV6, ipv6(udp(65527)), of_size(SEEN6, 65527)),
    "ipv6_udplite": (IPV6, ipv6(udp(), UDPLITE), LITE6),
    "ipv6_udplite_covers_its_header": (IPV6, ipv6(udp(length=8), UDPLITE), LITE6),
    "ipv6_tcp": (IPV6, ipv6(tcp(), TCP), (TCP, *SEEN6[1:])),
    "ipv6_icmp": (IPV6, ipv6(icmp(), ICMPV6), below6(ICMPV6, 4, 8, 3)),
    "ipv6_icmp_fragmented": (
        IPV6, ipv6(first_fragment(following=ICMPV6) + icmp(1440), FRAGMENT),
        below6(ICMPV6, 1440, 8, 3)),
    "ipv6_icmp_last_fragment": (
        IPV6, ipv6(first_fragment(2, 0, ICMPV6) + b"x" * 9, FRAGMENT), (1, 9, 0, "fd00::5")),
    "ipv6_icmp_cut_off": (IPV6, ipv6(icmp()[:7], ICMPV6), below6(ICMPV6, 7)),
    "ipv6_sctp": (IPV6, ipv6(sctp(), SCTP), (SCTP, *SEEN6[1:])),
    "ipv6_esp": (IPV6, ipv6(bytes(16), ESP), below6(ESP, 16)),
    "ipv6_ah": (IPV6, ipv6(bytes(12) + udp(), AH), below6(AH, 24)),
    "ipv6_mobility": (IPV6, ipv6(bytes(8) + udp(), MOBILITY), below6(MOBILITY, 20)),
    "ipv6_nothing_below": (IPV6, ipv6(b"", NOTHING), below6(NOTHING, 0)),
    "ipv6_unknown": (IPV6, ipv6(udp(), 253), below6(253, 12)),
    "ipv6_hop_by_hop": (IPV6, extended(HOP_BY_HOP), SEEN6),
    "ipv6_routing": (IPV6, extended(ROUTING), SEEN6),
    "ipv6_options": (IPV6, extended(OPTIONS), SEEN6),
    "ipv6_two": (IPV6, extended(HOP_BY_HOP, OPTIONS), SEEN6),
    "ipv6_three": (IPV6, extended(HOP_BY_HOP, OPTIONS, ROUTING), SEEN6),
    "ipv6_long": (IPV6, extended(OPTIONS, more=2), SEEN6),
    "ipv6_long_ones": (IPV6, extended(HOP_BY_HOP, ROUTING, OPTIONS, more=5), SEEN6),
    "ipv6_longest": (IPV6, extended(OPTIONS, more=255), SEEN6),
    "ipv6_extended_udplite": (IPV6, extended(HOP_BY_HOP, OPTIONS, last=UDPLITE), LITE6),
    "ipv6_extended_tcp": (
        IPV6, extended(HOP_BY_HOP, last=TCP, below=tcp()), (TCP, *SEEN6[1:])),
    "ipv6_extended_icmp": (
        IPV6, extended(HOP_BY_HOP, last=ICMPV6, below=icmp()), below6(ICMPV6, 4, 8, 3)),
    "ipv6_extended_esp": (
        IPV6, extended(HOP_BY_HOP, last=ESP, below=bytes(20)), below6(ESP, 20)),
    "ipv6_whole_in_a_fragment": (IPV6, ipv6(first_fragment(more=0) + udp(), FRAGMENT), SEEN6),
    "ipv6_first_fragment": (IPV6, ipv6(first_fragment() + udp(), FRAGMENT), SEEN6),
    "ipv6_second_fragment": (
        IPV6, ipv6(first_fragment(1) + udp(), FRAGMENT), (1, 12, 1, "fd00::5")),
    "ipv6_last_fragment": (
        IPV6, ipv6(first_fragment(181, 0) + udp(), FRAGMENT), (1, 12, 0, "fd00::5")),
    "ipv6_largest_offset": (
        IPV6, ipv6(first_fragment(0x1FFF) + udp(), FRAGMENT), (1, 12, 1, "fd00::5")),
    "ipv6_extended_fragment": (IPV6, extended(HOP_BY_HOP, FRAGMENT), SEEN6),
    "ipv6_of_ipv4": (
        IPV6,
        ipv6(udp(), ends=("::ffff:10.0.0.1", "::ffff:10.0.0.5")),
        SEEN4,
    ),
    "ipv4_udp_length_0": (IPV4, ipv4(udp(length=0)), SEEN4),
    "ipv4_udp_length_below_its_header": (IPV4, ipv4(udp(length=7)), SEEN4),
    "ipv4_udp_length_beyond_the_packet": (IPV4, ipv4(udp(length=65535)), SEEN4),
    "ipv4_udp_length_of_a_part": (IPV4, ipv4(udp(9, length=12)), SEEN4),
    "ipv4_length_beyond_the_packet": (IPV4, ipv4(udp(), length=1500), SEEN4),
    "ipv4_length_below_its_headers": (IPV4, ipv4(udp(), length=27), SEEN4),
    "ipv4_padded": (IPV4, ipv4(udp()) + bytes(14), SEEN4),
    "ipv4_fragmented": (IPV4, ipv4(udp(1472, 5008), fragment=0x2000), of_size(SEEN4, 5000)),
    "ipv4_without_udp_header": (IPV4, ipv4(b"", length=0), below4(UDP, 0)),
    "ipv4_with_half_a_udp_header": (IPV4, ipv4(udp()[:7]), below4(UDP, 7)),
    "ipv4_options_beyond_the_packet": (IPV4, ipv4(b"", words=6), None),
    "ipv4_header_of_4_words": (IPV4, ipv4(udp(), words=4), None),
    "ipv4_loose_route": (IPV4, ipv4(udp(), options=source_route()), ROUTED4),
    "ipv4_strict_route": (IPV4, ipv4(udp(), options=source_route(137)), ROUTED4),
    "ipv4_route_of_one": (IPV4, ipv4(udp(), options=source_route(stops=[FAR[4]])), ROUTED4),
    "ipv4_route_behind_options": (
        IPV4, ipv4(udp(), options=b"\x01" * 4 + bytes([148, 4, 0, 0]) + source_route()), ROUTED4),
    "ipv4_route_behind_many": (
        IPV4, ipv4(udp(), options=b"\x01" * 32 + source_route(stops=[FAR[4]])), ROUTED4),
    "ipv4_route_at_its_end": (IPV4, ipv4(udp(), options=source_route(pointer=12)), SEEN4),
    "ipv4_route_behind_the_end": (
        IPV4, ipv4(udp(), options=bytes(4) + source_route()), SEEN4),
    "ipv4_route_too_long": (
        IPV4, ipv4(udp(), options=bytes([131, 39, 4]) + bytes(9)), SEEN4),
    "ipv4_route_too_short": (IPV4, ipv4(udp(), options=bytes([131, 3, 4, 0])), SEEN4),
    "ipv4_option_of_no_length": (IPV4, ipv4(udp(), options=bytes([148, 0]) * 4), SEEN4),
    "ipv6_four": (IPV6, extended(HOP_BY_HOP, OPTIONS, ROUTING, OPTIONS), SEEN6),
    "ipv6_six": (IPV6, extended(HOP_BY_HOP, OPTIONS, ROUTING, OPTIONS, OPTIONS, OPTIONS), SEEN6),
    "ipv6_fifteen": (IPV6, extended(*[OPTIONS] * 15), SEEN6),
    "ipv6_sixteen": (IPV6, extended(*[OPTIONS] * 16), "unread"),
    "ipv6_length_beyond_the_packet": (IPV6, ipv6(udp(), length=1500), SEEN6),
    "ipv6_udp_length_beyond_the_packet": (IPV6, ipv6(udp(length=65535)), SEEN6),
    "ipv6_extension_beyond_the_packet": (
        IPV6, ipv6(bytes([UDP, 9, 0, 0, 0, 0, 0, 0]), 0), below6(UDP, 0)),
    "ipv6_cut_off_in_an_extension": (IPV6, ipv6(bytes(5), OPTIONS), below6(OPTIONS, 5)),
    "ipv6_fragmented": (
        IPV6, ipv6(first_fragment() + udp(1440, 5008), FRAGMENT), of_size(SEEN6, 5000)),
    "ipv6_segments": (IPV6, routing(4, FAR[6], "fd00::8", left=1), ROUTED6),
    "ipv6_segments_at_their_end": (IPV6, routing(4, FAR[6], "fd00::8", left=0), SEEN6),
    "ipv6_home_address": (IPV6, routing(2, FAR[6]), ROUTED6),
    "ipv6_route_of_type_0": (IPV6, routing(0, "fd00::8", FAR[6], left=2), ROUTED6),
    "ipv6_route_of_type_3": (IPV6, routing(3, FAR[6]), SEEN6),
    "ipv6_route_of_no_address": (IPV6, routing(4), SEEN6),
    "ipv6_route_behind_headers": (
        IPV6, routing(4, FAR[6], before=(HOP_BY_HOP, OPTIONS)), ROUTED6),
    "no_bytes": (IPV4, b"", None),
    "no_bytes_ipv6": (IPV6, b"", None),
    "arp": (ARP, bytes(28), None),
    "vlan": (VLAN, bytes(4) + ipv4(udp()), None),
    "ipv4_said_to_be_ipv6": (IPV6, ipv4(udp()), None),
    "ipv6_said_to_be_ipv4": (IPV4, ipv6(udp()), None),
}  # fmt: skip


# How much must be linear to be read.
PORTS_OR_TYPE = {"icmp": (8, 3), "othe": (0, 0)}
LINEAR = {
    "ipv4_header": (IPV4, ipv4(udp()), 28),
    "ipv4_options": (IPV4, ipv4(udp(), options=b"\x01" * 8), 36),
    "ipv4_tcp": (IPV4, ipv4(tcp(), TCP), 40),
    "ipv4_sctp": (IPV4, ipv4(sctp(), SCTP), 32),
    "ipv4_icmp": (IPV4, ipv4(icmp(), ICMP), 28),
    "ipv4_other": (IPV4, ipv4(udp(), 253), 20),
    "ipv6_header": (IPV6, ipv6(udp()), 48),
    "ipv6_extensions": (IPV6, extended(HOP_BY_HOP, OPTIONS), 64),
}


@pytest.fixture(scope="module")
def parse(tmp_path_factory):
    program = tmp_path_factory.mktemp("headers") / "headers"
    subprocess.run(["cc", "-O1", "-Wall", "-o", program, HERE / "headers.c"], check=True)

    def parse(packets):
        lines = "".join(
            f"{kind:04x}{linear:08x}{of_tcp:x}{raw.hex()}\n"
            for kind, raw, linear, of_tcp in packets
        )
        done = subprocess.run([program], input=lines, check=True, capture_output=True, text=True)
        said = iter(done.stdout.splitlines())
        return [read(next(said), said) for _ in packets]

    return parse


@pytest.fixture(scope="module")
def found(parse):
    return dict(zip(PACKETS, parse(whole(PACKETS.values())), strict=True))


def whole(packets, of_tcp=False):
    return [(kind, raw, len(raw), of_tcp) for kind, raw, _ in packets]


def read(first, following):
    if first in "-?":
        return {"-": None, "?": "unread"}[first]
    if first[0] == "+":
        return (*map(int, first[1:].split()), next(following))
    return (*map(int, first.split()), *(next(following) for _ in range(3)))


@pytest.mark.parametrize("name", PACKETS)
def test_packet(found, name):
    assert found[name] == PACKETS[name][2]


@pytest.mark.parametrize("name", LINEAR)
def test_what_is_not_linear_is_not_read(parse, name):
    """Headers may be in fragments, which a program cannot read."""
    kind, raw, needed = LINEAR[name]
    sizes = range(len(raw) + 1)
    said = parse([(kind, raw, linear, False) for linear in sizes])
    assert said == ["unread" if linear < needed else said[-1] for linear in sizes]
    assert said[-1][1:3] == PORTS_OR_TYPE.get(name[5:9], (40001, 53))


def test_what_a_tcp_socket_sends_has_other_hooks(parse):
    """But for a tunnel's packet, which still has the socket of what it wraps."""
    said = parse(whole(PACKETS.values(), of_tcp=True))
    for (kind, raw, seen), found in zip(PACKETS.values(), said, strict=True):
        is_ip = seen not in (None, "unread") and len(seen) > 4
        wanted = None if is_ip and seen[0] in (TCP, ESP, AH) else seen
        if wanted is not None or found is not None:
            assert found == wanted, (kind, raw)
