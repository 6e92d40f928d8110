# SPDX-License-Identifier: Apache-2.0
"""A probe as a kernel can have it, where the kernel is made up."""

import itertools
import os
from collections import Counter
from types import SimpleNamespace

import pytest

from tracer.kernel import btf, loader, probes
from tracer.kernel.compiler import Object
from tracer.kernel.probes import FEXIT, with_received
from tracer.kernel.syscall import TooLargeError


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


WATCHING = with_received(FEXIT, "/sys/fs/cgroup")
INGRESS, INSTEAD = (hook for hook in WATCHING.hooks if hook.files)
NEEDED = "net_dev_queue"


@pytest.fixture
def attached(monkeypatch):
    """By a kernel that refuses these programs (variant and function) of the probe's two variants.
    All that is opened besides has been closed."""
    opened, closed = itertools.count(100), []

    def attach_with(refused, probe=WATCHING):
        def attach(_types, hook, instructions):
            if (instructions, hook.function) in refused:
                raise TooLargeError(7, "too large")
            return next(opened), next(opened)

        def variants(_types, fitted, _declarations, _request):
            functions = [hook.function for hook in fitted.hooks]
            return [Object({}, dict.fromkeys(functions, one), "XCC 1") for one in (b"1", b"2")]

        monkeypatch.setattr(loader.attach, "attach", attach)
        monkeypatch.setattr(loader.attach, "idle", lambda _: b"idle")
        monkeypatch.setattr(loader, "variants", variants)
        monkeypatch.setattr(loader, "os", SimpleNamespace(close=closed.append, uname=os.uname))
        monkeypatch.setattr(Object, "instructions", lambda made, name, _: made.functions[name])
        found = loader._attach(Types(), probe, "", loader.Request((probe,), {}, 1, 1))
        kept = [*found.links, *found.programs]
        assert sorted([*closed, *kept]) == list(range(100, next(opened)))
        return found.probe

    return attach_with


def without(*functions):
    return tuple(hook for hook in WATCHING.hooks if hook.function not in functions)


def both(function):
    return {(b"1", function), (b"2", function)}


def test_all_programs_load(attached):
    probe = attached(set())
    assert (probe.hooks, probe.blind_spots) == (without(INSTEAD.function), FEXIT.blind_spots)


@pytest.mark.parametrize("more", [set(), {(b"1", NEEDED)}])
def test_an_optional_program_that_loads_in_no_variant(attached, more):
    """What is there instead of it is attached, and all others are."""
    probe = attached(both("ingress") | more)
    assert probe.hooks == without("ingress")
    assert probe.blind_spots == (*FEXIT.blind_spots, INGRESS.blind_spot)


def test_what_is_there_instead_may_not_load_either(attached):
    probe = attached(both("ingress") | both(INSTEAD.function))
    assert probe.hooks == FEXIT.hooks
    said = Counter(probe.blind_spots) - Counter(FEXIT.blind_spots)
    assert said == Counter((INGRESS.blind_spot, INSTEAD.blind_spot))


def test_an_optional_program_that_loads_in_one_variant(attached):
    probe = attached({(b"1", "ingress")})
    assert (probe.hooks, probe.blind_spots) == (without(INSTEAD.function), FEXIT.blind_spots)


def test_half_of_a_blind_spot_is_not_attached(attached):
    probe = attached(both("fexit_cgroup_sock_addr"))
    left_out = "fexit_cgroup_sock_addr", "fentry_cgroup_sock_addr"
    assert probe.hooks == without(INSTEAD.function, *left_out)
    assert probes._REWRITTEN in probe.blind_spots


@pytest.mark.parametrize("more", [set(), both("ingress")])
def test_a_needed_program_that_loads_in_no_variant(attached, more):
    with pytest.raises(TooLargeError, match=f"what XCC 1 made of {NEEDED}"):
        attached(both(NEEDED) | more)
