# SPDX-License-Identifier: Apache-2.0
"""The bpf(2) system call: the few commands that the tracer needs.

Structures are those of ``union bpf_attr``, include/uapi/linux/bpf.h. Every function
raises OSError with the kernel's errno.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import platform
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tracer.errors import ProbeError

_ENOTSUPP: Final = 524  # include/linux/errno.h

MAP_CREATE: Final = 0
MAP_LOOKUP_ELEM: Final = 1
MAP_UPDATE_ELEM: Final = 2
MAP_DELETE_ELEM: Final = 3
MAP_GET_NEXT_KEY: Final = 4
MAP_LOOKUP_AND_DELETE_ELEM: Final = 21
PROG_LOAD: Final = 5
PROG_TEST_RUN: Final = 10
MAP_LOOKUP_AND_DELETE_BATCH: Final = 25
PROG_GET_NEXT_ID: Final = 11
PROG_GET_FD_BY_ID: Final = 13
OBJ_GET_INFO_BY_FD: Final = 15
PROG_QUERY: Final = 16
RAW_TRACEPOINT_OPEN: Final = 17
LINK_CREATE: Final = 28
ENABLE_STATS: Final = 32

PROG_TYPE_KPROBE: Final = 2
PROG_TYPE_CGROUP_SKB: Final = 8
PROG_TYPE_RAW_TRACEPOINT: Final = 17
PROG_TYPE_TRACING: Final = 26

# expected_attach_type of tracing programs
TRACE_RAW_TP: Final = 23
TRACE_FENTRY: Final = 24
TRACE_FEXIT: Final = 25

CGROUP_INET_INGRESS: Final = 0  # of programs of cgroups

# r0 = 0; exit: attached to find out whether a hook can be attached at all
DO_NOTHING: Final = bytes.fromhex("b700000000000000 9500000000000000")
# r0 = 1; exit: the same of a cgroup's program, which would drop packets by 0
LET_PASS: Final = bytes.fromhex("b700000001000000 9500000000000000")

_SYSCALL_NUMBER: Final = {  # __NR_bpf, arch/*/include/uapi/asm/unistd.h
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "ppc64le": 361,
    "s390x": 351,
}
_PROG_LOAD_ATTR: Final = struct.Struct("=IIQQIIQII16sIIIIQIIQII")
_MAP_CREATE_ATTR: Final = struct.Struct("=IIIIIII16s")
_MAP_ELEM_ATTR: Final = struct.Struct("=I4xQQQ")
# in_batch, out_batch, keys, values, count (written back), map_fd, elem_flags, flags
_BATCH_ATTR: Final = struct.Struct("=QQQQIIQQ")
# program, its return value (written back), sizes of data in and out, data in and out, how often,
# nanoseconds for each time (written back); then the context, which it does not get
_TEST_RUN_ATTR: Final = struct.Struct("=IIIIQQII40x")
_MAP_INFO: Final = struct.Struct("=IIIIII")
_STATS_RUN_TIME: Final = 0
_PROG_INFO_RUN_TIME: Final = struct.Struct("=192xQ")  # struct bpf_prog_info.run_time_ns
_PROG_INFO_MISSES: Final = struct.Struct("=208xQ")  # struct bpf_prog_info.recursion_misses
_PROG_INFO_NAME: Final = struct.Struct("=II56x16s")  # type, id; name
# target (a descriptor or a device's number), attach type, flags; flags (written back), room for
# ids, how many it has (written back); then a revision, which is written back even if the attribute
# is too short for it (bpf_mprog_query(), kernel/bpf/mprog.c)
_QUERY_ATTR: Final = struct.Struct("=IIIIQI36x")
_MAX_QUERIED: Final = 64  # BPF_CGROUP_MAX_PROGS, include/uapi/linux/bpf.h; tcx takes as many
_LICENSE: Final = b"Dual BSD/GPL\0"
_LOG_SIZE: Final = 1 << 20
_LOG_INSTRUCTIONS: Final = 1  # BPF_LOG_LEVEL1, include/linux/bpf_verifier.h
_LOG_STATISTICS: Final = 4  # BPF_LOG_STATS

_libc: Final = ctypes.CDLL(None, use_errno=True)


class MapInfo(NamedTuple):
    """The start of ``struct bpf_map_info``; sizes in bytes."""

    map_type: int
    id: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


def _bpf(command: int, attr: bytes | ctypes.Array[ctypes.c_char]) -> int:
    """Makes the system call; the kernel may write to an ``attr`` that is an array."""
    try:
        number = _SYSCALL_NUMBER[platform.machine()]
    except KeyError:
        raise ProbeError(
            f"the bpf system call's number is not known for {platform.machine()}",
            "use one of " + ", ".join(_SYSCALL_NUMBER),
        ) from None
    given = attr if isinstance(attr, ctypes.Array) else ctypes.c_char_p(attr)
    result = int(_libc.syscall(number, command, given, len(attr)))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def _buffer(content: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(content, len(content))


def map_create(name: str, info: MapInfo) -> int:
    """Returns a descriptor for a new, empty map of this kind (whatever the id)."""
    sizes = (info.key_size, info.value_size, info.max_entries, info.flags)
    return _bpf(MAP_CREATE, _MAP_CREATE_ATTR.pack(info.map_type, *sizes, 0, 0, name.encode()[:15]))


def map_update(map_fd: int, key: bytes, value: bytes, *, only_new: bool = False) -> None:
    """Sets an entry. A per-CPU map needs a value for each CPU. ``only_new`` (BPF_NOEXIST): EEXIST
    if it is there already."""
    key_buffer, value_buffer = _buffer(key), _buffer(value)
    _bpf(
        MAP_UPDATE_ELEM,
        _MAP_ELEM_ATTR.pack(
            map_fd, ctypes.addressof(key_buffer), ctypes.addressof(value_buffer), int(only_new)
        ),
    )


def map_lookup(map_fd: int, key: bytes, value_size: int) -> bytes:
    """Returns an entry's value; for a per-CPU map, the values of all possible CPUs in a row,
    each rounded up to 8 bytes: ``value_size`` is the size of all. ENOENT if absent."""
    key_buffer, value_buffer = _buffer(key), ctypes.create_string_buffer(value_size)
    _bpf(
        MAP_LOOKUP_ELEM,
        _MAP_ELEM_ATTR.pack(
            map_fd, ctypes.addressof(key_buffer), ctypes.addressof(value_buffer), 0
        ),
    )
    return value_buffer.raw


def map_take(map_fd: int, key: bytes, value_size: int) -> bytes:
    """Removes an entry of a hash map and returns its value. ENOENT if it is absent. Before Linux
    5.14 (commit 3e87f192b405) these are two steps, between which the entry may change."""
    key_buffer, value_buffer = _buffer(key), ctypes.create_string_buffer(value_size)
    addresses = ctypes.addressof(key_buffer), ctypes.addressof(value_buffer)
    try:
        _bpf(MAP_LOOKUP_AND_DELETE_ELEM, _MAP_ELEM_ATTR.pack(map_fd, *addresses, 0))
    except OSError as error:
        if error.errno not in (errno.EINVAL, _ENOTSUPP):
            raise
        value = map_lookup(map_fd, key, value_size)
        map_delete(map_fd, key)
        return value
    return value_buffer.raw


def map_delete(map_fd: int, key: bytes) -> None:
    """Removes an entry. ENOENT if it is absent."""
    key_buffer = _buffer(key)
    _bpf(MAP_DELETE_ELEM, _MAP_ELEM_ATTR.pack(map_fd, ctypes.addressof(key_buffer), 0, 0))


def map_keys(map_fd: int, key_size: int) -> Iterator[bytes]:
    """Yields a hash map's keys; entries that come or go meanwhile may be missed or repeated."""
    key, following = None, ctypes.create_string_buffer(key_size)
    while True:
        start = ctypes.addressof(key) if key else 0
        try:
            _bpf(
                MAP_GET_NEXT_KEY,
                _MAP_ELEM_ATTR.pack(map_fd, start, ctypes.addressof(following), 0),
            )
        except OSError as error:
            if error.errno == errno.ENOENT:
                return
            raise
        key = _buffer(following.raw)
        yield following.raw


