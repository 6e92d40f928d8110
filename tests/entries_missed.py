# SPDX-License-Identifier: Apache-2.0
"""The tracer, as if the kernel passed over every entry hook of the kprobe probe."""

import dataclasses

from tracer import __main__
from tracer.kernel import probes
from tracer.kernel.probes import HookKind, Probe


def without_entries(probe: Probe) -> Probe:
    kept = tuple(hook for hook in probe.hooks if hook.kind is not HookKind.KPROBE)
    return dataclasses.replace(probe, hooks=kept)


if __name__ == "__main__":
    probes.PROBES = tuple(map(without_entries, probes.PROBES))
    __main__.main()
