# SPDX-License-Identifier: Apache-2.0
"""What a log has had already."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tracer.errors import SockwatchError
from tracer.model.flow import Flow
from tracer.report.files import with_backups
from tracer.report.reader import Reader

T = TypeVar("T")


def known(log: Path, made_of: Callable[[Flow], T]) -> set[T]:
    """Returns what was made of each flow that a log and its backups tell of; nothing, if there is
    no log. Damaged lines are left out. Raises SockwatchError."""
    reader = Reader(
        lambda seen: made_of(seen.flow), lambda _proto, _failed: True, asks_for_own=False
    )
    files = with_backups([log])
    found: set[T] = set()
    for path in files.paths:
        entries = reader.entries(path, lambda _: None, goes_on=path in files.continued)
        try:
            found.update(made for _, _, made, _ in entries)
        except FileNotFoundError:  # there is none yet, or it is the oldest backup, and is gone
            continue
        except OSError as error:
            reason = f"the log {error.filename} cannot be read ({error.strerror})"
            raise SockwatchError(reason, "run it as root, or name another with --log") from None
    return found
