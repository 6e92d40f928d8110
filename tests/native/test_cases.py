# SPDX-License-Identifier: Apache-2.0
"""Every way to send, on every probe that this kernel allows."""

import json
import socket
import subprocess
import sys

import pytest

from tests.cases import CASES, HERE, PROBE_NAMES, expected
from tests.native import ipvs
from tests.native.conftest import (
    DEADLINE,
    GENERATOR,
    add_link,
    add_paced_device,
    add_stacked_devices,
    assert_events,
    ip,
    load_tun,
    starting,
    two_namespaces,
)
from tests.native.rewriting import rewriting_cgroup

FIRST_PORT = 20_000
WATCHED = ("127.0.0.0/8", "::1", "10.0.0.0/8", "fd00::/8", "224.0.0.0/4", "ff00::/8")


def port_of(case):
    """Each case has two of its own, by which its events are found."""
    return FIRST_PORT + 2 * CASES.index(case)


def named(name):
    return next(case for case in CASES if case.id == name)


def options_of(case, cgroup):
    port = {} if case.selects_by == "dst" else {"port": str(port_of(case))}
    given = {**case.options, **port}
    return given | ({"cgroup": str(cgroup)} if "cgroup" in given else {})


def ports_of(case):
    return {port_of(case), port_of(case) + 1}


def nat_rules():
    """What cases with an option ``to`` send goes there, to the next port."""
    port = port_of(named("translated_ipv6"))
    yield "add table ip6 t"
    yield "add chain ip6 t post { type nat hook postrouting priority 100 ; }"
    yield f"add rule ip6 t post udp dport {port} masquerade random"
    yield "add chain ip t nat { type nat hook output priority -100 ; }"
    yield "add chain ip6 t nat { type nat hook output priority -100 ; }"
    for case in CASES:
        if "to" in case.options and not {"cgroup", "conntrack"} & set(case.options):
            family = "ip6" if ":" in case.dst else "ip"
            proto = "tcp" if case.name.startswith("tcp") else "udp"
            yield (
                f"add rule {family} t nat {family} daddr {case.dst} {proto} dport {port_of(case)} "
                f"{nat_to(case.options['to'], port_of(case) + 1)}"
            )


def add_ipvs(netns):
    """Returns what this kernel lacks."""
    if not ipvs.has_ipvs():
        return {"ipvs"}
    for case in CASES:
        if case.needs == "ipvs":
            proto = socket.IPPROTO_TCP if case.name.startswith("tcp") else socket.IPPROTO_UDP
            to = case.options["to"], port_of(case) + 1
            ipvs.add_service(netns, proto, (case.dst, port_of(case)), to)
    return set()


def nat_to(addr, port):
    """In the words of nft."""
    if addr in ("127.0.0.1", "::1"):
        return f"redirect to :{port}"
    return f"dnat to [{addr}]:{port}" if ":" in addr else f"dnat to {addr}:{port}"


@pytest.fixture(scope="module")
def network():
    with two_namespaces() as made:
        near = made.near
        add_link(near, "tunnel", "type", "vxlan", "id", "9", "remote", "10.0.0.5",
                 "dstport", "4789", "dev", "near")  # fmt: skip
        for arguments in (
            ("addr", "add", "10.8.0.1/24", "dev", "tunnel"),
            ("link", "set", "tunnel", "up"),
            ("neigh", "add", "10.8.0.5", "lladdr", "02:00:00:00:00:08", "dev", "tunnel"),
            ("neigh", "add", "10.0.0.79", "lladdr", "02:00:00:00:00:79", "dev", "near"),
            ("route", "add", "prohibit", "10.98.0.0/16"),
            ("route", "add", "blackhole", "10.97.0.0/16"),
        ):
            ip("-n", near, *arguments)
        made.lacks.update(add_stacked_devices(near) | add_paced_device(near) | load_tun())
        ip("netns", "exec", near, "sysctl", "-q", "net.ipv4.tcp_fastopen=3")
        ip("netns", "exec", near, "sysctl", "-q", "net.ipv4.ping_group_range=0 0")
        for address in ("10.7.0.0/24", "fd07::/64"):
            via = "fd00::5" if ":" in address else "10.0.0.5"
            ip("-n", near, "route", "add", address, "via", via)
        for rule in (
            "add table ip t",
            "add chain ip t out { type filter hook output priority 0 ; }",
            f"add rule ip t out udp dport {port_of(named('filtered'))} drop",
            "add chain ip t post { type nat hook postrouting priority 100 ; }",
            f"add rule ip t post udp dport {port_of(named('translated'))} masquerade random",
            *nat_rules(),
        ):
            ip("netns", "exec", near, "nft", rule)
        yield made


