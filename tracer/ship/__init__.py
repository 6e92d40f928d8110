# SPDX-License-Identifier: Apache-2.0
"""``sockwatch ship``: a log's lines to ClickHouse, each exactly once."""
