# SPDX-License-Identifier: Apache-2.0
"""A cgroup whose programs replace the destinations SERVICE and SERVICE_IPV6 of tests/cases.py."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.native.conftest import wait_for
from tracer.kernel import probes

TEXT = Path(__file__).with_name("rewrite.bpf.c")
CGROUP_SOCK_ADDR = 18  # include/uapi/linux/bpf.h, as the next ones
INET4_CONNECT, INET6_CONNECT, UDP4_SENDMSG, UDP6_SENDMSG = 10, 11, 14, 15


@contextlib.contextmanager
def rewriting_cgroup() -> Iterator[Path]:
    os.environ["BCC_KERNEL_SOURCE"] = str(probes.bpf_folder())
    from bcc import BPF  # noqa: PLC0415  heavy

    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    root = next(fields[1] for fields in mounts if fields[2] == "cgroup2")
    folder = Path(root) / f"sockwatch-test-{os.getpid()}"
    folder.mkdir()
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(folder.rmdir)
        cleanup.callback(wait_for, lambda: not (folder / "cgroup.procs").read_text())
        module = BPF(text=TEXT.read_bytes())
        descriptor = os.open(folder, os.O_RDONLY)
        cleanup.callback(os.close, descriptor)
        for where, name in (
            (INET4_CONNECT, b"rewrite_ipv4"),
            (UDP4_SENDMSG, b"rewrite_ipv4"),
            (INET6_CONNECT, b"rewrite_ipv6"),
            (UDP6_SENDMSG, b"rewrite_ipv6"),
        ):
            module.funcs.pop(name, None)  # it is loaded for each place
            function = module.load_func(name, CGROUP_SOCK_ADDR, attach_type=where)
            module.attach_func(function, descriptor, where)
            cleanup.callback(module.detach_func, function, descriptor, where)
        yield folder
