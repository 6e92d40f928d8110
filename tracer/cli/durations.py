# SPDX-License-Identifier: Apache-2.0
"""Durations as a user types them, the same for all commands."""

import re
from typing import Final

import click

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
EXAMPLES: Final = "a number of seconds, or 5s, 5m, 2h, 1d, 1w"


def seconds(value: str) -> float | None:
    """Returns the seconds of ``90``, ``1.5``, ``5m`` or ``2h``; None if it is no duration."""
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]+)?)([smhdw]?)", value)
    return float(found[1]) * _SECONDS[found[2]] if found else None


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A duration in seconds, not shorter than ``least``."""

    name = "duration"

    def __init__(self, least: float = 0) -> None:
        self._least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Fails as click's own types do."""
        found = value if isinstance(value, float) else seconds(str(value))
        if found is None:
            self.fail(f"{value!r} is not a duration: give {EXAMPLES}", param, ctx)
        if found < self._least:
            self.fail(f"{value!r} is too short: give at least {self._least} s", param, ctx)
        return found
