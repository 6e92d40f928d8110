# SPDX-License-Identifier: Apache-2.0
"""The unit as the package installs it, in a guest that systemd has booted: scripts/vm --systemd."""

import os

collect_ignore_glob = [] if os.environ.get("SOCKWATCH_SYSTEMD") else ["test_*.py"]
