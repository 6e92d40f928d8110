# SPDX-License-Identifier: Apache-2.0
"""The open TCP connections that were seen, and how much of each has been told."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from tracer.inventory.volumes import Volume
from tracer.model.flow import EventKind, Flow, Moved
from tracer.model.process import Process
from tracer.model.socket import Socket

_MISSES: Final = 2  # looks that do not find it, after which a connection has ended unseen


@dataclass(slots=True)
class _Open:
    """``told``: payload that lines have told of, or that was moved before the start; None: how much
    it was is not known. ``misses``: how many looks have not found it."""

    flow: Flow
    told: Moved | None
    misses: int = 0


class Connections:
    """By what identifies each: its cookie and its ends."""

    def __init__(self) -> None:
        self._open: dict[object, _Open] = {}

    def __len__(self) -> int:
        return len({id(one) for one in self._open.values()})

    @property
    def netns(self) -> set[int]:
        """The network namespaces that they are in."""
        return {one.flow.netns for one in self._open.values()}

    def flows(self) -> Iterator[Flow]:
        """Yields the flow of each; of some twice."""
        return (one.flow for one in self._open.values())

    def begin(self, flow: Flow) -> None:
        """Adds a connection: a new one, or one from before that has moved ``flow.before``."""
        told: Moved | None = Moved(0, 0)
        if flow.kind is EventKind.EXISTING:
            told = flow.before
        one = _Open(flow._replace(kind=EventKind.VOLUME), told)
        for key in identities(flow):
            self._open[key] = one

    def has(self, flow: Flow) -> bool:
        """Says whether it is one of them."""
        return any(key in self._open for key in identities(flow))

    def process_of(self, flow: Flow) -> Process | None:
        """Returns whose connection it is; None: not known."""
        known = (self._open.get(key) for key in identities(flow))
        return next((one.flow.process for one in known if one), None)

    def end(self, flow: Flow, whole: Moved) -> Moved | None:
        """Takes out a connection that has moved this much in its life; returns what was not told
        yet. None: not known."""
        known = [one for key in identities(flow) if (one := self._open.pop(key, None))]
        if not known:
            return whole  # nothing was told of it
        for one in known:
            self._forget(one)
        return _since(known[0].told, whole)

    def look(
        self, found: Iterable[tuple[Socket, Volume]], looked_into: Container[int]
    ) -> Iterator[tuple[Flow, Moved]]:
        """Yields the connections that the kernel lists, with what each has moved since it was told
        of; and forgets those that it does not list any more in the namespaces ``looked_into``."""
        missing = {id(one): one for one in self._open.values()}
        for sock, volume in found:
            one = self._of(sock)
            if one is None or missing.pop(id(one), None) is None:
                continue
            one.misses = 0
            now = Moved(volume.sent, volume.received)
            since, one.told = _since(one.told, now), now
            if since:
                yield one.flow, since
        for one in missing.values():
            one.misses += one.flow.netns in looked_into
            if one.misses >= _MISSES:
                self._forget(one)

    def _forget(self, one: _Open) -> None:
        for key in identities(one.flow):
            if self._open.get(key) is one:  # another connection may have the same ends by now
                del self._open[key]

    def _of(self, sock: Socket) -> _Open | None:
        by_cookie = self._open.get(sock.cookie)
        return by_cookie or self._open.get(_ends_of_socket(sock))


def identities(flow: Flow) -> tuple[object, ...]:
    """Returns what identifies a TCP connection: its cookie, and both ends in case the kernel's
    record has no cookie. Returns nothing for UDP, whose beginning cannot be told."""
    if flow.proto != "tcp":
        return ()
    # a record names its zone by number only; that of a connection is what its socket is bound to
    ends = flow.netns, (flow.src.addr, flow.src.port), (flow.dst.addr, flow.dst.port), flow.oif
    return (flow.cookie, ends) if flow.cookie else (ends,)


def _ends_of_socket(sock: Socket) -> object:
    peer = sock.dst and ip_address(sock.dst)
    src, dst = (ip_address(sock.src), sock.sport), (peer, sock.dport)
    return sock.netns, src, dst, sock.ifindex or None


def _since(told: Moved | None, now: Moved) -> Moved | None:
    return told and Moved(now.sent - told.sent, now.received - told.received)
