# SPDX-License-Identifier: Apache-2.0
"""What is kept of a destination that a program replaces, step by step: the probes' own C code, run
by BPF_PROG_TEST_RUN, also where the kernel refuses to attach it."""

import ctypes
import os
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.native.test_filters import PROG_TEST_RUN, RAW_TRACEPOINT, TEST_RUN_ATTR
from tracer.kernel import abi, btf, compiler, loader, probes, syscall
from tracer.model.address import address
from tracer.model.flow import NatEnd

BEGIN, END, SENDTO, SEND, CONNECT, PACKET, FORGET = range(7)
SERVICE, SERVER, OTHER = ("10.0.0.200", 53), ("10.0.0.5", 5353), ("10.0.0.6", 53)
UDP, TCP, ICMP = socket.IPPROTO_UDP, socket.IPPROTO_TCP, socket.IPPROTO_ICMP
PLAIN = (NatEnd(0), None, 0)


class Steps:
    """Each is of the socket with that inode, the last one's if none is given."""

    def __init__(self) -> None:
        self.inode = 1
        os.environ["BCC_KERNEL_SOURCE"] = str(probes.bpf_folder())
        from bcc import BPF  # noqa: PLC0415  heavy

        types = btf.Btf()
        text = probes.source(probes.FEXIT, btf.declarations(types, probes.KERNEL_STRUCTS))
        text += (Path(__file__).with_name("rewrite_steps.bpf.c")).read_text()
        self.types = loader.sock_addr(types)
        flags = probes.compiler_flags(
            ("CONNECTIONS_FLAGS=0", "UNTYPED_ARGUMENTS"),
            ring_pages=1,
            filter_entries=1,
            accept_arguments=2,
            sock_addr=self.types,
            task_pt_regs=False,
            pid_namespace=False,
        )
        self._module = BPF(text=text.encode(), cflags=flags)
        self._maps = compiler.map_descriptors(self._module)
        self._program = self._module.load_func(b"rewrite_step", RAW_TRACEPOINT)

    def __call__(self, step, end=OTHER, kind="", proto=UDP, inode=None):
        """What the flow to that end is after the step: destination, and what NAT made of it."""
        number = self.types.get(f"CGROUP_{kind}", 0)
        (ipv4,) = struct.unpack("=I", ip_address(end[0]).packed)
        given = struct.pack("=6Q", step, inode or self.inode, number, proto, ipv4, end[1])
        context = ctypes.create_string_buffer(given, len(given))
        attr = TEST_RUN_ATTR.pack(
            self._program.fd, 0, 0, 0, 0, 0, 0, 0, len(given), 0, ctypes.addressof(context), 0, 0, 0
        )
        buffer = ctypes.create_string_buffer(attr, len(attr))
        assert not syscall._libc.syscall(
            syscall._SYSCALL_NUMBER["x86_64"], PROG_TEST_RUN, buffer, len(attr)
        )
        size = syscall.map_info(self._maps["stages"]).value_size
        value = syscall.map_lookup(self._maps["stages"], bytes(4), size)
        flow = abi.unpack_flow(value[-abi.FLOW.size :])
        hop = address(flow.hop)
        return (
            (str(address(flow.daddr)), flow.dport),
            (NatEnd(flow.nat), hop and str(hop), flow.nat_dport),
        )

    def replace(self, made, kind="UDP4_SENDMSG", proto=UDP):
        """A program makes that of SERVICE."""
        self(BEGIN, SERVICE, kind, proto)
        self(END, made, kind, proto)


@pytest.fixture(scope="module")
def all_steps():
    return Steps()


@pytest.fixture
def steps(all_steps):
    all_steps.inode += 1
    return all_steps


REPLACED = (SERVICE, (NatEnd.DST, *SERVER))


def test_the_kernel_tells_what_a_program_is_for(steps):
    numbers = [steps.types[name] for name in probes.SOCK_ADDR_TYPES]
    assert len(set(numbers)) == 4
    assert min(numbers) > 0


def test_a_datagram_is_known_until_its_call_ends(steps):
    steps.replace(SERVER)
    assert steps(SENDTO, SERVER) == REPLACED
    for other in (OTHER, (SERVER[0], 54), (OTHER[0], SERVER[1])):
        assert steps(SENDTO, other) == (other, PLAIN)
    assert steps(SENDTO, SERVER, inode=1) == (SERVER, PLAIN)  # another socket's
    assert steps(SEND, SERVER) == (SERVER, PLAIN)
    steps(FORGET)
    assert steps(SENDTO, SERVER) == (SERVER, PLAIN)


def test_a_socket_is_known_while_it_is_connected(steps):
    steps.replace(SERVER, kind="INET4_CONNECT")
    steps(FORGET)
    assert steps(SEND, SERVER) == REPLACED
    assert steps(SENDTO, SERVER) == (SERVER, PLAIN)  # an address came with the message
    steps.replace(SERVICE, kind="INET4_CONNECT")  # connected again: nothing was replaced
    assert steps(SEND, SERVER) == (SERVER, PLAIN)


def test_a_connection_is_known_while_it_is_made(steps):
    steps.replace(SERVER, kind="INET4_CONNECT", proto=TCP)
    assert steps(CONNECT, SERVER, proto=TCP) == REPLACED
    steps(FORGET, proto=TCP)
    assert steps(CONNECT, SERVER, proto=TCP) == (SERVER, PLAIN)


def test_only_the_port_is_replaced(steps):
    steps.replace((SERVICE[0], 54))
    assert steps(SENDTO, (SERVICE[0], 54)) == (SERVICE, (NatEnd.DST, SERVICE[0], 54))


def test_a_packet_without_ports(steps):
    steps.replace(SERVER, kind="INET4_CONNECT", proto=ICMP)
    server = (SERVER[0], 0)
    assert steps(PACKET, server, proto=ICMP) == ((SERVICE[0], 0), (NatEnd.DST, *server))


@pytest.mark.parametrize("kind", ["INET4_BIND", "UDP4_RECVMSG", "INET4_GETPEERNAME"])
def test_what_is_no_destination(steps, kind):
    steps.types.setdefault(f"CGROUP_{kind}", 1000)  # the number of none of the four
    steps.replace(SERVER, kind=kind)
    assert steps(SENDTO, SERVER) == (SERVER, PLAIN)
    assert steps(SEND, SERVER) == (SERVER, PLAIN)
