# SPDX-License-Identifier: Apache-2.0
"""What is mounted, as this process sees it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Mount(NamedTuple):
    """``root`` is which part of the file system is mounted at ``path``."""

    kind: str
    root: str
    path: str


def mounts() -> Iterator[Mount]:
    """Of /proc/self/mountinfo, proc(5): whoever may mount may choose any bytes for a path."""
    for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n")[:-1]:
        fields = line.split(b" ")
        kind = fields[fields.index(b"-") + 1]
        yield Mount(kind.decode(), _unescaped(fields[3]), _unescaped(fields[4]))


def _unescaped(raw: bytes) -> str:
    """Space, tab, newline and backslash are octal there."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), raw))
