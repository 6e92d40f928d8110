# SPDX-License-Identifier: Apache-2.0
"""Compiles, loads and attaches in a short-lived child process.

LLVM's 150 MB end with the child. What is attached lives exactly as long as the
descriptors that the child hands over: if the tracer dies, by whatever signal, nothing stays.
"""

import contextlib
import functools
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tracer.errors import ProbeError
from tracer.kernel import attach, btf, compiler, probes, syscall
from tracer.kernel.abi import TRACERS_PIDS
from tracer.kernel.compiler import Object
from tracer.kernel.probes import Hook, Probe

MapEntries = Mapping[str, Iterable[tuple[bytes, bytes]]]

TRACERS_LEVEL: Final = "tracers_level"  # a function in bpf/identity.bpf.c
_REPLY_SIZE: Final = 1 << 16
_MAX_DESCRIPTORS: Final = 253  # SCM_MAX_FD, include/net/scm.h


@dataclass(frozen=True)
class Request:
    """What to attach. ``map_entries`` are stored before the first hook is attached.
    ``pid_namespace`` is the inode of the one whose pids are wanted, None for the initial one."""

    probes: tuple[Probe, ...]
    map_entries: MapEntries
    ring_pages: int
    filter_entries: int
    pid_namespace: int | None = None


@dataclass
class Attached:
    """What the loader handed over. Closing the descriptors detaches everything."""

    probe: Probe
    refused: dict[str, str]  # probe: why the kernel refused it
    maps: dict[str, int] = field(default_factory=dict)
    links: list[int] = field(default_factory=list)
    programs: list[int] = field(default_factory=list)

    def close(self) -> None:
        """Detaches and frees everything."""
        for descriptor in (*self.links, *self.programs, *self.maps.values()):
            os.close(descriptor)
        self.links.clear()
        self.programs.clear()
        self.maps.clear()


def load(request: Request) -> Attached:
    """Attaches the first probe of the request that the kernel takes.

    Raises ProbeError, with each probe's reason, if there is none.
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
    probe = _as_fitted(request.probes, reply)
    names: list[str] = reply["maps"]
    maps = dict(zip(names, descriptors, strict=False))
    links = descriptors[len(names) : len(names) + len(probe.hooks)]
    programs = descriptors[len(names) + len(probe.hooks) :]
    return Attached(probe, reply["refused"], maps, links, programs)


def _as_fitted(probes: Iterable[Probe], reply: Mapping[str, Any]) -> Probe:
    """Returns the probe that was attached; see :func:`_fitted`."""
    probe = next(probe for probe in probes if probe.name == reply["probe"])
    hooks = tuple(hook for hook in probe.hooks if hook.function in reply["hooks"])
    return replace(probe, hooks=hooks, blind_spots=tuple(reply["blind_spots"]))


def _run_child(channel: socket.socket, request: Request) -> None:
    """Runs the child; never returns. It ignores Ctrl-C, which is for the parent: that ends once it
    is attached."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        reply, descriptors = _answer(request)
        socket.send_fds(channel, [json.dumps(reply).encode()[:_REPLY_SIZE]], descriptors)
    finally:
        os._exit(0)


