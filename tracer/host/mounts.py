# SPDX-License-Identifier: Apache-2.0
"""Lists what is mounted, as this process sees it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Mount(NamedTuple):
    """A mount; ``root`` is the part of the file system that is mounted at ``path``, ``dev`` its
    device, as ``8:1``."""

    dev: str
    kind: str
    root: str
    path: str


def mounts() -> Iterator[Mount]:
    """Reads /proc/self/mountinfo, proc(5). A path may hold any bytes: whoever mounts chooses."""
    for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n")[:-1]:
        fields = line.split(b" ")
        kind = fields[fields.index(b"-") + 1]
        yield Mount(fields[2].decode(), kind.decode(), _unescaped(fields[3]), _unescaped(fields[4]))


def _unescaped(raw: bytes) -> str:
    """Decodes space, tab, newline and backslash, which are octal there."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), raw))
