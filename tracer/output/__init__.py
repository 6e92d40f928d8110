# SPDX-License-Identifier: Apache-2.0
"""Where text goes: standard output, the log and its backups, tables."""
