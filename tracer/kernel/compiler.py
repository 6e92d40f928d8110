# SPDX-License-Identifier: Apache-2.0
"""Turns C text into instructions, by BCC or from what it made before; the only user of bcc.

Use it in a short-lived process: LLVM's 150 MB stay until the process ends.
"""

import contextlib
import ctypes
import hashlib
import importlib.util
import json
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracer.errors import ProbeError
from tracer.kernel import cache, probes, syscall
from tracer.kernel.syscall import MapInfo

# struct bpf_insn: code, dst_reg and src_reg, off, imm
_INSTRUCTION: Final = struct.Struct("=BBhi")
_LOAD_IMM64: Final = 0x18  # BPF_LD | BPF_IMM | BPF_DW
_PSEUDO_MAP_FD: Final = 1
# what decoding something else than a kept program raises
_MISFITS: Final = (
    ValueError, TypeError, AttributeError, LookupError, RecursionError, struct.error
)  # fmt: skip


class Object(NamedTuple):
    """A compiled program, before anything of it is in the kernel. An instruction refers to a map by
    its place in ``maps``. ``compiler`` names what made it, such as
    ``BCC 0.31.0 with LLVM 19.1.7``."""

    maps: dict[str, MapInfo]
    functions: dict[str, bytes]
    compiler: str

    def instructions(self, function: str, descriptors: list[int]) -> bytes:
        """Returns one function's instructions with the maps' descriptors filled in."""
        return _replace_maps(self.functions[function], dict(enumerate(descriptors)))


def compiled(text: str, flags: list[str], functions: list[str]) -> Object:
    """Returns the program, kept or newly compiled. Raises ProbeError if there is no BCC."""
    name = _name(text, flags)
    kept = cache.read(name)
    if kept:
        with contextlib.suppress(*_MISFITS):
            return _decode(kept, functions)
    made = _compile(text, flags, functions)
    cache.write(name, _encode(made))
    return made


def _name(text: str, flags: list[str]) -> str:
    """Hashes all that instructions depend on: text, flags, headers, kernel and compiler."""
    headers = sorted((probes.bpf_folder() / "include").rglob("*.h"))
    kernel = os.uname()
    parts = (
        text,
        *flags,
        *(path.read_text() for path in headers),
        *(kernel.release, kernel.version, kernel.machine),
        (_bcc_folder() / "version.py").read_text(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _bcc_folder() -> Path:
    found = importlib.util.find_spec("bcc")
    if found is None or found.origin is None:
        raise _no_bcc("No module named 'bcc'")
    folder = Path(found.origin).parent
    if not (folder / "libbcc.py").exists():
        raise ProbeError(
            f"{folder} is not BCC's Python module, but another one of that name",
            "take it away, as with 'pip uninstall bcc'; BCC's is the package python3-bpfcc",
        )
    return folder


def _no_bcc(reason: str) -> ProbeError:
    return ProbeError(
        f"BCC's Python module cannot be imported ({reason})",
        "run 'apt-get install python3-bpfcc' and use the system's python3 "
        "(PyPI's 'bcc' is another thing)",
    )


def _encode(made: Object) -> bytes:
    functions = {name: code.hex() for name, code in made.functions.items()}
    return json.dumps([made.maps, functions, made.compiler]).encode()


def _decode(kept: bytes, wanted: list[str]) -> Object:
    """Decodes a kept program. Raises one of ``_MISFITS`` if it is none, or not of these functions,
    as one that another version kept."""
    maps, functions, compiler = json.loads(kept)
    if list(functions) != wanted:
        raise ValueError("other functions")
    places = {place: place for place in range(len(maps))}
    made = Object(
        {name: MapInfo(*map(int, info)) for name, info in maps.items()},
        {name: bytes.fromhex(code) for name, code in functions.items()},
        str(compiler),
    )
    for code in made.functions.values():
        _replace_maps(code, places)
    return made


def _compile(text: str, flags: list[str], functions: list[str]) -> Object:
    os.environ["BCC_KERNEL_SOURCE"] = str(probes.bpf_folder())
    try:
        from bcc import BPF  # noqa: PLC0415  nobody pays for LLVM who need not compile
    except ImportError as error:
        raise _no_bcc(str(error)) from None
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)  # clang writes to the descriptor itself
        try:
            module = BPF(text=text.encode(), cflags=flags)
        except Exception as error:  # noqa: BLE001  that is all BCC raises
            noise.seek(0)
            said = noise.read().decode(errors="replace")
            raise RuntimeError(f"BCC cannot compile the program: {error}\n{said}") from None
    return _object(module, functions)


def _object(module: Any, functions: list[str]) -> Object:
    descriptors = map_descriptors(module)
    places = {descriptor: place for place, descriptor in enumerate(descriptors.values())}
    return Object(
        {name: syscall.map_info(fd)._replace(id=0) for name, fd in descriptors.items()},
        {name: _replace_maps(module.dump_func(name.encode()), places) for name in functions},
        _compiler(module),
    )


def _compiler(module: Any) -> str:
    """Names BCC's version, and LLVM's, which its preprocessor put into compiler_version()."""
    from bcc import __version__  # noqa: PLC0415

    *_, version = _INSTRUCTION.unpack_from(module.dump_func(b"compiler_version"))
    llvm = f"{version // 10_000}.{version // 100 % 100}.{version % 100}"
    return f"BCC {__version__} with LLVM {llvm}"


def _replace_maps(instructions: bytes, replacements: dict[int, int]) -> bytes:
    """Replaces the map in each instruction that loads its address: bpf(2), BPF_PSEUDO_MAP_FD."""
    changed = bytearray(instructions)
    for at in range(0, len(instructions), _INSTRUCTION.size):
        code, registers, offset, value = _INSTRUCTION.unpack_from(instructions, at)
        source = registers >> 4 if sys.byteorder == "little" else registers & 0xF
        if code == _LOAD_IMM64 and source == _PSEUDO_MAP_FD:
            _INSTRUCTION.pack_into(changed, at, code, registers, offset, replacements[value])
    return bytes(changed)


def map_descriptors(module: Any) -> dict[str, int]:
    """Returns name and descriptor of each map; BCC's own table objects cannot hold our keys."""
    from bcc import lib  # noqa: PLC0415

    lib.bpf_table_name.restype = ctypes.c_char_p
    count = lib.bpf_num_tables(module.module)
    return {
        lib.bpf_table_name(module.module, i).decode(): lib.bpf_table_fd_id(module.module, i)
        for i in range(count)
    }
