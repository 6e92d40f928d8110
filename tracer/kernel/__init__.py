# SPDX-License-Identifier: Apache-2.0
"""Everything that speaks BPF: layouts, programs, loading, the ring buffer, maps."""
