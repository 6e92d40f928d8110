# SPDX-License-Identifier: Apache-2.0
"""Decodes the program that the kernel reports at an exec."""

from typing import Final

from tracer.host.procfs import Program, printable, split_arguments
from tracer.kernel.abi import ARGS_UNREADABLE, EXE_DELETED, EXE_NAMELESS, EXEC, ExecEvent
from tracer.model.process import ARGS_SIZE, File

_MINOR_BITS: Final = 20  # of a dev_t inside the kernel: include/linux/kdev_t.h
_MINOR_MASK: Final = (1 << _MINOR_BITS) - 1


def program(raw: bytes) -> Program:
    """Returns the program from the part of ``struct exec_event`` that follows its process."""
    said = ExecEvent._make(EXEC.unpack_from(raw))
    path = raw[EXEC.size : EXEC.size + said.exe_size]
    arguments = raw[EXEC.size + said.exe_size :]
    args = None if said.args_size == ARGS_UNREADABLE else split_arguments(arguments)
    return Program(
        _exe(path, said.exe_flags),
        args,
        args is not None and said.args_size > ARGS_SIZE,
        File(said.exe_dev >> _MINOR_BITS, said.exe_dev & _MINOR_MASK, said.exe_inode)
        if said.exe_inode
        else None,
        said.mntns or None,
    )


def _exe(names: bytes, flags: int) -> str | None:
    """Returns the path from its names, last one first, as readlink(2) of /proc/PID/exe does."""
    if not names:
        return None
    path = "/" + "/".join(map(printable, reversed(names.removesuffix(b"\0").split(b"\0"))))
    return f"{path} (deleted)" if flags & (EXE_DELETED | EXE_NAMELESS) else path
