# SPDX-License-Identifier: Apache-2.0
"""Keeps compiled programs from one run to the next.

They are loaded into the kernel, so a file is used only if this user wrote it, nobody else can write
it, and it is whole. Keeping is best effort: where nothing can be written, each run compiles.
"""

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from tracer.folder import Folder

_MAX_NAMES: Final = 16  # files, which differ by kernel, probe, size of the ring
_DIGEST_SIZE: Final = hashlib.sha256().digest_size


def folder() -> Path:
    """Returns the folder: systemd's, if it gives one (CacheDirectory=, systemd.exec(5): with
    DynamicUser= a link), else root's or the user's. Raises FileNotFoundError without a home."""
    given = os.environ.get("CACHE_DIRECTORY")
    if given:
        return Path(given)
    if os.geteuid() == 0:  # not below $HOME, which sudo may leave as another user's
        return Path("/var/cache/sockwatch")
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # neither HOME nor an entry in passwd(5)
        raise FileNotFoundError("no home") from None
    return Path(caches) / "sockwatch"


def read(name: str) -> bytes | None:
    """Returns what was kept under this name; None if there is nothing that can be trusted."""
    try:
        with open(_opened(None).read_only(name), "rb") as kept:
            status = os.fstat(kept.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                return None
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return None
            whole = kept.read()
    except OSError:
        return None
    digest, content = whole[:_DIGEST_SIZE], whole[_DIGEST_SIZE:]
    return content if digest == _digest(name, content) else None


def write(name: str, content: bytes) -> None:
    """Keeps ``content``, whole or not at all, and removes the oldest files beyond the limit."""
    with contextlib.suppress(OSError):
        kept_in = _opened(0o755)
        unfinished = secrets.token_hex(8)
        try:
            with open(kept_in.make(unfinished, 0o600), "wb") as kept:
                kept.write(_digest(name, content) + content)
            kept_in.rename(unfinished, name)
        except OSError:
            kept_in.unlink(unfinished)
            raise
        _remove_the_oldest(kept_in)


def _opened(mode: int | None) -> Folder:
    """Opens the folder; makes it if a mode is given. Raises OSError if it is not ours alone."""
    found = Folder(folder(), mode)
    if found.uid != os.geteuid() or found.is_shared:
        raise PermissionError
    return found


def _digest(name: str, content: bytes) -> bytes:
    """Returns what damage changes, and a copy under another name."""
    return hashlib.sha256(f"{name}\0".encode() + content).digest()


def _remove_the_oldest(kept_in: Folder) -> None:
    """Raises OSError."""
    found = [
        (status.st_mtime, name) for name in kept_in.names() if (status := kept_in.status(name))
    ]
    for _, name in sorted(found, reverse=True)[_MAX_NAMES:]:
        kept_in.unlink(name)