def _answer(request: Request) -> tuple[dict[str, Any], list[int]]:
    try:
        attached = _first_that_attaches(request)
    except ProbeError as error:
        return {"error": error.args[0], "hint": error.hint}, []
    except Exception:  # noqa: BLE001  a bug: its traceback belongs to the parent
        return {"bug": traceback.format_exc()[-_REPLY_SIZE // 4 :]}, []
    reply = {
        "probe": attached.probe.name,
        "hooks": [hook.function for hook in attached.probe.hooks],
        "blind_spots": attached.probe.blind_spots,
        "refused": attached.refused,
        "maps": list(attached.maps),
    }
    return reply, [*attached.maps.values(), *attached.links, *attached.programs]


def lift_memory_limit() -> None:
    """Lifts RLIMIT_MEMLOCK, which covered BPF maps before Linux 5.11 (commit d5299b67dd59)."""
    with contextlib.suppress(OSError, ValueError):  # not permitted: it may not be needed
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)


def _first_that_attaches(request: Request) -> Attached:
    lift_memory_limit()
    types = btf.Btf()
    kernel_declarations = btf.declarations(types, probes.KERNEL_STRUCTS)
    refusals: dict[str, OSError] = {}
    for probe in request.probes:
        try:
            attached = _attach(types, probe, kernel_declarations, request)
        except OSError as error:
            refusals[probe.name] = error
        else:
            attached.refused = {name: str(error.strerror) for name, error in refusals.items()}
            return attached
    raise _none_attaches(refusals)


def _none_attaches(refusals: Mapping[str, OSError]) -> ProbeError:
    """Returns the error, with a hint that depends on what is at fault."""
    reasons = "; ".join(f"{name}: {error.strerror}" for name, error in refusals.items())
    message = f"the kernel refuses to be traced ({reasons})"
    if any(isinstance(error, syscall.TooLargeError) for error in refusals.values()):
        return ProbeError(
            message,
            "this compiler and this kernel's verifier do not go together: upgrade "
            "python3-bpfcc with its LLVM, or the kernel, and please report it",
        )
    if len(refusals) == 1:
        (name,) = refusals
        return ProbeError(
            f"{name} cannot be attached ({reasons.removeprefix(f'{name}: ')})",
            "leave --probe out, and the best that this kernel allows is taken",
        )
    return ProbeError(message, "try it on another kernel")


def _fitted(types: btf.Btf, probe: Probe, unseen: Container[str] = ()) -> Probe:
    """Returns the probe as this kernel can have it: with the hooks that can be attached, and are
    wanted beside these, and what is not seen. Attaches a program that does nothing to each place,
    before any time is spent on compiling. Leaves out the hooks on the blind spots ``unseen``.
    Raises OSError with the place and the kernel's reason if it refuses one that the probe needs."""
    hooks: list[Hook] = []
    blind_spots = [*probe.blind_spots, *_unseen_nat(types)]
    for hook in probe.hooks:
        if hook.instead_of in {other.function for other in hooks}:
            continue
        if hook.blind_spot in unseen:
            blind_spots.append(hook.blind_spot)
            continue
        try:
            for descriptor in attach.attach(types, hook, attach.idle(hook)):
                os.close(descriptor)
        except OSError as error:
            if not hook.blind_spot:
                raise OSError(error.errno, f"{hook.target}: {error.strerror}") from None
            blind_spots.append(hook.blind_spot)
        else:
            hooks.append(hook)
    return replace(probe, hooks=tuple(hooks), blind_spots=tuple(dict.fromkeys(blind_spots)))


def _unseen_nat(types: btf.Btf) -> list[str]:
    """Returns a blind spot where packets have entries of a connection tracking that the kernel does
    not describe."""
    try:
        types.field("sk_buff", "_nfct")
    except LookupError:
        return []
    return [] if btf.has_struct(types, "nf_conn") else [probes.NAT_BLIND_SPOT]


class _HookError(Exception):
    """The kernel does not take a hook's program, for this reason."""

    def __init__(self, hook: Hook, reason: OSError) -> None:
        super().__init__(hook, reason)
        self.hook = hook
        self.reason = reason


def _attach(types: btf.Btf, probe: Probe, declarations: str, request: Request) -> Attached:
    """Attaches the first variant that loads. If none does, leaves out a hook that stands in the
    way of one, and that the probe can do without, and tries again. Raises OSError."""
    unseen: set[str] = set()
    while True:
        fitted = _fitted(types, probe, unseen)
        refused = []
        for made in variants(types, fitted, declarations, request):
            try:
                return _attach_object(types, fitted, made, request)
            except _HookError as error:
                refused.append(error)
        blind_spots = [error.hook.blind_spot for error in refused if error.hook.blind_spot]
        if not blind_spots:
            raise refused[-1].reason
        unseen.add(blind_spots[0])


def variants(types: btf.Btf, probe: Probe, declarations: str, request: Request) -> Iterator[Object]:
    """Yields the variants to try; each is compiled when its turn comes."""
    text = probes.source(probe, declarations)
    functions = [hook.function for hook in probe.hooks]
    if request.pid_namespace is not None:
        functions.append(TRACERS_LEVEL)
    for variant in probe.variants:
        flags = probes.compiler_flags(
            variant,
            ring_pages=request.ring_pages,
            filter_entries=request.filter_entries,
            accept_arguments=types.parameter_count("inet_csk_accept"),
            sock_addr=sock_addr(types),
            task_pt_regs=types.find("bpf_task_pt_regs", btf.KIND_FUNC) is not None,
            pid_namespace=request.pid_namespace is not None,
        )
        yield compiler.compiled(text, flags, functions)


def sock_addr(types: btf.Btf) -> dict[str, int]:
    """Returns which argument of __cgroup_bpf_run_filter_sock_addr() is the type of what it runs
    (the fourth one since Linux 6.7, commit fefba7d1ae19), and the numbers of the types (of another
    enum since Linux 5.15, commit 6fc88c354f3a); -1 for what the kernel does not have."""
    numbers = {"SOCK_ADDR_TYPE_ARGUMENT": 2}
    if types.find(probes.SOCK_ADDR, btf.KIND_FUNC) is not None:
        numbers["SOCK_ADDR_TYPE_ARGUMENT"] = 3 if types.parameter_count(probes.SOCK_ADDR) > 5 else 2
    for name in probes.SOCK_ADDR_TYPES:
        found = types.enumerator("cgroup_bpf_attach_type", name)
        if found is None:
            found = types.enumerator("bpf_attach_type", f"BPF_{name}")
        numbers[name] = -1 if found is None else found
    return numbers


def create_maps(made: Object) -> dict[str, int]:
    """Creates the maps; returns a descriptor for each, by name."""
    return {name: syscall.map_create(name, info) for name, info in made.maps.items()}


def _attach_object(types: btf.Btf, probe: Probe, made: Object, request: Request) -> Attached:
    """Raises _HookError, and OSError if the fault is no hook's."""
    maps = create_maps(made)
    if request.pid_namespace is not None:
        _tell_pid_namespace(request.pid_namespace, made, maps)
    for name, entries in request.map_entries.items():
        for key, value in entries:
            syscall.map_update(maps[name], key, value)
    with contextlib.ExitStack() as undo:
        links, programs = [], []
        for hook in probe.hooks:
            instructions = made.instructions(hook.function, list(maps.values()))
            try:
                link, loaded = attach.attach(types, hook, instructions)
            except syscall.TooLargeError as error:
                reason = syscall.TooLargeError(error.errno, _too_large(hook, made))
                raise _HookError(hook, reason) from None
            except OSError as error:
                raise _HookError(hook, error) from None
            undo.callback(os.close, link)
            undo.callback(os.close, loaded)
            links.append(link)
            programs.append(loaded)
        undo.pop_all()
    return Attached(probe, {}, maps, links, programs)


def _tell_pid_namespace(inode: int, made: Object, maps: dict[str, int]) -> None:
    """Stores how deep our pid namespace is, which only the kernel can see. Raises OSError."""
    tell = functools.partial(syscall.map_update, maps["tracers_pids"], bytes(4))
    tell(TRACERS_PIDS.pack(inode, 0))
    level = syscall.run(tracers_level(made, list(maps.values())))
    tell(TRACERS_PIDS.pack(inode, level))


def tracers_level(made: Object, maps: list[int]) -> syscall.Program:
    """Returns a program that says how deep the pid namespace of its runner is."""
    instructions = made.instructions(TRACERS_LEVEL, maps)
    return syscall.Program(TRACERS_LEVEL, instructions, syscall.PROG_TYPE_RAW_TRACEPOINT)


def _too_large(hook: Hook, made: Object) -> str:
    return (
        f"the verifier of Linux {os.uname().release} does not get through what {made.compiler} "
        f"made of {hook.function}"
    )
