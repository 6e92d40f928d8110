-- SPDX-License-Identifier: Apache-2.0
-- What 'sockwatch ship' writes to. As it stands here it is for shards with replicas: run it on each
-- server, in a database of its own, with the macros {shard}, {replica} and {cluster} defined.
-- 'sockwatch ship --create' runs it on each server that it ships to; 'sockwatch ship --schema'
-- prints what that would be. On a single server that is without Replicated and Distributed, and
-- on an old one without what that says that it does not have.
--
-- In the sorting keys '' and :: stand for null. `more` is what a line has besides, as JSON.
-- `token` names the block that a row came with: a block is in a table as a whole, or not at all.

-- A row for each line about an event.
CREATE TABLE IF NOT EXISTS events (
    token LowCardinality(String),
    time DateTime64(9, 'UTC'),
    host LowCardinality(String),
    run LowCardinality(String),
    event LowCardinality(String),
    proto LowCardinality(String),
    outcome LowCardinality(String),
    error LowCardinality(String),
    bytes Nullable(UInt64),
    bytes_since Nullable(UInt64),
    bytes_received Nullable(UInt64),
    bytes_received_since Nullable(UInt64),
    count UInt64 DEFAULT 1,
    last_time Nullable(DateTime64(9, 'UTC')),
    latency_us Nullable(UInt64),
    duration Nullable(Float64),
    process_id Nullable(UInt64),
    pid Nullable(UInt32),
    start_time Nullable(DateTime64(9, 'UTC')),
    comm LowCardinality(String),
    exe LowCardinality(String),
    args Array(String),
    parent LowCardinality(String),
    uid Nullable(UInt32),
    user LowCardinality(String),
    unit LowCardinality(String),
    container LowCardinality(String),
    src IPv6,
    sport Nullable(UInt16),
    dst IPv6,
    dport Nullable(UInt16),
    name LowCardinality(String),
    nat_src Nullable(IPv6),
    nat_sport Nullable(UInt16),
    nat_dst Nullable(IPv6),
    nat_dport Nullable(UInt16),
    via LowCardinality(String),
    interface LowCardinality(String),
    route_interface LowCardinality(String),
    cookie Nullable(UInt64),
    netns Nullable(UInt64),
    more String,
    sent Nullable(UInt64) ALIAS if(event = 'close', bytes_since, bytes),
    received Nullable(UInt64) ALIAS if(event = 'close', bytes_received_since, bytes_received)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/events', '{replica}')
PARTITION BY toYYYYMMDD(time)
ORDER BY (dst, host, exe, time)
TTL toDateTime(time) + INTERVAL 90 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    non_replicated_deduplication_window = 10000;

-- A row for each process of a run that had an event: (host, run, id) is its identity. It is written
-- again in each file of the log; of equal rows one is kept.
CREATE TABLE IF NOT EXISTS processes (
    token LowCardinality(String),
    time DateTime64(9, 'UTC'),
    host LowCardinality(String),
    run LowCardinality(String),
    id UInt64,
    pid Nullable(UInt32),
    initial_pid Nullable(UInt32),
    start_time Nullable(DateTime64(9, 'UTC')),
    start_boottime Nullable(Float64),
    comm LowCardinality(String),
    exe LowCardinality(String),
    args Array(String),
    ppid Nullable(UInt32),
    parents String,
    uid Nullable(UInt32),
    user LowCardinality(String),
    loginuid Nullable(UInt32),
    cgroup String,
    unit LowCardinality(String),
    container String,
    container_runtime LowCardinality(String),
    pod String,
    netns Nullable(UInt64),
    more String
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/processes', '{replica}')
PARTITION BY toYYYYMMDD(time)
ORDER BY (host, run, id)
TTL toDateTime(time) + INTERVAL 90 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    non_replicated_deduplication_window = 10000;

-- A row for each line about a run: start, alive (each minute: everything before is here), lost, netns,
-- stop. And what ship itself says: missing (`lines` of the log that are gone from `since` on; null:
-- not known how many), damaged (lines that are no lines of a log), refused (rows that the server would
-- not take as they should be: they are there, with all of them in `more`).
CREATE TABLE IF NOT EXISTS runs (
    token LowCardinality(String),
    time DateTime64(9, 'UTC'),
    host LowCardinality(String),
    run LowCardinality(String),
    event LowCardinality(String),
    since Nullable(DateTime64(9, 'UTC')),
    lines Nullable(UInt64),
    version LowCardinality(String),
    machine_id LowCardinality(String),
    boot_id LowCardinality(String),
    probe LowCardinality(String),
    filter String,
    blind_spots String,
    received_of LowCardinality(String),
    duration Nullable(Float64),
    seen Nullable(UInt64),
    matched Nullable(UInt64),
    existing Nullable(UInt64),
    undecided Nullable(UInt64),
    coalesced Nullable(UInt64),
    unfinished Nullable(UInt64),
    skipped Nullable(UInt64),
    lost Nullable(UInt64),
    received_lost Nullable(UInt64),
    processes_lost Nullable(UInt64),
    unread Nullable(UInt64),
    unfollowed Nullable(UInt64),
    kernel_replies Nullable(UInt64),
    log_lines_lost Nullable(UInt64),
    more String
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/runs', '{replica}')
PARTITION BY toYYYYMMDD(time)
ORDER BY (host, time)
TTL toDateTime(time) + INTERVAL 90 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    non_replicated_deduplication_window = 10000;

-- Who talked to whom on a day, for two years. `sent` and `received` sum up what is known of them.
-- Who may insert events need not be allowed to read them (SQL SECURITY).
CREATE TABLE IF NOT EXISTS daily (
    day Date,
    host LowCardinality(String),
    dst IPv6,
    dport UInt16,
    proto LowCardinality(String),
    exe LowCardinality(String),
    comm LowCardinality(String),
    user LowCardinality(String),
    unit LowCardinality(String),
    events UInt64,
    failed UInt64,
    sent UInt64,
    received UInt64
)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/daily', '{replica}')
PARTITION BY toYYYYMM(day)
ORDER BY (dst, host, exe, comm, user, unit, proto, dport, day)
TTL day + INTERVAL 2 YEAR
SETTINGS
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 604800,
    non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS daily_from_events TO daily
SQL SECURITY NONE
AS
SELECT
    toDate(time) AS day, host, dst, ifNull(dport, toUInt16(0)) AS dport, proto, exe, comm, user, unit,
    sum(count) AS events,
    sumIf(count, outcome = 'failed') AS failed,
    sum(ifNull(if(event = 'close', bytes_since, bytes), 0)) AS sent,
    sum(ifNull(if(event = 'close', bytes_received_since, bytes_received), 0)) AS received
FROM events
GROUP BY day, host, dst, dport, proto, exe, comm, user, unit;

-- All shards.
CREATE TABLE IF NOT EXISTS fleet_events AS events
ENGINE = Distributed('{cluster}', currentDatabase(), 'events', cityHash64(host));

CREATE TABLE IF NOT EXISTS fleet_processes AS processes
ENGINE = Distributed('{cluster}', currentDatabase(), 'processes', cityHash64(host));

CREATE TABLE IF NOT EXISTS fleet_runs AS runs
ENGINE = Distributed('{cluster}', currentDatabase(), 'runs', cityHash64(host));

CREATE TABLE IF NOT EXISTS fleet_daily AS daily
ENGINE = Distributed('{cluster}', currentDatabase(), 'daily', cityHash64(host));
