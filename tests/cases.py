# SPDX-License-Identifier: Apache-2.0
"""Every way to send: what the suite runs on each probe and kernel, and the differences that
a probe cannot help, which stand here and in docs/how-it-works.md and nowhere else."""

from dataclasses import dataclass, field
from typing import Any

from tracer.kernel.probes import PROBES

PROBE_NAMES = tuple(probe.name for probe in PROBES)
HERE = "127.0.0.5"  # loopback of the near namespace; 10.0.0.5 is the far one's
PEER = "10.0.0.5"
SILENT = "10.0.0.77"  # on the same network, but nobody is there
# what a program of a cgroup replaces (tests/native/rewrite.bpf.c), and by what
SERVICE, SERVICE_IPV6 = "127.0.0.200", "fd07::c8"
IPVS = {"to": PEER}
REWRITTEN, REWRITTEN_IPV6 = {"cgroup": "", "to": HERE}, {"cgroup": "", "to": "::1"}


@dataclass(frozen=True)
class Case:
    """One call of the generator. ``missing`` are the errors that mean that the kernel does
    not have the feature."""

    name: str
    dst: str = HERE
    options: dict[str, str] = field(default_factory=dict)
    label: str = ""
    missing: tuple[str, ...] = ()
    # By which its events are found: a port, or the address of what has none.
    selects_by: str = "dport"
    # Its neighbour may be given up as it is sent: then tracepoint can only count it.
    may_be_unread: bool = False
    needs: str = ""  # a device or a module in tests/native/test_cases.py that not every kernel has

    @property
    def id(self) -> str:
        return self.label or self.name


NOT_HERE = (
    "Protocol not supported",
    "Protocol not available",
    "Function not implemented",
    "Socket type not supported",
)

