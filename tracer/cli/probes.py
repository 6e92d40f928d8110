# SPDX-License-Identifier: Apache-2.0
"""The option that names a probe, of all commands that attach hooks."""

from collections.abc import Callable
from typing import Any

import click

from tracer.kernel.probes import PROBES, Probe


def probe_option(every: str, help: str) -> Callable[..., Any]:  # noqa: A002  as click calls it
    """Returns the option ``--probe``; ``every`` is the word that stands for all of them."""
    return click.option(
        "--probe",
        type=click.Choice([every, *(probe.name for probe in PROBES)]),
        default=every,
        show_default=True,
        help=help,
    )


# of the commands that take the best one
best_probe_option = probe_option(
    "auto", "How to see it: auto takes the first that the kernel allows."
)


def chosen(word: str) -> tuple[Probe, ...]:
    """Returns the probe of this name, or all, the best one first."""
    return tuple(probe for probe in PROBES if probe.name == word) or PROBES
