# SPDX-License-Identifier: Apache-2.0
"""``python -m tracer``, and the console script."""

import sys

from tracer.process import holders


def main() -> None:
    """A listing of sockets needs their holders, which takes longest: they are looked for while
    the rest is imported."""
    try:
        held_by = holders.find_meanwhile() if sys.argv[1:2] == ["sockets"] else None
        from tracer import cli  # noqa: PLC0415

        cli.main(held_by)
    except KeyboardInterrupt:  # Ctrl-C before there was anything to end
        sys.exit(0)


if __name__ == "__main__":
    main()
