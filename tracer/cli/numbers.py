# SPDX-License-Identifier: Apache-2.0
"""Whole numbers as a user types them: digits only. int() also takes 1_0 and other scripts'."""

import re

import click


class Number(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A whole number from ``least`` to ``most``."""

    name = "number"

    def __init__(self, least: int = 0, most: int = 10**15) -> None:
        self._least = least
        self._most = most

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Fails as click's own types do."""
        found = int(str(value)) if re.fullmatch("[0-9]{1,16}", str(value)) else -1
        if not self._least <= found <= self._most:
            limits = f"from {self._least} to {self._most:,}"
            self.fail(f"{value!r} is not a number {limits}", param, ctx)
        return found
