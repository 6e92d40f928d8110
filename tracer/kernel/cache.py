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

_MOST: Final = 16  # files: kernels, probes, sizes of the ring


def folder() -> Path:
    """systemd's, if it gives one (CacheDirectory=, systemd.exec(5): with DynamicUser= a link to
    it); root's; else the user's. Raises FileNotFoundError for a user who has no home."""
    given = os.environ.get("CACHE_DIRECTORY")
    if given:
        return Path(given).resolve()
    if os.geteuid() == 0:  # not below $HOME: sudo may leave that another user's
        return Path("/var/cache/sockwatch").resolve()
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # neither HOME nor an entry in passwd(5)
        raise FileNotFoundError("no home") from None
    return (Path(caches) / "sockwatch").resolve()


def read(name: str) -> bytes | None:
    """What was kept under this name; None if there is nothing that can be trusted."""
    try:
        kept_in = folder()
        _check(os.lstat(kept_in))
        descriptor = os.open(kept_in / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
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
        kept_in = folder()
        kept_in.mkdir(mode=0o755, parents=True, exist_ok=True)
        _check(os.lstat(kept_in))
        descriptor, unfinished = tempfile.mkstemp(dir=kept_in)
        with open(descriptor, "wb") as kept:
            kept.write(content)
        Path(unfinished).rename(kept_in / name)
        oldest_last = sorted(kept_in.iterdir(), key=lambda path: -path.stat().st_mtime)
        for path in oldest_last[_MOST:]:
            path.unlink()
