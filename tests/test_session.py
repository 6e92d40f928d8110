# SPDX-License-Identifier: Apache-2.0
from tracer.kernel.probes import KPROBE, HookKind
from tracer.kernel.session import in_order_of_end


def test_entries_end_before_their_returns():
    """While returns begin before their entries: no call is kept whose return is not seen."""
    kinds = [hook.kind for hook in KPROBE.hooks]
    begin = [kind for kind in kinds if kind in (HookKind.KPROBE, HookKind.KRETPROBE)]
    assert begin == sorted(begin, key=lambda kind: kind is HookKind.KPROBE)
    ended = [kinds[link] for link in in_order_of_end(KPROBE.hooks, range(len(kinds)))]
    entries = kinds.count(HookKind.KPROBE)
    assert ended[:entries] == [HookKind.KPROBE] * entries
    assert ended[entries:] == [kind for kind in kinds if kind is not HookKind.KPROBE]
