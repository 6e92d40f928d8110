# SPDX-License-Identifier: Apache-2.0
"""``sockwatch report --format``: events by other schemas."""

from typing import Any, Final

from tracer.report.expand import Line
from tracer.report.schemas import ecs, ocsf, otel

FORMATS: Final = {"ecs": ecs.convert, "ocsf": ocsf.convert, "otel": otel.convert}


def converted(line: Line, name: str, *, no_args: bool) -> dict[str, Any]:
    """Returns an event by the schema of that name. Raises DAMAGE (:mod:`tracer.report.decode`) if
    a value of it is none."""
    host = {"host": line.host._asdict()} if line.host else {}
    return FORMATS[name](line.fields | host, no_args=no_args)
