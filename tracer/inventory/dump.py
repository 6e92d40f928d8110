# SPDX-License-Identifier: Apache-2.0
"""Lists the sockets that exist now, in one network namespace or in many."""

import contextlib
import itertools
import os
from collections.abc import Callable, Generator, Iterator
from typing import Final, Literal

from tracer.errors import SockwatchError
from tracer.filter import bytecode
from tracer.host import netns
from tracer.host.netlink import sock_diag
from tracer.inventory import proc_net
from tracer.inventory.selection import Selection
from tracer.model.socket import ALL_STATES, BOUND_INACTIVE, PROTOCOLS, Socket

Source = Literal["auto", "netlink", "procfs"]

_FAMILIES: Final = (4, 6)
_NAMED: Final = 3  # namespaces named in one message
_AS_ROOT: Final = ": run it as root"


Where = dict[int, str | None]  # namespaces: inode to path, None for the caller's own


def namespaces(wanted: frozenset[int], warn: Callable[[str], None]) -> Where:
    """Returns the namespaces to look into: those ``wanted``, or all, the caller's own first.
    ``warn`` is told if there may be more. Raises SockwatchError if one that is ``wanted`` cannot
    be found."""
    own = netns.own()
    if wanted == {own}:
        return {own: None}
    paths, unreadable = netns.all_namespaces()
    found: Where = {own: None, **{inode: path for inode, path in paths.items() if inode != own}}
    if unreadable and not wanted:
        warn(
            f"{unreadable} of the processes cannot be looked into: network namespaces that only "
            f"they are in are not listed{_AS_ROOT if os.geteuid() else ''}"
        )
    for inode in wanted - found.keys():
        raise SockwatchError(
            f"nothing leads to the network namespace {inode}",
            "give the name or a process of one that exists",
        )
    return {inode: path for inode, path in found.items() if not wanted or inode in wanted}


def sockets(
    selection: Selection,
    where: Where,
    source: Source,
    warn: Callable[[str], None],
    extensions: int = 0,
) -> Iterator[Socket]:
    """Yields the selected sockets, before the process filter. The caller is in a socket's namespace
    when it is yielded.

    ``warn`` is told what could not be read. Raises SockwatchError if the source that was
    asked for cannot be used.
    """
    reader = _Reader(selection, source, warn, extensions)
    for inode in visit(where, warn):
        yield from filter(selection.takes, reader.read(inode))


def visit(where: Where, warn: Callable[[str], None]) -> Generator[int]:
    """Enters each of :func:`namespaces` in turn, yields its inode while the caller is inside, and
    goes back; then ``warn`` is told which cannot be entered. Raises SockwatchError if the only one
    cannot be."""
    refused = []
    for inode, path in where.items():
        if path is None:
            yield inode
            continue
        try:
            with netns.inside(path, inode):
                yield inode
        except PermissionError as error:
            if len(where) == 1:  # there is nothing else to list
                reason = f"the network namespace {path} cannot be entered ({error.strerror})"
                raise SockwatchError(reason, "run it as root") from None
            refused.append(path)
        except FileNotFoundError:  # the namespace has ended
            continue
    if refused:
        more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        warn(
            "network namespaces that cannot be entered are not listed, "
            f"{', '.join(refused[:_NAMED])}{more}{_AS_ROOT if os.geteuid() else ''}"
        )


class _Reader:
    """Reads a namespace from netlink, or from procfs if netlink cannot be used."""

    def __init__(
        self,
        selection: Selection,
        source: Source,
        warn: Callable[[str], None],
        extensions: int,
    ) -> None:
        filters = selection.filters
        self._states = selection.states
        self._source = source
        self._warn = warn
        self._extensions = extensions
        self._bytecode = bytecode.assemble(filters)
        self._zones = filters.zones
        self._kinds = [
            (proto, version)
            for proto in PROTOCOLS
            for version in _FAMILIES
            if filters.passes_proto(proto) and (version == 6 or 4 in filters.version)
        ]

        if source != "procfs" and selection.states != ALL_STATES:
            self._check_states()

    def read(self, netns: int) -> Iterator[Socket]:
        """Reads the caller's network namespace, whose inode is ``netns``."""
        for proto, version in self._kinds:
            if self._source == "procfs":
                yield from self._from_procfs(proto, version, netns)
            else:
                yield from self._from_netlink(proto, version, netns)

    def _from_netlink(self, proto: str, version: int, netns: int) -> Iterator[Socket]:
        with contextlib.ExitStack() as cleanup:
            try:
                sock = cleanup.enter_context(sock_diag.connect())
                rows = sock_diag.dump(
                    sock, proto, version, self._states, netns,
                    extensions=self._extensions, bytecode=self._bytecode,
                )  # fmt: skip
                first = next(rows, None)
            except OSError as error:
                self._cannot(error)
            else:
                if first is not None:
                    yield from itertools.chain((first,), rows)
                return
        yield from self._from_procfs(proto, version, netns)

    def _check_states(self) -> None:
        """Warns if the kernel cannot list this state: an empty listing would be misread."""
        with contextlib.suppress(OSError):  # reported when it is read
            if BOUND_INACTIVE in self._states and not sock_diag.lists_bound_inactive():
                self._warn("this kernel does not list bound-inactive sockets (6.8 does)")

    def _cannot(self, error: OSError) -> None:
        reason = f"sock_diag cannot be used ({error.strerror})"
        if self._source == "netlink":
            raise SockwatchError(reason, "use --source procfs")
        self._source = "procfs"
        self._warn(
            f"{reason}: reading /proc/net instead, which has no bound-inactive sockets, "
            "no cookies, and not how many connections may wait at a listening socket"
        )

    def _from_procfs(self, proto: str, version: int, netns: int) -> Iterator[Socket]:
        if self._zones:
            asked = ", ".join(f"%{zone}" for zone in self._zones)
            self._warn(f"/proc/net tells no zones: what may be {asked} is left out")
            self._zones = []
        try:
            yield from proc_net.dump(proto, version, self._states, netns)
        except FileNotFoundError:
            if version == 4:
                raise SockwatchError("there is no /proc/net", "mount /proc") from None
