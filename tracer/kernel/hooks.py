# SPDX-License-Identifier: Apache-2.0
"""Attaching one program to one place in the kernel."""

import ctypes
import os
from typing import Final

from tracer.kernel import bpf, btf
from tracer.kernel.btf import Btf
from tracer.kernel.program import Hook, HookKind

# attach type, what BTF calls the target, and of which kind it is there
_TRACING: Final = {
    HookKind.TRACEPOINT: (bpf.TRACE_RAW_TP, "btf_trace_{}", btf.KIND_TYPEDEF),
    HookKind.FENTRY: (bpf.TRACE_FENTRY, "{}", btf.KIND_FUNC),
    HookKind.FEXIT: (bpf.TRACE_FEXIT, "{}", btf.KIND_FUNC),
}
_BPF_PROBE_ENTRY, _BPF_PROBE_RETURN = 0, 1  # enum bpf_probe_attach_type of libbcc


def attach(types: Btf, hook: Hook, instructions: bytes) -> int:
    """A descriptor that holds both the attachment and the program: closing it ends both.

    Raises OSError with the kernel's reason.
    """
    if hook.kind in _TRACING:
        return _attach_tracing(types, hook, instructions)
    return _attach_kprobe(hook, instructions)


def _attach_tracing(types: Btf, hook: Hook, instructions: bytes) -> int:
    attach_type, name, kind = _TRACING[hook.kind]
    type_id = types.find(name.format(hook.target), kind)
    if type_id is None:
        raise OSError(0, "not in this kernel")
    program = bpf.prog_load(
        hook.function, instructions, bpf.PROG_TYPE_TRACING, attach_type, type_id
    )
    try:
        return bpf.raw_tracepoint_open(program)
    finally:
        os.close(program)


def _attach_kprobe(hook: Hook, instructions: bytes) -> int:
    from bcc import lib  # noqa: PLC0415  in the loader process only

    is_return = hook.kind is HookKind.KRETPROBE
    program = bpf.prog_load(hook.function, instructions, bpf.PROG_TYPE_KPROBE)
    try:
        descriptor = lib.bpf_attach_kprobe(
            program,
            _BPF_PROBE_RETURN if is_return else _BPF_PROBE_ENTRY,
            f"sockwatch_{os.getpid()}_{hook.function}".encode(),
            hook.target.encode(),
            ctypes.c_uint64(0),
            0,
        )
    finally:
        os.close(program)
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"no kprobe can be attached ({os.strerror(error)})")
    return int(descriptor)
