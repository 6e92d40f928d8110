# SPDX-License-Identifier: Apache-2.0
"""Decides by process on connections from elsewhere that the kernel could not decide on, since no
hook knows who accepts them."""

from collections.abc import Callable
from typing import Final

from tracer.filter.filters import Filters
from tracer.model.flow import EventKind, Flow
from tracer.trace.connections import identities

_MAX_LEFT_OUT: Final = 131_072  # of more, two a connection, the ends of the oldest are undecided


class Arrivals:
    """The filter for flows where ``accept`` events pass by the kernel's filter whoever it is."""

    def __init__(
        self,
        filters: Filters,
        pids: Callable[[], frozenset[int]],
        is_shown: Callable[[Flow], bool],
    ) -> None:
        """``pids`` returns the processes that the kernel's filter has, with descendants;
        ``is_shown`` says whether the beginning of a connection was."""
        self._filters = filters
        self._pids = pids
        self._is_shown = is_shown
        self._left_out: dict[object, bool | None] = {}

    def wanted(self, flow: Flow) -> bool | None:
        """Says whether a flow is shown; None: undecided."""
        if flow.kind is EventKind.ACCEPT:
            return self._decide(flow)
        if flow.kind is EventKind.CLOSE and not flow.opener and not self._is_shown(flow):
            known = [self._left_out.pop(one, None) for one in identities(flow)]
            return False if False in known else None
        return self._filters.selects_flow(flow)

    def _decide(self, flow: Flow) -> bool | None:
        verdict = self._by_process(flow)
        if not verdict:
            keys = identities(flow)
            while len(self._left_out) + len(keys) > _MAX_LEFT_OUT:
                del self._left_out[next(iter(self._left_out))]
            self._left_out.update(dict.fromkeys(keys, verdict))
        return verdict

    def _by_process(self, flow: Flow) -> bool | None:
        if not flow.process:
            return None
        filters = self._filters
        if filters.follow:
            filters = filters.with_pids(self._pids())
        return filters.process_matches(flow.process) and filters.selects_flow(flow)
