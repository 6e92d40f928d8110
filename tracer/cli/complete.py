# SPDX-License-Identifier: Apache-2.0
"""What the shell completes for an option's value: the names that there are now on this machine.

``tracer.host`` is imported in the functions, since a command starts quicker without it.
"""

import pwd
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import click

from tracer.model import protocols
from tracer.model.socket import STATE_NAMES

# The shell gets a value as if the user had typed it, and anybody may name a cgroup.
_SAFE: Final = re.compile(r"[\w@%+=:./-]+", re.ASCII)

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _each(find: Callable[[], Iterable[str]]) -> Complete:
    """Returns the completion of the names that ``find`` returns; none where they cannot be read,
    and none that a shell would take for something else."""

    def complete(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
        try:
            names = sorted(set(find()))
        except OSError:
            return []
        return [name for name in names if name.startswith(typed) and _SAFE.fullmatch(name)]

    return complete


def _users() -> Iterator[str]:
    return (user.pw_name for user in pwd.getpwall())


def _namespaces() -> Iterable[str]:
    from tracer.host import netns  # noqa: PLC0415

    return ("self", *netns.names().values())


def _units() -> Iterator[str]:
    from tracer.host import cgroup, delegation, workload  # noqa: PLC0415

    for path in cgroup.populated():
        yield from workload.units(path, delegation.of(path))


def _containers() -> Iterator[str]:
    from tracer.host import cgroup, delegation, workload  # noqa: PLC0415

    for path in cgroup.populated():
        found = workload.container(path, delegation.of(path))
        if found:
            yield found.id


def _cgroups() -> Iterator[str]:
    """Yields those that have a process, and those above them."""
    from tracer.host import cgroup  # noqa: PLC0415

    for path in cgroup.populated():
        parts = path.split("/")
        yield from ("/".join(parts[:depth]) for depth in range(2, len(parts) + 1))


cgroups: Final = _each(_cgroups)
containers: Final = _each(_containers)
namespaces: Final = _each(_namespaces)
protocol_names: Final = _each(protocols.NAMES.values)
states: Final = _each(lambda: STATE_NAMES)
units: Final = _each(_units)
users: Final = _each(_users)
