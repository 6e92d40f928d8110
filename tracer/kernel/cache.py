# SPDX-License-Identifier: Apache-2.0
"""Keeps compiled programs from one run to the next.

They are loaded into the kernel, so a file is used only if this user wrote it and nobody else can
write it. Keeping is best effort: where nothing can be written, each run compiles.
"""

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

_MAX_NAMES: Final = 16  # files, which differ by kernel, probe, size of the ring


def folder() -> Path:
    """Returns the folder: systemd's, if it gives one (CacheDirectory=, systemd.exec(5): with
    DynamicUser= a link), else root's or the user's. Raises FileNotFoundError without a home."""
    given = os.environ.get("CACHE_DIRECTORY")
    if given:
        return Path(given).resolve()
    if os.geteuid() == 0:  # not below $HOME, which sudo may leave as another user's
        return Path("/var/cache/sockwatch").resolve()
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # neither HOME nor an entry in passwd(5)
        raise FileNotFoundError("no home") from None
    return (Path(caches) / "sockwatch").resolve()


def read(name: str) -> bytes | None:
    """Returns what was kept under this name; None if there is nothing that can be trusted."""
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
    """Keeps ``content``, whole or not at all, and removes the oldest files beyond the limit."""
    with contextlib.suppress(OSError):
        kept_in = folder()
        kept_in.mkdir(mode=0o755, parents=True, exist_ok=True)
        _check(os.lstat(kept_in))
        descriptor, unfinished = tempfile.mkstemp(dir=kept_in)
        with open(descriptor, "wb") as kept:
            kept.write(content)
        Path(unfinished).rename(kept_in / name)
        oldest_last = sorted(kept_in.iterdir(), key=lambda path: -path.stat().st_mtime)
        for path in oldest_last[_MAX_NAMES:]:
            path.unlink()
