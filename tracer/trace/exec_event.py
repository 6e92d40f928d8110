# SPDX-License-Identifier: Apache-2.0
"""Decodes the program that the kernel reports at an exec."""

from tracer.host.procfs import Program, printable, split_arguments
from tracer.kernel.abi import ARGS_UNREADABLE, EXE_DELETED, EXE_NAMELESS, EXEC
from tracer.model.process import ARGS_SIZE


def program(raw: bytes) -> Program:
    """Returns the program from the part of ``struct exec_event`` that follows its process."""
    exe_size, flags, args_size = EXEC.unpack_from(raw)
    path = raw[EXEC.size : EXEC.size + exe_size]
    arguments = raw[EXEC.size + exe_size :]
    args = None if args_size == ARGS_UNREADABLE else split_arguments(arguments)
    return Program(_exe(path, flags), args, args is not None and args_size > ARGS_SIZE)


def _exe(names: bytes, flags: int) -> str | None:
    """Returns the path from its names, last one first, as readlink(2) of /proc/PID/exe does."""
    if not names:
        return None
    path = "/" + "/".join(map(printable, reversed(names.removesuffix(b"\0").split(b"\0"))))
    return f"{path} (deleted)" if flags & (EXE_DELETED | EXE_NAMELESS) else path