class Room(NamedTuple):
    """Room for all that a hash map holds: pages that take no memory until they are used."""

    info: MapInfo
    keys: mmap.mmap
    values: mmap.mmap


def room_for(map_fd: int) -> Room:
    """Returns room for this map, and others of its kind."""
    info = map_info(map_fd)
    sizes = (info.key_size, info.value_size)
    return Room(info, *(mmap.mmap(-1, size * info.max_entries) for size in sizes))


def map_take_all(map_fd: int, room: Room) -> Iterator[tuple[bytes, bytes]]:
    """Empties a hash map (Linux 5.6, commit 057996380a42); returns its keys and values."""
    info, keys, values = room
    batch = ctypes.create_string_buffer(4)
    attr = _BATCH_ATTR.pack(
        0, ctypes.addressof(batch), _address(keys), _address(values),
        info.max_entries, map_fd, 0, 0,
    )  # fmt: skip
    count = _take_batch(attr)
    return zip(_cut(keys, info.key_size, count), _cut(values, info.value_size, count), strict=True)


def _address(pages: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(pages))


def _cut(data: mmap.mmap, size: int, count: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, count * size, size))


def _take_batch(attr: bytes) -> int:
    """Returns how many entries it has taken. ENOENT says that these were the last ones."""
    given = ctypes.create_string_buffer(attr, len(attr))
    with contextlib.suppress(FileNotFoundError):
        _bpf(MAP_LOOKUP_AND_DELETE_BATCH, given)
    return int(_BATCH_ATTR.unpack(given.raw)[4])


