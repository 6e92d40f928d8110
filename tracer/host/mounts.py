# SPDX-License-Identifier: Apache-2.0
"""Lists what is mounted, as this process sees it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Mount(NamedTuple):
    """A mount; ``root`` is the part of the file system that is mounted at ``path``, ``dev`` its
    device, as ``8:1``; ``source`` and ``options`` are the file system's own."""

    dev: str
    kind: str
    root: str
    path: str
    source: str = ""
    options: str = ""


def mounts(process: str = "/proc/self") -> Iterator[Mount]:
    """Reads a process's mountinfo, proc(5). A path may hold any bytes: whoever mounts chooses.
    Raises OSError."""
    for line in Path(process, "mountinfo").read_bytes().split(b"\n")[:-1]:
        fields = line.split(b" ")
        kind, *own = fields[fields.index(b"-") + 1 :]
        texts = map(_unescaped, (*fields[3:5], *own[:2]))
        yield Mount(fields[2].decode(), kind.decode(), *texts)


def _unescaped(raw: bytes) -> str:
    """Decodes space, tab, newline and backslash, which are octal there."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), raw))
