# SPDX-License-Identifier: Apache-2.0
"""The last sentence of a run."""

import pytest

from tracer.filter import parse
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.model.counts import COUNTS, in_words
from tracer.model.fields import LOSSES
from tracer.trace.sentence import asked, closing, watched

BLIND = ("early", "large frames (unread)")
DST = Filters(dst=parse.networks("10.0.0.5"))
NONE = dict.fromkeys(("existing", "undecided", "coalesced", "unfinished", *LOSSES), 0)


def said(filters=DST, *, matched=0, seen=15_825, duration=60.0, **counts):
    numbers = {"seen": seen, "matched": matched, **NONE, **counts}
    return closing(numbers, duration, filters, BLIND)


LEFT = "not looked for: early; connections from there (--accept); packets that are forwarded"


def test_nobody():
    assert said() == (
        "Nobody sent to 10.0.0.5 in 60.0 s (15,825 events looked at, none missed); "
        f"{LEFT}; `sockwatch prove` looks for those."
    )


@pytest.mark.parametrize("name", sorted({*NONE, "log_lines_lost"} - {"coalesced"}))
@pytest.mark.parametrize("count", [3, None])
def test_nobody_is_not_said_where_something_may_have_been_missed(name, count):
    number = "unknown" if count is None else 3
    assert said(**{name: count}) == (
        "No event of dst 10.0.0.5 was seen in 60.0 s (15,825 events looked at): "
        f"{COUNTS[name].word} {number}; {LEFT}."
    )


def test_forwarded_packets_are_looked_for():
    text = said(DST._replace(forward=True))
    assert text.startswith("Nobody sent to 10.0.0.5 in 60.0 s")
    assert "not looked for: early; connections from there (--accept); `sock" in text


def test_what_the_kernel_sent_is_nobodys():
    assert said(kernel_replies=2).startswith(
        "Nobody sent to 10.0.0.5 in 60.0 s (15,825 events looked at, none missed, sent by the "
        "kernel itself 2); "
    )


def test_what_was_counted_together_was_seen():
    assert said(coalesced=5).startswith("Nobody sent to 10.0.0.5 in 60.0 s (15,825 events looked")


@pytest.mark.parametrize(
    ("filters", "begins"),
    [
        (NO_FILTERS, "Nothing was sent in"),
        (DST._replace(accept=True, summary=True), "Nobody sent to 10.0.0.5 in"),
        (
            DST._replace(dst=parse.networks("10.0.0.0/8") + DST.dst),
            "Nobody sent to 10.0.0.0/8 or 1",
        ),
        # others may have sent
        (DST._replace(uid=frozenset({0})), "Nothing matched dst 10.0.0.5, uid 0 in"),
        (DST._replace(not_dst=DST.dst), "Nothing matched dst 10.0.0.5, not_dst 10.0.0.5 in"),
        (DST._replace(proto=frozenset({"udp"})), "Nothing matched dst 10.0.0.5, proto udp in"),
        (DST._replace(failed=True), "Nothing matched dst 10.0.0.5, failed in"),
        (Filters(pid=frozenset({7}), follow=True), "Nothing matched pid 7, with descendants in"),
    ],
)
def test_who_is_meant(filters, begins):
    assert said(filters).startswith(begins)


def test_what_a_filter_leaves_out():
    udp = DST._replace(proto=frozenset({"udp"}))
    assert "; protocols other than udp; packets" in said(udp)
    for filters in (udp, DST._replace(accept=True), DST._replace(failed=True)):
        assert "--accept" not in said(filters)
    tcp = DST._replace(proto=frozenset({"udp", "tcp"}))
    assert "; protocols other than tcp and udp; connections" in said(tcp)


def test_what_a_destination_brings_along_goes_without_saying():
    assert asked(DST._replace(accept=True, forward=True)) == "dst 10.0.0.5"
    assert asked(Filters(accept=True, sport=frozenset({22}))) == "sport 22, accept"


def test_matches():
    assert said(matched=7, seen=7, duration=1.1) == (
        "7 events matched of 7 looked at in 1.1 s; none missed."
    )
    assert said(matched=1, seen=1200, duration=1.1, existing=2, coalesced=9) == (
        "1 event matched of 1,200 looked at in 1.1 s; none missed; already connected 2, "
        "counted together 9."
    )


@pytest.mark.parametrize("name", [*LOSSES, "undecided", "unfinished"])
def test_what_is_missed_beside_matches(name):
    assert said(matched=7, seen=9, duration=1.1, **{name: 1234}) == (
        f"7 events matched of 9 looked at in 1.1 s; {COUNTS[name].word} 1,234."
    )


def test_a_count_that_has_no_word_yet():
    assert in_words({"lamps_broken": 2, "lost": 0}) == "lamps broken 2"


def test_the_filter_in_words():
    assert asked(NO_FILTERS) == ""
    assert asked(DST._replace(dport=frozenset({53, 54}))) == "dst 10.0.0.5, dport 53-54"


def test_connections_from_before_that_moved_something():
    numbers = {**dict.fromkeys(COUNTS, 0), "seen": 9, "existing": 1, "matched": 0}
    assert closing(numbers, 1, DST, (), moved=True).startswith(
        "Connections from before moved data, and no event of dst 10.0.0.5 was seen in 1.0 s ("
    )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (DST._replace(accept=True, forward=True), "10.0.0.5"),
        (DST._replace(failed=True), "failures to 10.0.0.5"),
        (DST._replace(uid=frozenset({0}), failed=True), "failures to 10.0.0.5 (uid 0)"),
        (NO_FILTERS._replace(failed=True), "everything (failures)"),
        (NO_FILTERS._replace(dport=frozenset({53})), "dport 53"),
        (NO_FILTERS, "everything"),
    ],
)
def test_what_is_watched(filters, expected):
    assert watched(filters) == expected
