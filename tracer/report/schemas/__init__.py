# SPDX-License-Identifier: Apache-2.0
"""What other schemas make of an event: a table for each, from which docs/log.md has its own."""