CASES = (
    Case("sendto"),
    Case("send"),
    Case("write"),
    Case("writev"),
    Case("pktinfo"),
    Case("override"),
    Case("rewritten", SERVICE, REWRITTEN),
    Case("rewritten", SERVICE_IPV6, REWRITTEN_IPV6, label="rewritten_ipv6"),
    Case("rewritten", SERVICE, {**REWRITTEN, "mapped": "::ffff:"}, label="rewritten_mapped"),
    Case("rewritten_connected", SERVICE, REWRITTEN),
    Case("rewritten_connected", SERVICE_IPV6, REWRITTEN_IPV6, label="rewritten_connected_ipv6"),
    Case(
        "rewritten_connected",
        SERVICE,
        {**REWRITTEN, "mapped": "::ffff:"},
        label="rewritten_connected_mapped",
    ),
    Case("rewritten_corked", SERVICE, REWRITTEN),
    Case("rewritten_corked", SERVICE_IPV6, REWRITTEN_IPV6, label="rewritten_corked_ipv6"),
    Case("sendmmsg"),
    Case("gso"),
    Case("gso_control"),
    Case("more"),
    Case("cork"),
    Case("cork_ipv6", "::1"),
    Case("zero_bytes"),
    Case("sendto", "::1", label="ipv6"),
    Case("mapped"),
    Case("mapped_connected"),
    Case("ipv4_on_ipv6"),
    Case("unspec"),
    Case("unspec_ipv6", "::1"),
    Case("reuseport"),
    Case("io_uring", missing=NOT_HERE),
    Case("splice"),
    Case("sendfile"),
    Case("udplite", missing=NOT_HERE),
    Case("udplite", "::1", label="udplite_ipv6", missing=NOT_HERE),
    Case("fork_shared"),
    Case("passed"),
    Case("thread"),
    Case("short_lived"),
    Case("sendto", PEER, {"count": "5"}, label="another_host"),
    Case("sendto", "fd00::5", {"count": "5"}, label="another_host_ipv6"),
    # more than wait for a neighbour at once: the oldest are dropped (unres_qlen_bytes)
    Case("sendto", SILENT, {"count": "400"}, label="silent_neighbour", may_be_unread=True),
    Case("fragments", PEER),
    Case("fragments", "fd00::5", label="fragments_ipv6"),
    Case("udplite", PEER, {"size": "5000"}, label="udplite_fragments", missing=NOT_HERE),
    Case("udplite", "fd00::5", {"size": "5000"}, label="udplite_fragments_ipv6", missing=NOT_HERE),
    Case("extension_headers", "fd00::5"),
    Case("extension_headers", "fd00::5", {"size": "5000"}, label="extension_headers_fragmented"),
    Case("routing_header", "fd00::99", {"hop": "fd00::5"}),
    Case("source_route", "10.0.9.9", {"hop": PEER}),
    Case("broadcast", "10.0.0.255"),
    Case("multicast", "239.1.2.3", {"device": "near"}),
    Case("multicast", "ff02::1:7", {"device": "near"}, label="multicast_ipv6"),
    Case("refused"),
    Case("too_long"),
    Case("no_route", "10.99.0.1"),
    Case("no_route", "10.98.0.1", {"error": "EACCES"}, label="prohibited"),
    Case("no_route", "10.97.0.1", {"error": "EINVAL"}, label="blackhole"),
    Case("no_route", "fd99::1", label="no_route_ipv6"),
    Case("filtered", PEER),
    Case("full_buffer", "10.0.0.78"),
    Case("answered_by_tap", "10.2.0.5", needs="tun"),
    Case("queued", "10.1.0.5"),
    Case("rewritten_queued", "10.1.0.200", {"cgroup": "", "to": "10.1.0.5"}),
    Case("paced", "10.6.0.5", needs="fq"),
    Case("sendto", "10.4.0.5", {"count": "3"}, label="bridged"),
    Case("sendto", "10.3.0.5", {"count": "3"}, label="redirected"),
    Case("sendto", "10.3.0.6", {"count": "3"}, label="mirrored"),
    Case("sendto", "10.3.0.7", {"count": "3"}, label="through_ifb"),
    Case("sendto", "10.5.0.5", {"count": "3"}, label="vlan", needs="vlan"),
    Case("raw_hdrincl"),
    Case("raw"),
    Case("raw", "::1", label="raw_ipv6"),
    Case("raw_other_protocol"),
    Case("raw_udplite", PEER),
    Case("raw_udplite", "fd00::5", label="raw_udplite_ipv6"),
    Case("raw_lies"),
    Case("ping", selects_by="dst"),
    Case("ping", "::1", label="ping_ipv6", selects_by="dst"),
    Case("ping", PEER, {"size": "5000"}, label="ping_fragments", selects_by="dst"),
    Case("ping", "fd00::5", {"size": "5000"}, label="ping_fragments_ipv6", selects_by="dst"),
    Case("ping", SILENT, {"count": "5"}, label="ping_silent_neighbour", selects_by="dst"),
    Case("ping", "10.4.0.5", {"count": "3"}, label="ping_bridged", selects_by="dst"),
    Case(
        "ping",
        "10.3.0.5",
        {"count": "3", "via": "device"},
        label="ping_redirected",
        selects_by="dst",
    ),
    Case(
        "ping", "10.3.0.6", {"count": "3", "via": "device"}, label="ping_mirrored", selects_by="dst"
    ),
    Case("ping", options={"via": "raw"}, label="raw_ping", selects_by="dst"),
    Case("ping", "::1", {"via": "raw"}, label="raw_ping_ipv6", selects_by="dst"),
    Case(
        "ping", PEER, {"via": "raw", "size": "20000"}, label="raw_ping_fragments", selects_by="dst"
    ),
    Case("raw_icmp", selects_by="dst"),
    Case("raw_icmp", "::1", label="raw_icmp_ipv6", selects_by="dst"),
    Case("raw_tcp", options={"count": "3"}),
    Case("raw_tcp", "::1", label="raw_tcp_ipv6"),
    Case("raw_tcp", PEER, {"count": "3"}, label="raw_tcp_to_another_host"),
    Case("raw_tcp", SILENT, {"count": "3"}, label="raw_tcp_silent_neighbour"),
    Case("raw_tcp", "10.4.0.5", label="raw_tcp_bridged"),
    Case("raw_tcp_short", selects_by="dst"),
    Case("packet_tcp"),
    Case("raw_protocol", selects_by="dst"),
    Case("raw_protocol", "fd00::5", {"size": "4000"}, label="raw_protocol_ipv6", selects_by="dst"),
    Case("raw_protocol", PEER, {"number": "47", "name": "gre"}, label="raw_gre", selects_by="dst"),
    Case("raw_protocol", PEER, {"number": "50", "name": "esp"}, label="raw_esp", selects_by="dst"),
    Case(
        "raw_protocol",
        "fd00::5",
        {"number": "51", "name": "ah"},
        label="raw_ah_ipv6",
        selects_by="dst",
    ),
    Case("sctp", missing=NOT_HERE),
    Case("sctp", "::1", label="sctp_ipv6", missing=NOT_HERE),
    Case("dccp", missing=NOT_HERE),
    Case("packet_frame"),
    Case("packet_tagged"),
    Case("packet_claims"),
    Case("packet_fragments"),
    Case("packet"),
    Case("packet_bypass"),
    Case("xdp_copy", missing=("Address family not supported by protocol", *NOT_HERE)),
    Case("tunnel", "10.8.0.5"),
    Case("translated", PEER),
    Case("translated", "fd00::5", label="translated_ipv6"),
    Case("nat_dst", "10.7.0.9", {"to": PEER}),
    Case("nat_dst", "fd07::9", {"to": "fd00::5"}, label="nat_dst_ipv6"),
    Case("nat_dst", "10.7.0.77", {"to": SILENT}, label="nat_dst_silent", may_be_unread=True),
    Case("nat_dst", "10.7.0.8", {"to": "127.0.0.1"}, label="nat_redirect"),
    Case("nat_dst", "fd07::8", {"to": "::1"}, label="nat_redirect_ipv6"),
    Case("nat_connected", "10.7.0.9", {"to": PEER}),
    Case("nat_answer", "10.7.0.8", {"to": "127.0.0.1"}, selects_by="sport"),
    Case("nat_answer", "fd07::8", {"to": "::1"}, label="nat_answer_ipv6", selects_by="sport"),
    Case("ipvs", "10.7.0.20", {**IPVS, "conntrack": "1"}, needs="ipvs"),
    Case("ipvs", "10.7.0.20", {**IPVS, "conntrack": "0"}, label="ipvs_untracked", needs="ipvs"),
    Case("tcp_connection"),
    Case("tcp_connection", "::1", label="tcp_ipv6"),
    Case("tcp_mapped"),
    Case("tcp_nonblocking"),
    Case("tcp_fastopen"),
    Case("tcp_fastopen_connect"),
    Case("tcp_mptcp", missing=NOT_HERE),
    Case("tcp_redirected", "10.7.0.8", {"to": "127.0.0.1"}),
    Case("tcp_redirected", "fd07::8", {"to": "::1"}, label="tcp_redirected_ipv6"),
    Case("tcp_ipvs", "10.7.0.20", {**IPVS, "conntrack": "1"}, needs="ipvs"),
    Case(
        "tcp_ipvs",
        "10.7.0.20",
        {**IPVS, "conntrack": "0"},
        label="tcp_ipvs_untracked",
        needs="ipvs",
    ),
    Case("tcp_rewritten", SERVICE, REWRITTEN),
    Case("tcp_rewritten", SERVICE_IPV6, REWRITTEN_IPV6, label="tcp_rewritten_ipv6"),
    Case(
        "tcp_rewritten", SERVICE, {**REWRITTEN, "mapped": "::ffff:"}, label="tcp_rewritten_mapped"
    ),
    Case("tcp_rewritten_refused", SERVICE, REWRITTEN),
    Case("tcp_closed_by_peer"),
    Case("tcp_closed_by_child"),
    Case("tcp_reset"),
    Case("tcp_refused"),
    Case("tcp_timed_out", "10.0.0.79"),
    Case("tcp_no_route", "10.99.0.1"),
    Case("tcp_given_up", "10.0.0.79"),
    Case("tcp_dissolved", "10.0.0.79"),
    Case("tcp_unreachable", "10.0.0.80"),
    Case("tcp_accept", selects_by="sport"),
    Case("tcp_accepted_for_child", selects_by="sport"),
)

