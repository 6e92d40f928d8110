# SPDX-License-Identifier: Apache-2.0
"""Compile, load and attach in a short-lived child process; the only user of bcc.

LLVM's 150 MB end with the child. What is attached lives exactly as long as the
descriptors that it hands over: if the tracer dies, by whatever signal, nothing stays.
"""

import ctypes
import json
import os
import socket
import sys
import tempfile
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

from tracer.errors import ProbeError
from tracer.kernel import bpf, btf, program
from tracer.kernel.program import Hook, HookKind, Rung

MapEntries = Mapping[str, Iterable[tuple[bytes, bytes]]]

_REPLY_SIZE: Final = 1 << 16
_MAX_DESCRIPTORS: Final = 253  # SCM_MAX_FD, include/net/scm.h


@dataclass(frozen=True)
class Request:
    """What to attach. ``map_entries`` are in their maps before the first hook is."""

    rungs: tuple[Rung, ...]
    map_entries: MapEntries
    ring_pages: int
    filter_entries: int


@dataclass
class Attached:
    """What the loader handed over. Closing the descriptors detaches everything."""

    rung: Rung
    refused: dict[str, str]  # rung: why the kernel did not take it
    maps: dict[str, int] = field(default_factory=dict)
    links: list[int] = field(default_factory=list)

    def close(self) -> None:
        """Detaches and frees."""
        for descriptor in (*self.links, *self.maps.values()):
            os.close(descriptor)
        self.links.clear()
        self.maps.clear()


def load(request: Request) -> Attached:
    """Attaches the first rung of the request that the kernel takes.

    Raises ProbeError, with each rung's reason, if there is none.
    """
    ours, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _run_child(childs, request)
    childs.close()
    with ours:
        message, descriptors, _, _ = socket.recv_fds(ours, _REPLY_SIZE, _MAX_DESCRIPTORS)
    os.waitpid(pid, 0)
    return _accept(request, message, descriptors)


def _accept(request: Request, message: bytes, descriptors: list[int]) -> Attached:
    if not message:
        raise ProbeError("the loader ended without an answer", "look for it in the kernel's log")
    reply: dict[str, Any] = json.loads(message)
    if "bug" in reply:
        raise RuntimeError(f"in the loader process:\n{reply['bug']}")
    if "error" in reply:
        raise ProbeError(reply["error"], reply["hint"])
    rung = next(rung for rung in request.rungs if rung.name == reply["rung"])
    names: list[str] = reply["maps"]
    maps = dict(zip(names, descriptors, strict=False))
    return Attached(rung, reply["refused"], maps, descriptors[len(names) :])


def _run_child(channel: socket.socket, request: Request) -> None:
    """The child's whole life; never returns."""
    try:
        with tempfile.TemporaryFile() as noise:
            os.dup2(noise.fileno(), 2)  # clang writes to the descriptor itself
            reply, descriptors = _answer(request, noise)
            socket.send_fds(channel, [json.dumps(reply).encode()[:_REPLY_SIZE]], descriptors)
    finally:
        os._exit(0)


def _answer(request: Request, noise: IO[bytes]) -> tuple[dict[str, Any], list[int]]:
    try:
        attached = _first_that_attaches(request, noise)
    except ProbeError as error:
        return {"error": error.args[0], "hint": error.hint}, []
    except Exception:  # noqa: BLE001  a bug: its traceback belongs to the parent
        return {"bug": traceback.format_exc()[-_REPLY_SIZE // 4 :]}, []
    reply = {
        "rung": attached.rung.name,
        "refused": attached.refused,
        "maps": list(attached.maps),
    }
    return reply, [*attached.maps.values(), *attached.links]


def _first_that_attaches(request: Request, noise: IO[bytes]) -> Attached:
    types = btf.Btf()
    kernel_declarations = btf.declarations(types, program.KERNEL_STRUCTS)
    refused: dict[str, str] = {}
    for rung in request.rungs:
        text = program.source(rung, kernel_declarations)
        for variant in rung.variants:
            try:
                attached = _attach(types, rung, variant, text, request, noise)
            except OSError as error:
                refused[rung.name] = f"{error.strerror}"
            else:
                refused.pop(rung.name, None)
                attached.refused = refused
                return attached
    reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
    raise ProbeError(f"the kernel took none of the probes ({reasons})", "see 'sockwatch --help'")


def _attach(
    types: btf.Btf,
    rung: Rung,
    variant: tuple[str, ...],
    text: str,
    request: Request,
    noise: IO[bytes],
) -> Attached:
    flags = program.compiler_flags(variant, request.ring_pages, request.filter_entries)
    module = _compile(text, flags, noise)
    maps = map_descriptors(module)
    for name, entries in request.map_entries.items():
        for key, value in entries:
            bpf.map_update(maps[name], key, value)
    links = [_attach_hook(types, module, hook) for hook in rung.hooks]
    return Attached(rung, {}, maps, links)


def _compile(text: str, flags: list[str], noise: IO[bytes]) -> Any:
    os.environ["BCC_KERNEL_SOURCE"] = str(program.bpf_folder())
    try:
        from bcc import BPF  # noqa: PLC0415  only here, so that no other process pays for LLVM
    except ImportError as error:
        raise ProbeError(
            f"BCC's Python module cannot be imported ({error})",
            "run 'apt-get install python3-bpfcc' and use the system's python3 "
            "(PyPI's 'bcc' is another thing)",
        ) from None
    try:
        return BPF(text=text.encode(), cflags=flags)
    except Exception as error:  # noqa: BLE001  that is all BCC raises
        noise.seek(0)
        said = noise.read().decode(errors="replace")
        raise RuntimeError(f"BCC cannot compile the program: {error}\n{said}") from None


def map_descriptors(module: Any) -> dict[str, int]:
    """Name and descriptor of each map; BCC's own table objects cannot hold our keys."""
    from bcc import lib  # noqa: PLC0415

    lib.bpf_table_name.restype = ctypes.c_char_p
    count = lib.bpf_num_tables(module.module)
    return {
        lib.bpf_table_name(module.module, i).decode(): lib.bpf_table_fd_id(module.module, i)
        for i in range(count)
    }


def _attach_hook(types: btf.Btf, module: Any, hook: Hook) -> int:
    """A descriptor that holds both the attachment and the program."""
    assert hook.kind is HookKind.TRACEPOINT
    type_id = types.find(f"btf_trace_{hook.target}", btf.KIND_TYPEDEF)
    if type_id is None:
        raise OSError(0, f"this kernel has no tracepoint {hook.target}")
    instructions = module.dump_func(hook.function.encode())
    program_fd = bpf.prog_load(
        hook.function, instructions, bpf.PROG_TYPE_TRACING, bpf.TRACE_RAW_TP, type_id
    )
    try:
        return bpf.raw_tracepoint_open(program_fd)
    finally:
        os.close(program_fd)
