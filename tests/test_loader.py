# SPDX-License-Identifier: Apache-2.0
"""A probe as a kernel can have it, where the kernel is made up."""

import os

import pytest

from tracer.kernel import btf, loader, probes
from tracer.kernel.probes import FEXIT


class Types:
    """What a kernel describes of itself: these structs' fields, and those structs."""

    def __init__(self, fields=("_nfct",), structs=("nf_conn",)):
        self._fields, self._structs = fields, structs

    def field(self, _struct, path):
        if path not in self._fields:
            raise LookupError

    def find(self, name, kind):
        return 1 if kind == btf.KIND_STRUCT and name in self._structs else None


@pytest.fixture
def fitted(monkeypatch):
    """Of a kernel that refuses the hooks on these functions."""

    def fit(refused=(), types=None):
        def attach(_types, hook, _instructions):
            if hook.target in refused:
                raise OSError(2, "not in this kernel")
            return os.pipe()

        monkeypatch.setattr(loader.attach, "attach", attach)
        return loader._fitted(types or Types(), FEXIT)

    return fit


def test_a_kernel_that_takes_all(fitted):
    assert fitted() == FEXIT


@pytest.mark.parametrize("target", ["__dev_direct_xmit", "netpoll_send_skb"])
def test_a_hook_that_a_probe_can_do_without(fitted, target):
    (hook,) = (hook for hook in FEXIT.hooks if hook.target == target)
    probe = fitted(refused=(target,))
    assert set(FEXIT.hooks) - set(probe.hooks) == {hook}
    assert set(probe.blind_spots) - set(FEXIT.blind_spots) == {hook.blind_spot}


def test_a_hook_that_a_probe_needs(fitted):
    with pytest.raises(OSError, match="udp_sendmsg: not in this kernel"):
        fitted(refused=("udp_sendmsg",))


def test_what_the_kernel_does_not_describe(fitted):
    """Without connection tracking there is no NAT."""
    assert probes.NAT_BLIND_SPOT in fitted(types=Types(structs=())).blind_spots
    assert fitted(types=Types(fields=(), structs=())) == FEXIT


def test_the_loader_hands_over_what_was_attached(fitted):
    probe = fitted(refused=("netpoll_send_skb",))
    reply = {
        "probe": probe.name,
        "hooks": [hook.function for hook in probe.hooks],
        "blind_spots": list(probe.blind_spots),
    }
    assert loader._as_fitted(probes.PROBES, reply) == probe
