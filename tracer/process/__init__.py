# SPDX-License-Identifier: Apache-2.0
"""Who it was: what /proc and the user database say of a process."""
