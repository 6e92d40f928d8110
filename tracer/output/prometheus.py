# SPDX-License-Identifier: Apache-2.0
"""Metrics in Prometheus' text format, in a file for node_exporter's textfile collector.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from tracer.errors import SockwatchError
from tracer.folder import Place, place_of
from tracer.output import replaced
from tracer.output.terminal import fit_middle
from tracer.printable import safe

_MODE: Final = 0o644  # node_exporter has a user of its own
_NEW: Final = ".{}.new"  # while it is written; the collector reads what ends with .prom
_LONGEST: Final = 120  # columns of a label's value
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Labels = Mapping[str, str]


class Metric(NamedTuple):
    """A metric with its samples. Labels have no two samples in common."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Sequence[tuple[Labels, int | float]]


def label_value(name: str) -> str:
    """Returns what a label says of something that anybody may have named: one line of bounded
    length."""
    return fit_middle(safe(name), _LONGEST)


def render(metrics: Iterable[Metric]) -> str:
    """Returns the whole text. A metric without samples is not known, and left out."""
    return "".join(line for metric in metrics if metric.samples for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
    for labels, value in metric.samples:
        inside = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels.items())
        yield f"{metric.name}{{{inside}}} {value}\n" if inside else f"{metric.name} {value}\n"


class MetricsFile:
    """A file that is replaced as a whole, so that nobody reads half of it."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        """Tries to write beside it; ``warn`` is told once if that fails later. Raises
        SockwatchError."""
        self._path = path
        self._warn = warn
        self._has_failed = False
        try:
            place = _place(path)
            os.close(replaced.make(place, _MODE, _NEW))
            place.folder.unlink(_NEW.format(place.name))
        except OSError as error:
            raise SockwatchError(
                f"cannot write the metrics {path} ({error.strerror})",
                "name another place with --metrics FILE",
            ) from None
        self.is_in_anothers_folder = place.folder.uid != os.geteuid()

    def write(self, text: str) -> None:
        """Replaces what is there."""
        try:
            _place(self._path)
            replaced.write(self._path, text, _MODE, fresh=_NEW)
        except OSError as error:
            if not self._has_failed:
                self._warn(
                    f"cannot write the metrics {self._path} ({error.strerror}): what it has is old"
                )
            self._has_failed = True


def _place(path: Path) -> Place:
    """Returns where the file goes. Raises OSError where something is that must not be replaced."""
    place = place_of(path)
    status = place.folder.status(place.name)
    if status and not place.folder.is_ours(status):
        raise PermissionError(errno.EPERM, "it is no regular file of ours")
    return place
