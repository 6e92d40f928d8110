# SPDX-License-Identifier: Apache-2.0
"""Which files a report reads: each log with its backups, oldest first."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tracer.output.backups import backups_of
from tracer.report.source import STDIN


class Files(NamedTuple):
    """The files in the order in which they are read, and which of them go on where the one before
    them ends."""

    paths: list[Path]
    continued: set[Path]


def with_backups(logs: Iterable[Path]) -> Files:
    """Returns the logs and their backups, each file once, whatever names it is given by. A backup
    that is named by itself is read with its log, if that is named, too."""
    chains = [[*backups_of(log), log] if log != STDIN else [log] for log in logs]
    backups = {_identity(path) for chain in chains for path in chain[:-1]}
    found = Files([], set())
    read: set[object] = set()
    for chain in chains:
        if len(chain) == 1 and _identity(chain[0]) in backups:
            continue
        new = list(_each_once(chain, read))
        found.paths.extend(new)
        found.continued.update(new[1:])
    return found


def _each_once(paths: Iterable[Path], read: set[object]) -> Iterator[Path]:
    for path in paths:
        identity = _identity(path)
        if identity not in read:
            read.add(identity)
            yield path


def _identity(path: Path) -> object:
    """Returns what tells a file from others; of one that cannot be looked at, its name."""
    if path == STDIN:
        return path
    try:
        status = path.stat()
    except OSError:
        return path
    return status.st_dev, status.st_ino
