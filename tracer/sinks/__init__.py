# SPDX-License-Identifier: Apache-2.0
"""Where events go: the table, JSON Lines, the log file, the answer at the end."""