# What a probe cannot help: for docs/how-it-works.md.
DIFFERENCES = {
    "tracepoint": (
        ("a UDP send that fails in its system call", "not seen"),
        ("what IPsec encrypts", "`proto` is IPsec's, as `esp`"),
        ("a TCP connection that fails before SYN_SENT (no route)", "not seen"),
        ("`connect`", "`src.port` null unless it was bound before"),
        (
            "`accept`",
            "`process` by who holds its sockets just after, or null; of the `close`, "
            "`opened_by` null",
        ),
        ("a datagram whose neighbour is given up at that moment", "not seen: `unread`"),
        ("a destination that a program of a cgroup replaces", "`dst` is what it is replaced by"),
    ),
    "kprobe": (
        (
            "`socket.cookie` of a send that reaches no device",
            "null until something else asks the kernel for it",
        ),
        (
            "more calls at once than there are kretprobe instances, and calls of over 5 s",
            "`outcome` null, `bytes` 0",
        ),
        (
            "a datagram at whose call the hook was busy, and whose neighbour answered at once",
            "not seen: `skipped`",
        ),
    ),
    "fexit": (("before Linux 5.12: `socket.cookie`", "as for kprobe"),),
}


def expected(probe: str, truth: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a probe is able to say of what really happened."""
    return [_as_seen(probe, line) for line in truth if _is_seen(probe, line)]


def _is_seen(probe: str, line: dict[str, Any]) -> bool:
    if probe != "tracepoint":
        return True
    if line["event"] == "send":
        return line["outcome"] != "failed" and not line.get("bypasses")
    return line["error"] != "ENETUNREACH"


def _as_seen(probe: str, line: dict[str, Any]) -> dict[str, Any]:
    if probe != "tracepoint":
        return line
    if line.get("by_packet"):
        dst, port = line["by_packet"]
        line = {**line, "dst": dst, "dport": port, "nat_dst": None, "nat_dport": None}
    if line["event"] == "connect" and not line.get("bound"):
        return {**line, "sport": None}
    if line.get("accepted") and "opener" in line:
        return {**line, "opener": None}
    return line


# Without which capability, and what is missing then; docs/privileges.md's table.
PRIVILEGES = {
    "CAP_BPF": "tracing",
    "CAP_PERFMON": "tracing",
    "CAP_NET_ADMIN": "tracing",
    "CAP_SYS_PTRACE": "`exe` of other users' processes from before; `process.holders`; by "
    "tracepoint, `process` of `accept`",
    "CAP_DAC_READ_SEARCH": "`process.holders`; paths of cgroups (v2)",
    "CAP_SYS_ADMIN": "elsewhere than in its own network namespace: `existing`, `route`, zones, "
    "`sockwatch sockets`; the kprobe probe where `kernel.perf_event_paranoid` is 3, as Debian has "
    "it",
}
