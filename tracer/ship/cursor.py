# SPDX-License-Identifier: Apache-2.0
"""How far a log is shipped, on the disk: written before a block is sent, so that after whatever
happens the same block is sent again, or none."""

import dataclasses
import fcntl
import json
import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracer.errors import SockwatchError
from tracer.folder import place_of
from tracer.output import replaced

DEFAULT: Final = Path("/var/lib/sockwatch-ship/cursor")
_FOLDER_MODE: Final = 0o750
_FILE_MODE: Final = 0o640
_FORMAT: Final = 1
_MAX_DONE: Final = 4096  # beyond this, the oldest of the files that were shipped are forgotten


@dataclasses.dataclass
class Context:
    """What the lines before a place in the log say of those after it. ``lines`` are those of the
    run so far, None: not known. ``may_miss``: files may be missing before the next line. What is
    ``damaged`` or was ``refused`` is not told to a server yet."""

    host: str
    run: str = ""
    lines: int | None = None
    time: str = ""  # of the latest line
    may_miss: bool = False
    damaged: int = 0
    refused: int = 0


class Cursor(NamedTuple):
    """Where shipping is. The lines of ``file`` from ``start`` to ``end`` may have been sent, to the
    servers of ``place``; all before are there. ``done`` are older files, shipped as a whole;
    ``cuts`` how often this one was truncated."""

    context: Context
    file: str = ""
    start: int = 0
    end: int = 0
    place: str = ""
    done: tuple[str, ...] = ()
    cuts: int = 0

    @property
    def token(self) -> str:
        """Names the block that begins there: no other one ever does."""
        return f"{self.file}{f'.{self.cuts}' if self.cuts else ''}:{self.start}"

    @property
    def is_pending(self) -> bool:
        """Says whether there is a block that may have been sent."""
        return self.end > self.start


class Store:
    """The cursor's file. One process has it at a time."""

    def __init__(self, path: Path) -> None:
        """Raises SockwatchError if another process has it, or it cannot be written."""
        self.path = path
        try:
            folder, name = place_of(path, _FOLDER_MODE)
            self._lock = folder.open_or_make(f"{name}.lock")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SockwatchError(
                f"another process ships with the cursor {path}", "name another one with --cursor"
            ) from None
        except OSError as error:
            raise _unwritable(path, error) from None

    def close(self) -> None:
        """Lets another process have it."""
        os.close(self._lock)

    def load(self, host: str) -> Cursor:
        """Returns the cursor; one at the beginning if there is none. Raises SockwatchError."""
        try:
            folder, name = place_of(self.path)
            with open(folder.open(name, os.O_RDONLY)) as file:
                return _cursor(json.load(file))
        except FileNotFoundError:
            return Cursor(Context(host))
        except OSError as error:
            raise _unwritable(self.path, error) from None
        except (ValueError, TypeError, KeyError):
            raise SockwatchError(
                f"{self.path} is no cursor of sockwatch ship",
                "remove it, and all of the log is shipped anew",
            ) from None

    def save(self, cursor: Cursor) -> None:
        """Writes it, so that a power cut does not undo it. Raises SockwatchError."""
        known = {"format": _FORMAT, **cursor._asdict(), "done": cursor.done[-_MAX_DONE:]}
        known["context"] = dataclasses.asdict(cursor.context)
        try:
            replaced.write(self.path, f"{json.dumps(known)}\n", _FILE_MODE, durable=True)
        except OSError as error:
            raise _unwritable(self.path, error) from None


def _cursor(known: dict[str, Any]) -> Cursor:
    if known.pop("format") != _FORMAT:
        raise ValueError
    known["context"] = Context(**known["context"])
    known["done"] = tuple(known["done"])
    return Cursor(**known)


def _unwritable(path: Path, error: OSError) -> SockwatchError:
    return SockwatchError(
        f"cannot write the cursor {path} ({error.strerror})", "name another place with --cursor"
    )
