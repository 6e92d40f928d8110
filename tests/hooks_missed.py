# SPDX-License-Identifier: Apache-2.0
"""The tracer, as if the kernel passed over the hooks on which calls begin on kprobe, and
those on which sends end on fexit."""

import dataclasses

from tracer import __main__
from tracer.kernel import probes
from tracer.kernel.probes import Hook, HookKind, Probe

FEXIT_SENDS = ("fexit_udp_sendmsg", "fexit_udpv6_sendmsg")


def is_missed(hook: Hook) -> bool:
    return hook.kind is HookKind.KPROBE or hook.function in FEXIT_SENDS


def without_missed(probe: Probe) -> Probe:
    kept = tuple(hook for hook in probe.hooks if not is_missed(hook))
    return dataclasses.replace(probe, hooks=kept)


if __name__ == "__main__":
    probes.PROBES = tuple(map(without_missed, probes.PROBES))
    __main__.main()
