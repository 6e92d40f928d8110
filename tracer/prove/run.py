# SPDX-License-Identifier: Apache-2.0
"""One proof: watch, let the witness compare, and judge."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from tracer.clock import WallClock, boot_now
from tracer.filter.filters import Filters
from tracer.filter.parse import NetnsPlace
from tracer.kernel.probes import Probe, with_witness
from tracer.kernel.session import Session
from tracer.output.logfile import LogFile
from tracer.prove import connections, render
from tracer.prove.newcomers import Newcomers
from tracer.prove.verdict import Evidence, Question, decide
from tracer.prove.ways_past import WaysPast
from tracer.prove.witness import Witness
from tracer.trace.options import Options as RunOptions
from tracer.trace.pipeline import INTERVAL, Sink
from tracer.trace.run import Run
from tracer.warn import warn

_WORDS: Final = {"dst": "to", "not_dst": "but not to", "src": "from"}
_ALTERNATIVES: Final = 3  # values of one option that are named


@dataclass(frozen=True)
class Options:
    """What the user asked for, besides the filter. ``duration`` is in seconds; ``json``: the
    verdict for programs."""

    duration: float
    json: bool
    resolve: bool
    ready_file: Path | None
    ring_pages: int
    probes: tuple[Probe, ...]
    netns: tuple[NetnsPlace, ...] = ()


def prove(filters: Filters, options: Options, out: TextIO) -> int:
    """Watches until the time is over or Ctrl-C, and shows the verdict. Returns the exit status.
    Raises SockwatchError: whatever fails, nothing is proven (:func:`tracer.errors.failed`)."""
    ends = connections.Ends()
    with Run(filters, _of_run(options, ends), None, out) as run:
        run.attach()
        with Newcomers(run.session.newcomers()) as newcomers:
            session = run.session
            witness = Witness(session.sent(), session.udp_calls(), session.left_out(), newcomers)
            run.on_check(witness.check)
            run.drop_privileges()
            evidence, question = _watched(run, witness, ends, filters, options.duration)
        verdict = decide(question, evidence)
        shown = render.as_json if options.json else render.as_text
        run.show(shown(verdict, evidence, run))
    return verdict.word.value


def _watched(
    run: Run, witness: Witness, ends: connections.Ends, filters: Filters, duration: float
) -> tuple[Evidence, Question]:
    """Watches until it is time to stop; all is attached. Returns what was found, and what it
    answers."""
    run.find_existing_sockets()
    existing = run.existing_flows()
    first = connections.of(existing, filters, warn)
    ways = WaysPast(filters, run.session.probe.name)
    run.on_check(ways.check)
    since = boot_now()
    run.announce(functools.partial(_show_start, duration=duration))
    run.until_stopped()
    until = boot_now()
    last = connections.of(existing, filters, warn)
    waiting = connections.unaccepted(filters, warn)
    findings = witness.finish()
    ways_past = ways.finish()
    run.detach_and_drain()
    numbers, totals = run.outcome()
    # the first hooks see what is sent while the last ones are attached
    since = min([since, *(total.first for total in totals if total.count)])
    used, unknown = connections.compare(existing, first, last, ends.cookies)
    used += [one for one in waiting if not run.is_shown(one.flow)]
    evidence = Evidence(totals, numbers, used, unknown, findings, *ways_past)
    return evidence, _question(filters, run.clock, since, until)


def _show_start(
    session: Session, filters: Filters, _log: LogFile | None, *, duration: float
) -> None:
    warn(f"watching whether anybody sends {asked(filters)}, by {session.probe.name} and the "
         f"devices' own counters, for {duration:g} s; Ctrl-C ends it sooner")  # fmt: skip
    for name, reason in session.refused.items():
        warn(f"not by {name}: {reason}")


def _of_run(options: Options, sink: Sink) -> RunOptions:
    """Returns the options of a run that writes nothing but the verdict."""
    return RunOptions(
        log=None,
        log_each=False,
        json=False,
        sink=lambda _: sink,
        count=None,
        duration=options.duration,
        ready_file=options.ready_file,
        ring_pages=options.ring_pages,
        probes=tuple(map(with_witness, options.probes)),
        resolve=options.resolve,
        log_names=False,
        strict=False,
        interval=INTERVAL,
        volumes=options.duration,
        netns=options.netns,
    )


def _question(filters: Filters, clock: WallClock, since: int, until: int) -> Question:
    def shown(boot_ns: int) -> str:
        return clock.local(boot_ns).partition(".")[0]

    return Question(asked(filters), shown(since), shown(until))


def asked(filters: Filters) -> str:
    """Says in words what a filter asks for, as "to 10.0.0.5 (pid 4321)"."""
    parts = filters._replace(accept=False, forward=False).describe()
    to = [f"{word} {_any_of(parts.pop(name))}" for name, word in _WORDS.items() if name in parts]
    more = [
        name if values is True else f"{name} {_any_of(values)}" for name, values in parts.items()
    ]
    return " ".join([*(to or ["anything"]), *([f"({', '.join(more)})"] if more else [])])


def _any_of(values: object) -> str:
    texts = list(map(str, values)) if isinstance(values, list | tuple) else [str(values)]
    more = f" and {len(texts) - _ALTERNATIVES} more" if len(texts) > _ALTERNATIVES else ""
    return " or ".join(texts[:_ALTERNATIVES]) + more
