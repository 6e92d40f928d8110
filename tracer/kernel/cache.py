# SPDX-License-Identifier: Apache-2.0
"""Where compiled programs are kept from one run to the next.

What is read here is loaded into the kernel, so only what this user wrote, and nobody else can
write, is taken. Keeping is best effort: where nothing can be written, each run compiles.
"""

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

_MOST: Final = 16  # files: kernels, rungs, sizes of the ring


def folder() -> Path:
    """systemd's, if it gives one (CacheDirectory=, systemd.exec(5)); root's; else the user's."""
    given = os.environ.get("CACHE_DIRECTORY")
    if given:
        return Path(given)
    if os.geteuid() == 0:  # not below $HOME: sudo may leave that another user's
        return Path("/var/cache/sockwatch")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sockwatch"


def read(name: str) -> bytes | None:
    """What was kept under this name; None if there is nothing that can be trusted."""
    try:
        _check(os.lstat(folder()))
        descriptor = os.open(folder() / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as kept:
            _check(os.fstat(descriptor))
            return kept.read()
    except OSError:
        return None


def _check(status: os.stat_result) -> None:
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError


def write(name: str, content: bytes) -> None:
    """Keeps it, whole or not at all, and drops the oldest beyond the limit."""
    with contextlib.suppress(OSError):
        folder().mkdir(mode=0o755, parents=True, exist_ok=True)
        _check(os.lstat(folder()))
        descriptor, unfinished = tempfile.mkstemp(dir=folder())
        with open(descriptor, "wb") as kept:
            kept.write(content)
        Path(unfinished).rename(folder() / name)
        oldest_last = sorted(folder().iterdir(), key=lambda path: -path.stat().st_mtime)
        for path in oldest_last[_MOST:]:
            path.unlink()