def map_info(map_fd: int) -> MapInfo:
    """Returns what kind of map this is."""
    return MapInfo._make(_info(map_fd, _MAP_INFO))


def recursion_misses(program_fd: int) -> int:
    """Returns how often the kernel skipped a program because it was already running on that CPU; 0
    where that is not counted (before Linux 5.12, commit 9ed9e9ba2337)."""
    (misses,) = _info(program_fd, _PROG_INFO_MISSES)
    return int(misses)


def run_time(program_fd: int) -> int:
    """Returns how long a program has run, in nanoseconds, while that was measured."""
    (found,) = _info(program_fd, _PROG_INFO_RUN_TIME)
    return int(found)


@contextlib.contextmanager
def statistics() -> Iterator[None]:
    """Lets the kernel measure all programs for the block (BPF_ENABLE_STATS, Linux 5.8, commit
    d46edd671a14), which makes each run some 20 ns slower. Raises OSError."""
    descriptor = _bpf(ENABLE_STATS, struct.pack("=I", _STATS_RUN_TIME))
    try:
        yield
    finally:
        os.close(descriptor)


def _info(descriptor: int, layout: struct.Struct) -> tuple[Any, ...]:
    """Returns the start of a BPF object's info; what an older kernel does not fill is 0."""
    info = ctypes.create_string_buffer(layout.size)
    attr = struct.pack("=IIQ", descriptor, layout.size, ctypes.addressof(info))
    _bpf(OBJ_GET_INFO_BY_FD, attr)
    return layout.unpack(info.raw)


class Program(NamedTuple):
    """What the verifier judges. ``type`` and ``attach_type`` are the kernel's numbers;
    ``attach_type`` and ``attach_btf_id`` are for tracing programs only."""

    name: str
    instructions: bytes
    type: int
    attach_type: int = 0
    attach_btf_id: int = 0


class TooLargeError(OSError):
    """The verifier has given up: there are too many paths through the program."""


def prog_load(program: Program) -> int:
    """Loads a program and returns its descriptor. If the verifier refuses it, the OSError's text
    ends with the verifier's last words. TooLargeError: too many instructions (E2BIG; their log
    would take longer than the rest) or branches (push_stack(), kernel/bpf/verifier.c)."""
    try:
        return _load(program)
    except OSError as first:
        if first.errno == errno.E2BIG:
            raise TooLargeError(first.errno, first.strerror) from None
        log = ctypes.create_string_buffer(_LOG_SIZE)
        try:
            return _load(program, _LOG_INSTRUCTIONS, log)
        except OSError:
            words = log.value.decode(errors="replace").strip().splitlines()
            verdict = "".join(f" ({line.strip()})" for line in words[-3:-1])
            kind = TooLargeError if "jumps is too complex" in verdict else OSError
            raise kind(first.errno, f"{first.strerror}{verdict}") from None


