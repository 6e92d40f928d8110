# SPDX-License-Identifier: Apache-2.0
"""Reads struct layouts of the running kernel from its BTF, through libbpf.

Used in the loader process only. The format is that of the kernel's
Documentation/bpf/btf.rst and include/uapi/linux/btf.h.
"""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracer.errors import ProbeError

VMLINUX_BTF: Final = Path("/sys/kernel/btf/vmlinux")

KIND_STRUCT: Final = 4
KIND_UNION: Final = 5
KIND_ENUM: Final = 6
KIND_TYPEDEF: Final = 8
KIND_FUNC: Final = 12
_KIND_MODIFIERS: Final = (8, 9, 10, 11, 18)  # typedef, volatile, const, restrict, type tag


class BtfType(ctypes.Structure):
    """``struct btf_type``; members follow it in memory."""

    _fields_ = (
        ("name_off", ctypes.c_uint32),
        ("info", ctypes.c_uint32),
        ("size_or_type", ctypes.c_uint32),
    )


class BtfMember(ctypes.Structure):
    """``struct btf_member``."""

    _fields_ = (
        ("name_off", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
    )


class BtfEnum(ctypes.Structure):
    """``struct btf_enum``."""

    _fields_ = (("name_off", ctypes.c_uint32), ("value", ctypes.c_int32))


class Field(NamedTuple):
    """The place of a member: bytes from the start of its struct, size in bytes."""

    offset: int
    size: int
    type_id: int


def _hidden() -> ProbeError | None:
    """Returns an error if the kernel's types may only be hidden: in a container, an empty folder
    may cover one of sysfs. Without types there is no btf/; every kernel has mm/ (mm/mm_init.c).
    """
    kernel = VMLINUX_BTF.parents[1]
    if (kernel / "mm").exists() and not VMLINUX_BTF.parent.exists():
        return None
    covered = next(path for path in (VMLINUX_BTF.parent, kernel) if path.exists() or path == kernel)
    what = f"something empty covers {covered}" if covered.exists() else "/sys is not mounted here"
    return ProbeError(
        f"{VMLINUX_BTF}, where the kernel describes its types, cannot be seen: {what}",
        "mount it ('mount -t sysfs sysfs /sys'); in a container, give it /sys as the host has it",
    )


class Btf:
    """The running kernel's types. Raises ProbeError if the kernel has none."""

    def __init__(self) -> None:
        if not VMLINUX_BTF.exists():
            raise _hidden() or ProbeError(
                f"this kernel does not describe its types: {VMLINUX_BTF} is missing",
                "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of Debian 11, "
                "Ubuntu 20.10, Fedora 31 and later are",
            )
        self._lib = _libbpf()
        self._btf = self._lib.btf__load_vmlinux_btf()
        if not self._btf:
            raise ProbeError(f"libbpf cannot read {VMLINUX_BTF}", "update libbpf")

    def find(self, name: str, kind: int) -> int | None:
        """Returns the id of the type with this name and kind, None if there is none."""
        type_id = self._lib.btf__find_by_name_kind(self._btf, name.encode(), kind)
        return type_id if type_id > 0 else None

    def struct_size(self, name: str) -> int:
        """Returns a struct's size in bytes. Raises LookupError."""
        return int(self._type(self._struct_id(name)).size_or_type)

    def field(self, struct_name: str, path: str) -> Field:
        """Returns the member at ``path``, such as ``__sk_common.skc_net.net``. Members of anonymous
        structs and unions count as their parent's, as in C. Raises LookupError."""
        type_id, offset = self._struct_id(struct_name), 0
        for name in path.split("."):
            found = self._member(self._strip(type_id), name)
            if found is None:
                raise LookupError(f"struct {struct_name} has no {path} in this kernel")
            type_id, offset = found[0], offset + found[1]
        return Field(offset, self._lib.btf__resolve_size(self._btf, type_id), type_id)

    def parameter_count(self, function: str) -> int:
        """Returns how many parameters a kernel function has. Raises LookupError."""
        type_id = self.find(function, KIND_FUNC)
        if type_id is None:
            raise LookupError(f"this kernel has no function {function}")
        return int(self._type(self._type(type_id).size_or_type).info) & 0xFFFF

    def enumerator(self, enum: str, name: str) -> int | None:
        """Returns the value of a name in an enum, None if this kernel has none."""
        type_id = self.find(enum, KIND_ENUM)
        if type_id is None:
            return None
        btf_type = self._type(type_id)
        first = ctypes.addressof(btf_type) + ctypes.sizeof(BtfType)
        values = (BtfEnum * (btf_type.info & 0xFFFF)).from_address(first)
        return next((one.value for one in values if self._name(one.name_off) == name), None)

    def _struct_id(self, name: str) -> int:
        type_id = self.find(name, KIND_STRUCT)
        if type_id is None:
            raise LookupError(f"this kernel has no struct {name}")
        return type_id

    def _type(self, type_id: int) -> Any:
        return self._lib.btf__type_by_id(self._btf, type_id).contents

    def _name(self, name_off: int) -> str:
        return str(self._lib.btf__name_by_offset(self._btf, name_off).decode())

    def _strip(self, type_id: int) -> int:
        """Returns the type behind typedefs and qualifiers."""
        while _kind(self._type(type_id)) in _KIND_MODIFIERS:
            type_id = self._type(type_id).size_or_type
        return type_id

    def _members(self, type_id: int) -> Iterator[tuple[str, int, int]]:
        """Yields name, type and bit offset of each member (of a bitfield's first bit)."""
        btf_type = self._type(type_id)
        if _kind(btf_type) not in (KIND_STRUCT, KIND_UNION):
            return
        count = btf_type.info & 0xFFFF
        has_bitfields = btf_type.info >> 31
        first = ctypes.addressof(btf_type) + ctypes.sizeof(BtfType)
        for member in (BtfMember * count).from_address(first):
            bits = member.offset & 0xFFFFFF if has_bitfields else member.offset
            yield self._name(member.name_off), member.type, bits

    def _member(self, type_id: int, wanted: str) -> tuple[int, int] | None:
        """Returns type and byte offset of a member; looks in anonymous members, too."""
        for name, member_type, bits in self._members(type_id):
            if name == wanted:
                return member_type, bits // 8
            if not name:
                inner = self._member(self._strip(member_type), wanted)
                if inner is not None:
                    return inner[0], inner[1] + bits // 8
        return None


_OPTIONAL: Final = "optional "


def declarations(btf: Btf, structs: Mapping[str, Mapping[str, str]]) -> str:
    """Returns C declarations of ``structs`` with just the named fields, each at its place.

    ``structs`` maps a struct's name to its fields, which map the name in our C text to a
    declaration ``TYPE PATH``, such as ``"struct net * __sk_common.skc_net.net"``.
    ``TYPE[]`` is an array of any length. A kernel may lack a struct or a field whose name or
    declaration begins with ``optional``; if it has that, ``HAVE_STRUCT`` or ``HAVE_STRUCT_FIELD``
    is defined.
    Raises ProbeError if the kernel lacks a field or has it in another size.
    """
    present = {
        name.removeprefix(_OPTIONAL): fields
        for name, fields in structs.items()
        if not name.startswith(_OPTIONAL) or has_struct(btf, name.removeprefix(_OPTIONAL))
    }
    try:
        bodies = {name: _declaration(btf, name, fields) for name, fields in present.items()}
    except LookupError as error:
        raise ProbeError(
            str(error.args[0]), "please report it with the output of 'uname -a'"
        ) from error
    forward = "".join(f"struct {name};\n" for name in present)
    optional = (name for name in present if name not in structs)
    have = "".join(f"#define HAVE_{name.upper()} 1\n" for name in optional)
    return forward + have + "".join(bodies.values())


def has_struct(btf: Btf, name: str) -> bool:
    """Says whether the kernel describes this struct."""
    return btf.find(name, KIND_STRUCT) is not None


def _declaration(btf: Btf, name: str, fields: Mapping[str, str]) -> str:
    # A union of structs, each with padding and one field: fields may overlap, in any order.
    size = btf.struct_size(name)
    lines = [f"struct {name} {{ union {{\n", f"\tu8 whole_[{size}];\n"]
    proofs = [_proof(f"sizeof(struct {name}) == {size}")]
    for alias, declared in fields.items():
        c_type, path = declared.removeprefix(_OPTIONAL).rsplit(" ", 1)
        base, _, length = c_type.partition("[")
        try:
            field = btf.field(name, path)
        except LookupError:
            if declared.startswith(_OPTIONAL):
                continue
            raise
        padding = f"u8 before_{alias}[{field.offset}]; " if field.offset else ""
        suffix = {"": "", "]": "[0]"}.get(length, f"[{length}")
        lines.append(f"\tstruct {{ {padding}{base} {alias}{suffix}; }};\n")
        proofs.append(_proof(f"__builtin_offsetof(struct {name}, {alias}) == {field.offset}"))
        if suffix != "[0]":
            proofs.append(_proof(f"sizeof(((struct {name} *)0)->{alias}) == {field.size}"))
        if declared.startswith(_OPTIONAL):
            proofs.append(f"#define HAVE_{name.upper()}_{alias.upper()} 1\n")
    return "".join([*lines, "}; };\n", *proofs])


def _proof(condition: str) -> str:
    return f'_Static_assert({condition}, "");\n'


def _kind(btf_type: Any) -> int:
    return int(btf_type.info) >> 24 & 0x1F


def _libbpf(names: Sequence[str] = ("libbpf.so.1", "libbpf.so.0")) -> ctypes.CDLL:
    for name in names:
        try:
            lib = ctypes.CDLL(name)
        except OSError:
            continue
        lib.btf__load_vmlinux_btf.restype = ctypes.c_void_p
        lib.btf__find_by_name_kind.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32)
        lib.btf__type_by_id.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        lib.btf__type_by_id.restype = ctypes.POINTER(BtfType)
        lib.btf__name_by_offset.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        lib.btf__name_by_offset.restype = ctypes.c_char_p
        lib.btf__resolve_size.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        lib.btf__resolve_size.restype = ctypes.c_int64
        return lib
    raise ProbeError("libbpf is not installed", "run 'apt-get install libbpf1'")
