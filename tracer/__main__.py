# SPDX-License-Identifier: Apache-2.0
"""``python -m tracer``, and the console script."""

import sys

from tracer.process import holders


def main() -> None:
    """A listing of sockets needs their holders, which takes longest: they are looked for while
    the rest is imported."""
    held_by = holders.find_meanwhile() if sys.argv[1:2] == ["sockets"] else None
    from tracer import cli  # noqa: PLC0415

    cli.main(held_by)


if __name__ == "__main__":
    main()
