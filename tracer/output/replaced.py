# SPDX-License-Identifier: Apache-2.0
"""Small files that are replaced as a whole: a reader sees the old text or the new one."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from tracer.folder import Place, place_of

_FRESH: Final = "{}.new"  # what it is called until it has its name


def write(path: Path, text: str, mode: int, *, durable: bool = False, fresh: str = _FRESH) -> None:
    """Writes a new file and gives it the name. ``durable``: a power cut afterwards does not undo
    it. ``fresh`` makes the name that it has until then. Raises OSError, and then leaves no file."""
    place = place_of(path)
    folder, new = place.folder, fresh.format(place.name)
    made = make(place, mode, fresh)
    try:
        with open(made, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        folder.rename(new, place.name)
    except OSError:
        with contextlib.suppress(OSError):
            folder.unlink(new)
        raise
    if durable:
        folder.sync()


def make(place: Place, mode: int, fresh: str = _FRESH) -> int:
    """Makes the new file; what one that was killed has left there is removed. Raises OSError."""
    new = fresh.format(place.name)
    left = place.folder.status(new)
    if left and not stat.S_ISDIR(left.st_mode):
        place.folder.unlink(new)
    return place.folder.make(new, mode)
