# SPDX-License-Identifier: Apache-2.0
"""What counting received packets costs: the kernel runs the program on one packet again and again
(BPF_PROG_TEST_RUN, as ``bpftool prog run`` does), with 10.0.0.5 as the filter. Nothing is
attached."""

import socket
import struct
import sys
from ipaddress import ip_network
from typing import Final

import measure

from tracer.filter import maps
from tracer.filter.filters import NO_FILTERS
from tracer.kernel import attach, btf, loader, probes, syscall
from tracer.kernel.loader import Request
from tracer.kernel.session import FILTER_ENTRIES

REPEAT: Final = 1_000_000
ETHERNET: Final = bytes(12)


def ipv4(source: str, proto: int, payload: int) -> bytes:
    """A frame with an IPv4 packet."""
    ends = socket.inet_aton(source) + socket.inet_aton("10.0.0.1")
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + payload, 0, 0, 64, proto, 0) + ends
    return ETHERNET + b"\x08\x00" + head + bytes(payload)


def ipv6(proto: int, payload: int) -> bytes:
    """A frame with an IPv6 packet."""
    head = struct.pack("!IHBB", 6 << 28, payload, proto, 64) + bytes(32)
    return ETHERNET + b"\x86\xdd" + head + bytes(payload)


PACKETS: Final = {
    "TCP": ipv4("10.0.0.9", socket.IPPROTO_TCP, 520),
    "UDP, not watched": ipv4("10.0.0.9", socket.IPPROTO_UDP, 520),
    "UDP over IPv6, not watched": ipv6(socket.IPPROTO_UDP, 520),
    "UDP, watched": ipv4("10.0.0.5", socket.IPPROTO_UDP, 520),
}


def load() -> tuple[int, int]:
    """Returns the program, and one that does nothing. What they use ends with this process."""
    loader.lift_memory_limit()
    types = btf.Btf()
    filters = NO_FILTERS._replace(dst=(ip_network("10.0.0.5"),))
    probe = probes.with_received(probes.TRACEPOINT, "")
    request = Request((probe,), maps.entries(filters), 1024, FILTER_ENTRIES)
    declarations = btf.declarations(types, probes.KERNEL_STRUCTS)
    made = next(loader.variants(types, probe, declarations, request))
    descriptors = loader.create_maps(made)
    for name, entries in request.map_entries.items():
        for key, value in entries:
            syscall.map_update(descriptors[name], key, value)
    hook = probe.hooks[-1]
    instructions = made.instructions(hook.function, list(descriptors.values()))
    return tuple(
        syscall.prog_load(attach.to_load(types, hook, one))
        for one in (instructions, attach.idle(hook))
    )


def main() -> None:
    """Argument: how many runs (5)."""
    program, nothing = load()
    results: dict[str, list[int]] = {name: [] for name in ("nothing", *PACKETS)}
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5):
        results["nothing"].append(syscall.time_on(nothing, PACKETS["TCP"], REPEAT))
        for name, packet in PACKETS.items():
            results[name].append(syscall.time_on(program, packet, REPEAT))
    print("nanoseconds a packet, with what it takes to run any program:")
    for name, values in results.items():
        print(f"  {name:28} {measure.spread(values, 0)}")
    measure.save("received", results)


if __name__ == "__main__":
    main()
