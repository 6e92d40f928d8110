# SPDX-License-Identifier: Apache-2.0
"""The engine: attach, move events, sum up. Every command that traces runs it."""
