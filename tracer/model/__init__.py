# SPDX-License-Identifier: Apache-2.0
"""The nouns: addresses, processes, sockets, flows, and the fields of an event."""
