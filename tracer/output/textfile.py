# SPDX-License-Identifier: Apache-2.0
"""Writes what a script waits for into a file: that all is attached, and the answer."""

import errno
import os
import stat
from pathlib import Path

from tracer.errors import SockwatchError
from tracer.folder import place_of


def write(path: Path, text: str, option: str) -> None:
    """Writes a text there, also into a FIFO that somebody reads. Raises SockwatchError, which names
    the ``option``."""
    try:
        folder, name = place_of(path)
        with open(folder.open_or_make(name, os.O_WRONLY), "w") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.truncate()
            file.write(text)
    except OSError as error:
        reason = "nobody reads it" if error.errno == errno.ENXIO else error.strerror
        raise SockwatchError(
            f"cannot write {path} ({reason})", f"name another place with {option}"
        ) from None
