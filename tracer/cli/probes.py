# SPDX-License-Identifier: Apache-2.0
"""The option that names a probe, of all commands that attach hooks."""

from collections.abc import Callable
from typing import Any, Final

import click

from tracer.cli.help import Group
from tracer.kernel.probes import PROBES, Probe

_NAMES: Final = [probe.name for probe in PROBES]


def probe_option(every: str, of_every: str) -> Callable[..., Any]:
    """Returns the option ``--probe``; ``every`` is the word that stands for all of them, and
    ``of_every`` what it does."""
    return Group.OTHER.option(
        "--probe",
        type=click.Choice([every, *_NAMES]),
        metavar="NAME",
        default=every,
        show_default=True,
        help=f"{', '.join(_NAMES)}, or {every}: {of_every}",
    )


# of the commands that take the best one
best_probe_option = probe_option("auto", "the first that the kernel allows.")


def chosen(word: str) -> tuple[Probe, ...]:
    """Returns the probe of this name, or all, the best one first."""
    return tuple(probe for probe in PROBES if probe.name == word) or PROBES
