# SPDX-License-Identifier: Apache-2.0
"""``sockwatch sockets``: what is open now."""
