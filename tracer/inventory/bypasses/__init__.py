# SPDX-License-Identifier: Apache-2.0
"""What on this machine may send past the hooks, found by asking: nothing is changed or attached.

Each function of these modules looks for one kind of way, and raises OSError if it may not look.
"""
