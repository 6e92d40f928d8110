# SPDX-License-Identifier: Apache-2.0
"""``python -m tracer``."""

from tracer.cli import main

main()