def perform(requests):
    """Runs the cases one after the other; what each said."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    argv = [sys.executable, str(GENERATOR), "serve"]
    done = subprocess.run(
        argv, input=lines, check=True, stdout=subprocess.PIPE, text=True, timeout=5 * DEADLINE
    )
    return list(map(json.loads, done.stdout.splitlines()))


def send_all(cases, network, cgroup):
    """Sends what this kernel can; what each case said."""
    made = [case for case in cases if case.needs not in network.lacks]
    requests = [
        {
            "case": case.name,
            "dst": case.dst,
            "options": options_of(case, cgroup),
            "netns": network.near,
        }
        for case in made
    ]
    return dict(zip((case.id for case in made), perform(requests), strict=True))


@pytest.fixture(scope="module")
def outcome(refusals, network, tmp_path_factory):
    """All cases, traced by all probes at once: what was sent, and the run of each probe."""
    options = [word for addr in WATCHED for word in ("--dst", addr)]
    folder = tmp_path_factory.mktemp("cases")
    with rewriting_cgroup() as cgroup, starting(folder) as start:
        tracers = {
            probe: start("--probe", probe, "--accept", *options)
            for probe in PROBE_NAMES
            if not refusals[probe]
        }
        said = send_all((case for case in CASES if case.needs != "ipvs"), network, cgroup)
        # where it has a service, IPVS drops what is too short for a header
        network.lacks.update(add_ipvs(network.near))
        said |= send_all((case for case in CASES if case.needs == "ipvs"), network, cgroup)
        runs = {probe: tracer.finish() for probe, tracer in tracers.items()}
    return said, runs


def events_of(run, case, truth=()):
    if case.selects_by == "dst":
        return [event for event in run.events if is_of(event, case, truth)]
    end = "src" if case.selects_by == "sport" else "dst"
    return [
        event
        for event in run.events
        if event[end]["port"] in ports_of(case)
        and (event["event"] != "accept" or case.selects_by == "sport")
    ]


def is_of(event, case, truth):
    """Of a protocol without ports: by its address, and by no process but the case's own."""
    who = event["process"] and event["process"]["pid"]
    ours = who in (None, *(line["pid"] for line in truth))
    return ours and (event["dst"]["addr"], event["dst"]["port"]) == (case.dst, None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
@pytest.mark.parametrize("probe", PROBE_NAMES)
def test_case(outcome, refusals, probe, case):
    said, runs = outcome
    if refusals[probe]:
        pytest.skip(f"this kernel refuses {probe}: {refusals[probe].strip()}")
    if case.id not in said:
        pytest.skip(f"not in this kernel: {case.needs}")
    if "unsupported" in said[case.id]:
        assert said[case.id]["unsupported"] in case.missing, said[case.id]
        pytest.skip(f"not in this kernel: {said[case.id]['unsupported']}")
    assert said[case.id]["truth"]
    truth = expected(probe, said[case.id]["truth"])
    events = events_of(runs[probe], case, truth)
    if probe == "tracepoint" and case.may_be_unread:
        missing = len(truth) - len(events)
        assert missing <= runs[probe].stop["unread"]
        truth = without_missing(truth, events, missing)
    if probe == "tracepoint":
        truth = without_gone_acceptors(truth, events)
    if probe == "kprobe":
        truth = without_missed_results(truth, events, runs[probe].stop["unfinished"])
    assert_events(events, truth)


def without_gone_acceptors(truth, events):
    """Who accepts is looked up, and may have ended by then."""
    if all(event["process"] for event in events if event["event"] == "accept"):
        return truth
    unknown = dict.fromkeys(("pid", "tid", "ppid", "uid", "comm", "thread"))
    return [{**line, **unknown} if line["event"] == "accept" else line for line in truth]


def without_missed_results(truth, events, unfinished):
    """The kernel may pass over the hook on a return: the event is there without its result."""
    missed = [event for event in events if (event["event"], event["outcome"]) == ("send", None)]
    assert len(missed) <= unfinished
    if not missed:
        return truth
    kept = ("event", "pid", "tid", "comm", "dst", "dport")
    return [{key: line[key] for key in kept} for line in truth]


def without_missing(truth, events, number):
    """Leaves out NUMBER lines whose sizes no event has; each has a size of its own."""
    found = {event["bytes"] for event in events}
    missing = [line for line in truth if line["bytes"] not in found]
    assert len(missing) == number
    return [line for line in truth if line not in missing]


@pytest.mark.parametrize("probe", PROBE_NAMES)
def test_nothing_lost(outcome, probe):
    _, runs = outcome
    if probe not in runs:
        pytest.skip("refused here")
    stop = runs[probe].stop
    assert stop["lost"] == 0
    if probe != "kprobe":  # what is passed over there must be in the cases all the same
        assert (stop["unfinished"], stop["skipped"]) == (0, 0)


@pytest.mark.parametrize("probe", PROBE_NAMES)
def test_what_the_kernel_sends_is_nobodys(outcome, probe):
    """The outer packets of the tunnel, whoever it was that sent the inner ones."""
    _, runs = outcome
    if probe not in runs:
        pytest.skip("refused here")
    outer = [event for event in runs[probe].events if event["dst"]["port"] == 4789]
    assert any(event["bytes"] > 100 for event in outer)
    for event in outer:
        assert (event["process"], event["via"], event["interface"]) == (None, "kernel", "near")


@pytest.mark.parametrize("probe", PROBE_NAMES)
def test_source_addresses(outcome, probe):
    """Also of sockets that are bound to none: the route has chosen."""
    _, runs = outcome
    if probe not in runs:
        pytest.skip("refused here")
    for case in CASES:
        if case.name == "sendto" and case.dst in (HERE, "::1", "10.0.0.5", "fd00::5"):
            wanted = {HERE: "127.0.0.1", "::1": "::1", "10.0.0.5": "10.0.0.1"}
            for event in events_of(runs[probe], case):
                assert event["src"]["addr"] == wanted.get(case.dst, "fd00::1")
