# SPDX-License-Identifier: Apache-2.0
"""Says in a file that all is attached."""

import errno
import os
import stat
from pathlib import Path

from tracer.errors import SockwatchError
from tracer.folder import place_of


def write(path: Path) -> None:
    """Writes our pid there, also into a FIFO that somebody reads. Raises SockwatchError."""
    try:
        folder, name = place_of(path)
        with open(folder.open_or_make(name, os.O_WRONLY), "w") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.truncate()
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        reason = "nobody reads it" if error.errno == errno.ENXIO else error.strerror
        raise SockwatchError(
            f"cannot write {path} ({reason})", "name another place with --ready-file"
        ) from None
