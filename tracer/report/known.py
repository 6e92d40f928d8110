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
    reader = Reader(lambda seen: made_of(seen.flow), lambda _proto, _failed: True)
    found = set()
    files = with_backups([log])
    try:
        for path in files.paths:
            goes_on = path in files.continued
            for _, _, made, _ in reader.entries(path, lambda _: None, goes_on=goes_on):
                found.add(made)
    except FileNotFoundError:
        pass  # there is none yet
    except OSError as error:
        reason = f"the log {error.filename} cannot be read ({error.strerror})"
        raise SockwatchError(reason, "run it as root, or name another one with --log") from None
    return found
