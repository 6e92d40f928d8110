# SPDX-License-Identifier: Apache-2.0
import pytest

from tracer.errors import UsageError
from tracer.kernel import session
from tracer.kernel.probes import CONSUMED, KPROBE, PROBES, HookKind, with_received
from tracer.kernel.session import in_order_of_end


def test_a_filter_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(session, "FILTER_ENTRIES", 2)
    entries = {"uids": [(b"", b"")] * 2, "dst_prefixes": [(b"", b"")] * 3}
    with pytest.raises(UsageError, match="holds up to 2 dst prefixes, and there are more"):
        session.attach(PROBES, entries, 1, None)


def test_ends_are_seen_before_forks():
    """Else a child that was added to the filter at its fork might end unseen."""
    for probe in PROBES:
        targets = [hook.target for hook in probe.hooks]
        assert targets.index("sched_process_exit") < targets.index("sched_process_fork")


def test_entries_end_before_their_returns():
    """While returns begin before their entries: no call is kept whose return is not seen."""
    kinds = [hook.kind for hook in KPROBE.hooks]
    begin = [kind for kind in kinds if kind in (HookKind.KPROBE, HookKind.KRETPROBE)]
    assert begin == sorted(begin, key=lambda kind: kind is HookKind.KPROBE)
    ended = [kinds[link] for link in in_order_of_end(KPROBE.hooks, range(len(kinds)))]
    entries = kinds.count(HookKind.KPROBE)
    assert ended[:entries] == [HookKind.KPROBE] * entries
    assert ended[entries:] == [kind for kind in kinds if kind is not HookKind.KPROBE]


def test_what_is_received_ends_before_what_is_sent():
    """An answer whose send was not seen would be nobody's."""
    for probe in PROBES:
        hooks = with_received(probe, "/sys/fs/cgroup").hooks
        ended = [hooks[at] for at in in_order_of_end(hooks, range(len(hooks)))]
        number = 1 if probe.name == "tracepoint" else 2
        received = [hook.function in ("ingress", *CONSUMED) for hook in ended]
        assert received == [True] * number + [False] * (len(hooks) - number)
