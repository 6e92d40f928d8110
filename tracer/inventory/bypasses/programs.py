# SPDX-License-Identifier: Apache-2.0
"""BPF programs that send, redirect or rewrite: XDP, tc, sockmap, and those of cgroups."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Final

from tracer.host.mounts import mounts
from tracer.host.netlink import tc
from tracer.host.procfs import printable
from tracer.inventory.bypasses.bypass import Owners, Way
from tracer.inventory.bypasses.here import Here, Machine, owners
from tracer.kernel import syscall

# enum bpf_prog_type, include/uapi/linux/bpf.h
_SCHED_CLS: Final = 3
_SOCKMAP: Final = {14: "sk_skb", 16: "sk_msg"}
_CGROUP_SOCK_ADDR: Final = 18
# enum bpf_attach_type
_TCX: Final = (46, 47)  # BPF_TCX_INGRESS, BPF_TCX_EGRESS
_NETKIT: Final = (54, 55)  # BPF_NETKIT_PRIMARY, BPF_NETKIT_PEER
_ON_CGROUP: Final = {10: "connect4", 11: "connect6", 14: "sendmsg4", 15: "sendmsg6"}


def xdp_programs(here: Here) -> Iterator[Way]:
    """Finds XDP programs, which may send back or redirect what a device receives."""
    for link in here.links:
        for number in link.xdp:
            yield from _program(here, "xdp_program", "XDP", number, link.name)


def tc_programs(here: Here) -> Iterator[Way]:
    """Finds the BPF programs of tc: on clsact, of tcx and of netkit."""
    found = {(deed.ifindex, deed.program) for deed in tc.deeds() if deed.program}
    for ifindex, number in sorted(found):
        yield from _program(here, "tc_program", "tc", number, here.name(ifindex))
    if any(program.type == _SCHED_CLS for program in here.machine.programs):
        for ifindex, number in sorted(set(_attached_to_devices(here)) - found):
            yield from _program(here, "tc_program", "tc", number, here.name(ifindex))


def _attached_to_devices(here: Here) -> Iterator[tuple[int, int]]:
    for link in here.links:
        for where in (*_TCX, *_NETKIT) if link.kind == "netkit" else _TCX:
            for number in _attached(link.ifindex, where):
                yield link.ifindex, number


def _attached(target: int, where: int) -> list[int]:
    """Returns the programs there; none where the kernel or the device has no such place: a netkit
    is asked by its first end only (netkit_dev_fetch(), drivers/net/netkit.c)."""
    try:
        return syscall.attached(target, where)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENODEV, errno.EACCES):
            raise
        return []


def sockmap_programs(machine: Machine) -> Iterator[Way]:
    """Finds programs that hand on what sockets send and receive. Whether one is attached is not
    told: those that are loaded."""
    for program in machine.programs:
        if program.type in _SOCKMAP:
            what = f"{_SOCKMAP[program.type]} program {_name(machine, program.id)}"
            yield Way("sockmap_program", what, _owners(machine, program.id))


def cgroup_programs(machine: Machine) -> Iterator[Way]:
    """Finds programs that may change the destination of connect(2) and sendmsg(2)."""
    if not any(program.type == _CGROUP_SOCK_ADDR for program in machine.programs):
        return
    for root in (at.path for at in mounts() if at.kind == "cgroup2"):
        for folder, _, _ in os.walk(root):
            for kind, number in _of_cgroup(folder):
                by = _owners(machine, number)
                if not _is_ours(by):
                    where = folder.removeprefix(root) or "/"
                    what = f"{kind} program {_name(machine, number)} on cgroup {where}"
                    yield Way("cgroup_program", what, by)
        return  # all mounts of cgroup2 show one tree


def _of_cgroup(folder: str) -> Iterator[tuple[str, int]]:
    with contextlib.suppress(FileNotFoundError):  # it is gone
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for where, kind in _ON_CGROUP.items():
                for number in _attached(descriptor, where):
                    yield kind, number
        finally:
            os.close(descriptor)


def _program(here: Here, kind: str, words: str, number: int, device: str) -> Iterator[Way]:
    by = _owners(here.machine, number)
    if not _is_ours(by):
        what = f"{words} program {_name(here.machine, number)} on {device}"
        yield Way(kind, what, by, here.netns)


def _owners(machine: Machine, number: int) -> Owners:
    return owners(machine.program_files.get(number, ()))


def _is_ours(by: Owners) -> bool:
    """Says whether only this process has it: the tracer's own programs are no way past it."""
    return by is not None and all(one.pid == os.getpid() for one in by)


def _name(machine: Machine, number: int) -> str:
    """Returns a program's name, or its number where it has none, or we may not ask."""
    try:
        names = {program.id: program.name for program in machine.programs}
    except OSError:
        names = {}
    return printable(names.get(number, b"")) or str(number)
