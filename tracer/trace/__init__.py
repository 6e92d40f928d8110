# SPDX-License-Identifier: Apache-2.0
"""The engine, which every command that traces runs: it attaches, moves events and sums up."""
