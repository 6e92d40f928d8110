# SPDX-License-Identifier: Apache-2.0
"""Runs a command that can make no netlink socket: seccomp(2), as a container's profile does it."""

import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SYS_SOCKET = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
AF_NETLINK = 16
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # SECCOMP_RET_…
NUMBER, FIRST_ARGUMENT = 0, 16  # offsets in struct seccomp_data

PROGRAM = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (LOAD, 0, 0, NUMBER),
        (JUMP_EQUAL, 0, 3, SYS_SOCKET),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (JUMP_EQUAL, 0, 1, AF_NETLINK),
        (RETURN, 0, 0, ERRNO | errno.EACCES),
        (RETURN, 0, 0, ALLOW),
    )
)

if __name__ == "__main__":
    libc = ctypes.CDLL(None, use_errno=True)
    text = ctypes.create_string_buffer(PROGRAM, len(PROGRAM))
    program = struct.pack("@HP", len(PROGRAM) // 8, ctypes.addressof(text))
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) == 0, ctypes.get_errno()
    os.execvp(sys.argv[1], sys.argv[1:])
