# SPDX-License-Identifier: Apache-2.0
"""Attaches one program to one place in the kernel."""

import os
from typing import Final

from tracer import capabilities
from tracer.capabilities import Capability
from tracer.kernel import btf, perf_event, syscall
from tracer.kernel.btf import Btf
from tracer.kernel.probes import Hook, HookKind

# attach type, the target's name in BTF, and its kind there
_TRACING: Final = {
    HookKind.TRACEPOINT: (syscall.TRACE_RAW_TP, "btf_trace_{}", btf.KIND_TYPEDEF),
    HookKind.FENTRY: (syscall.TRACE_FENTRY, "{}", btf.KIND_FUNC),
    HookKind.FEXIT: (syscall.TRACE_FEXIT, "{}", btf.KIND_FUNC),
}


def attach(types: Btf, hook: Hook, instructions: bytes) -> tuple[int, int]:
    """Returns two descriptors: of the attachment, which ends when it is closed, and of the program,
    which ends when both are closed.

    Raises OSError with the kernel's reason.
    """
    program = syscall.prog_load(to_load(types, hook, instructions))
    try:
        if hook.kind in _TRACING:
            return syscall.raw_tracepoint_open(program), program
        if hook.kind is HookKind.INGRESS:
            return _attach_to_cgroup(hook.target, program), program
        return _attach_kprobe(hook, program), program
    except OSError:
        os.close(program)
        raise


def idle(hook: Hook) -> bytes:
    """Returns a program for this place that changes nothing."""
    return syscall.LET_PASS if hook.kind is HookKind.INGRESS else syscall.DO_NOTHING


def to_load(types: Btf, hook: Hook, instructions: bytes) -> syscall.Program:
    """Returns what the verifier has to judge. Raises OSError if the kernel has no such place."""
    if hook.kind is HookKind.INGRESS:
        return syscall.Program(hook.function, instructions, syscall.PROG_TYPE_CGROUP_SKB)
    if hook.kind not in _TRACING:
        return syscall.Program(hook.function, instructions, syscall.PROG_TYPE_KPROBE)
    attach_type, name, kind = _TRACING[hook.kind]
    type_id = types.find(name.format(hook.target), kind)
    if type_id is None:
        raise OSError(0, "not in this kernel")
    return syscall.Program(
        hook.function, instructions, syscall.PROG_TYPE_TRACING, attach_type, type_id
    )


def _attach_to_cgroup(path: str, program: int) -> int:
    cgroup = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return syscall.link_create(program, cgroup, syscall.CGROUP_INET_INGRESS)
    finally:
        os.close(cgroup)


def _attach_kprobe(hook: Hook, program: int) -> int:
    try:
        return perf_event.attach_kprobe(
            program, hook.target, at_return=hook.kind is HookKind.KRETPROBE
        )
    except OSError as error:
        reason = f"no kprobe can be attached ({error.strerror})"
        if isinstance(error, PermissionError):
            reason += _for_want_of()
        raise OSError(error.errno, reason) from None


def _for_want_of() -> str:
    paranoia = perf_event.paranoia()
    if paranoia <= 2 or capabilities.has(capabilities.effective(), Capability.CAP_SYS_ADMIN):
        return ""
    return (
        f": kernel.perf_event_paranoid is {paranoia}, so that it takes CAP_SYS_ADMIN, "
        "or 'sysctl kernel.perf_event_paranoid=2'"
    )