def verified_instructions(program: Program) -> int:
    """Returns how many instructions the verifier walks through until it accepts: the last line
    of its log (print_verification_stats(), kernel/bpf/verifier.c). Raises OSError."""
    log = ctypes.create_string_buffer(_LOG_SIZE)
    os.close(_load(program, _LOG_STATISTICS, log))
    return int(log.value.rpartition(b"processed ")[2].split()[0])


def _load(
    program: Program, log_level: int = 0, log: ctypes.Array[ctypes.c_char] | None = None
) -> int:
    insns, gpl = _buffer(program.instructions), _buffer(_LICENSE)
    attr = _PROG_LOAD_ATTR.pack(
        program.type,
        len(program.instructions) // 8,
        ctypes.addressof(insns),
        ctypes.addressof(gpl),
        log_level,
        _LOG_SIZE if log else 0,
        ctypes.addressof(log) if log else 0,
        *(0, 0),  # kernel version, flags
        program.name.encode()[:15],
        *(0, program.attach_type, 0, 0, 0, 0, 0, 0, 0),  # no device; no BTF of our own
        program.attach_btf_id,
    )
    return _bpf(PROG_LOAD, attr)


def run(program: Program) -> int:
    """Runs a program (PROG_TYPE_RAW_TRACEPOINT) once in this process and returns its result:
    Linux 5.10, commit 1b4d60ec162f. Raises OSError."""
    descriptor = prog_load(program)
    try:
        attr = _buffer(_TEST_RUN_ATTR.pack(descriptor, *(0,) * 7))
        _bpf(PROG_TEST_RUN, attr)
        return int(_TEST_RUN_ATTR.unpack(attr.raw)[1])
    finally:
        os.close(descriptor)


def time_on(program_fd: int, packet: bytes, repeat: int) -> int:
    """Runs a program of a cgroup on a packet, with its Ethernet header, and returns how many
    nanoseconds each time takes."""
    data = _buffer(packet)
    place = ctypes.addressof(data)
    attr = _buffer(_TEST_RUN_ATTR.pack(program_fd, 0, len(packet), 0, place, 0, repeat, 0))
    _bpf(PROG_TEST_RUN, attr)
    return int(_TEST_RUN_ATTR.unpack(attr.raw)[-1])


def link_create(prog_fd: int, target_fd: int, attach_type: int) -> int:
    """Attaches a program, beside others that may be there. Returns a descriptor; closing it
    detaches it."""
    return _bpf(LINK_CREATE, struct.pack("=IIII48x", prog_fd, target_fd, attach_type, 0))


def raw_tracepoint_open(prog_fd: int) -> int:
    """Attaches a BTF-typed tracing program; returns a link that ends with its descriptor."""
    return _bpf(RAW_TRACEPOINT_OPEN, struct.pack("=QI4x", 0, prog_fd))


class LoadedProgram(NamedTuple):
    """A program that is loaded, whether attached or not; ``type`` is the kernel's number."""

    type: int
    id: int
    name: bytes


def programs() -> Iterator[LoadedProgram]:
    """Yields the programs of all processes that are loaded now; needs CAP_SYS_ADMIN."""
    following = ctypes.create_string_buffer(12)
    while True:
        try:
            _bpf(PROG_GET_NEXT_ID, following)
        except FileNotFoundError:
            return
        number = struct.unpack_from("=I", following.raw, 4)[0]
        struct.pack_into("=II", following, 0, number, 0)
        with contextlib.suppress(FileNotFoundError):  # it has ended
            yield _loaded(number)


def _loaded(number: int) -> LoadedProgram:
    descriptor = _bpf(PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))
    try:
        kind, found, name = _info(descriptor, _PROG_INFO_NAME)
        return LoadedProgram(kind, found, name.partition(b"\0")[0])
    finally:
        os.close(descriptor)


def attached(target: int, attach_type: int) -> list[int]:
    """Returns the ids of the programs that are attached there: ``target`` is a cgroup's descriptor,
    or the number of a device of the caller's network namespace, as the type asks. Raises OSError:
    EINVAL if this kernel does not know the type."""
    ids = (ctypes.c_uint32 * _MAX_QUERIED)()
    attr = _buffer(_QUERY_ATTR.pack(target, attach_type, 0, 0, ctypes.addressof(ids), len(ids)))
    _bpf(PROG_QUERY, attr)
    return list(ids[: _QUERY_ATTR.unpack(attr.raw)[5]])
