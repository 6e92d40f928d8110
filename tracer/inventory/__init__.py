# SPDX-License-Identifier: Apache-2.0
"""Which sockets are open now, who holds them, and who can reach them."""
