# SPDX-License-Identifier: Apache-2.0
"""Several names in one word, as host,exe."""

from collections.abc import Collection

import click
from click.shell_completion import CompletionItem


class Names(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """Names of a list, separated by commas."""

    name = "names"

    def __init__(self, known: Collection[str]) -> None:
        self._known = known

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Fails as click's own types do."""
        found = tuple(str(value).split(","))
        for one in found:
            if one not in self._known:
                self.fail(f"{one!r} is not one of {', '.join(self._known)}", param, ctx)
        return found

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Completes the last name."""
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + one) for one in self._known if one.startswith(last)]
