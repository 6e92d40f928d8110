# SPDX-License-Identifier: Apache-2.0
"""Small files that are replaced as a whole: a reader sees the old text or the new one."""

import contextlib
import os
from pathlib import Path
from typing import Final

from tracer.folder import place_of

_FRESH: Final = ".new"  # suffix until it has its name


def write(path: Path, text: str, mode: int, *, durable: bool = False) -> None:
    """Writes a new file and gives it the name. ``durable``: a power cut afterwards does not undo
    it. Raises OSError."""
    folder, name = place_of(path)
    fresh = f"{name}{_FRESH}"
    with contextlib.suppress(FileNotFoundError):  # of one that was killed
        folder.unlink(fresh)
    with open(folder.make(fresh, mode), "w") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    folder.rename(fresh, name)
    if durable:
        folder.sync()
