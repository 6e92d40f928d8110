# SPDX-License-Identifier: Apache-2.0
"""Reports of what many hosts have shipped to ClickHouse: packaging/clickhouse/schema.sql."""
