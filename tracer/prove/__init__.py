# SPDX-License-Identifier: Apache-2.0
"""``sockwatch prove``: nobody sent to an address, and the proof; or who did."""
