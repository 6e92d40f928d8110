# SPDX-License-Identifier: Apache-2.0
"""What the user asked to see: parsed, decided in Python, as map entries, as sock_diag bytecode."""
