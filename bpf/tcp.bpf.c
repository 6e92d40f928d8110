/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of TCP connections, on every rung from inet_sock_set_state. Later changes
 * of state happen in whatever context a packet arrives in; they belong to the process
 * that called connect(), which is kept with the socket from SYN_SENT on.
 *
 * The local port is often not chosen yet at SYN_SENT (tcp_v4_connect() sets the state
 * before inet_hash_connect()). With CONNECT_HOOKED the attempt is reported at the entry
 * of tcp_connect(), which has it; else here, without.
 */

#define TCP_ESTABLISHED 1	/* include/net/tcp_states.h */
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define SOCK_DONE 1		/* enum sock_flags: a FIN has come, which counts as a byte */

struct connection {
	u64 since;		/* the attempt, then the establishment */
	u8 kind;		/* of what was reported last; 0: nothing yet */
	u8 in_connect;		/* the call that began it has not returned */
	u8 pad[6];
	struct flow flow;
};
BPF_F_TABLE("hash", u64, struct connection, connections, 65536, BPF_F_NO_PREALLOC);

#ifdef CONNECT_HOOKED
static inline void call_goes_on(void);
#endif

/* What a socket is at this moment, reported as one event of its flow. */
static inline void report_connection(struct connection *connection, u8 kind, int error,
				     struct sock *sk)
{
	u32 parts = active_filter_parts();
	struct event event = {};
	u64 now = bpf_ktime_get_boot_ns();

	connection->kind = kind;
	if (!connection->flow.sport)
		connection->flow.sport = READ(sk, skc_num);
	if (!connection->flow.sport && kind == EVENT_CONNECT_FAILED)	/* given back by then */
		connection->flow.sport = bpf_ntohs(READ((struct inet_sock *)sk, inet_sport));
	event.flow = connection->flow;
	event.flow.kind = kind;
	event.error = error;
	event.segments = 1;
	if (kind == EVENT_CLOSE) {
		struct tcp_sock *tp = (struct tcp_sock *)sk;

		event.bytes = READ(tp, bytes_sent) - READ(tp, bytes_retrans);
		event.received = READ(tp, bytes_received) - (READ(sk, sk_flags) >> SOCK_DONE & 1);
	}
	if (kind != EVENT_CONNECT && kind != EVENT_ACCEPT)
		event.elapsed = now - connection->since;
	if (kind != EVENT_ACCEPT)
		connection->since = now;
	if (parts & FILTER_SPORT && !sport_passes(event.flow.sport))
		return;
	emit(parts, &event);
}

/* In the context of the process that calls connect(). */
static inline void connection_starts(struct sock *sk)
{
	struct connection connection = {};
	struct flow *flow = &connection.flow;
	u32 parts = active_filter_parts();
	u64 key = (u64)sk;

	connections.delete(&key);	/* of an earlier life of this struct sock */
	flow->proto = IPPROTO_TCP;
	flow->via = VIA_SOCKET;
	set_ends_of_sock(flow, sk);
	if (!addresses_pass(parts & ~FILTER_SPORT, flow))
		return;
	flow->netns = netns_of_sock(sk);
	fill_process(flow);
	if (!process_passes(parts, flow))
		return;
	flow->cookie = cookie_of(sk);
	connection.since = bpf_ktime_get_boot_ns();
#ifdef CONNECT_HOOKED
	call_goes_on();
	connection.in_connect = 1;
#else
	report_connection(&connection, EVENT_CONNECT, ERROR_NOT_OBSERVED, sk);
#endif
	if (connections.update(&key, &connection))
		COUNT(lost);
}

/* A connection from elsewhere; no process has it until one calls accept(). */
static inline void connection_arrives(struct sock *sk)
{
	struct connection connection = {};
	struct flow *flow = &connection.flow;
	u32 parts = active_filter_parts();
	u64 key = (u64)sk;

	if (!(parts & FILTER_ACCEPT))
		return;
	flow->proto = IPPROTO_TCP;
	flow->via = VIA_SOCKET;
	set_ends_of_sock(flow, sk);
	if (!addresses_pass(parts, flow))
		return;
	flow->netns = netns_of_sock(sk);
	flow->cookie = cookie_of(sk);
	connection.since = bpf_ktime_get_boot_ns();
#ifndef CONNECT_HOOKED
	if (!process_passes(parts, flow))
		return;
	report_connection(&connection, EVENT_ACCEPT, 0, sk);
#endif
	if (connections.update(&key, &connection))
		COUNT(lost);
}

static inline bool was_established(const struct connection *connection)
{
	return connection->kind == EVENT_CONNECTED || connection->kind == EVENT_ACCEPT;
}

/* Arrived, but no process was seen to accept it. */
static inline bool is_nobodys(const struct connection *connection)
{
	return !connection->kind && !connection->flow.pid &&
	       connection->flow.via != VIA_KERNEL;
}

static inline void connection_ends(struct sock *sk, struct connection *connection)
{
	int error = READ(sk, sk_err);
	u64 key = (u64)sk;

	if (is_nobodys(connection) &&
	    process_passes(active_filter_parts(), &connection->flow))
		report_connection(connection, EVENT_ACCEPT, 0, sk);
	if (was_established(connection)) {
		report_connection(connection, EVENT_CLOSE, error, sk);
	} else if (!is_nobodys(connection)) {
#ifdef CONNECT_HOOKED
		if (!error && connection->in_connect)
			return;	/* connect() is about to return the reason */
#endif
		report_connection(connection, EVENT_CONNECT_FAILED,
				  error ? error : ERROR_NOT_OBSERVED, sk);
	}
	connections.delete(&key);
}

int inet_sock_set_state(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	int from = ctx[1], to = ctx[2];
	u64 key = (u64)sk;

	if (to != TCP_SYN_SENT && to != TCP_ESTABLISHED && to != TCP_CLOSE)
		return 0;
	if (READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	COUNT(changes);
	if (to == TCP_SYN_SENT) {
		connection_starts(sk);
		return 0;
	}
	struct connection *connection = connections.lookup(&key);
	if (connection && to == TCP_CLOSE)
		connection_ends(sk, connection);
	else if (connection)
		report_connection(connection, EVENT_CONNECTED, 0, sk);
	else if (from == TCP_SYN_RECV && to == TCP_ESTABLISHED)
		connection_arrives(sk);
	return 0;
}

#ifdef CONNECT_HOOKED
/* At the entry of tcp_connect(): the port is chosen, nothing is sent yet. */
static inline void connect_attempted(struct sock *sk)
{
	u64 key = (u64)sk;
	struct connection *connection = connections.lookup(&key);

	if (connection)
		report_connection(connection, EVENT_CONNECT, ERROR_NOT_OBSERVED, sk);
}

/* What connect() was asked for, as far as it matches; false if it does not. */
static inline bool fill_attempt(struct flow *flow, struct sock *sk, void *address, u32 parts)
{
	flow->proto = IPPROTO_TCP;
	flow->via = VIA_SOCKET;
	set_ends_of_sock(flow, sk);
	forget_unspecified_source(flow);
	if (!set_destination(flow, address) || !addresses_pass(parts, flow))
		return false;
	flow->netns = netns_of_sock(sk);
	fill_process(flow);
	return process_passes(parts, flow);
}

/*
 * When tcp_v4_connect() or tcp_v6_connect() has failed: after SYN_SENT there is a
 * connection whose end waits for this; before (no route) there is only the address.
 */
static inline void connect_returned(struct sock *sk, void *address, int result, bool ipv6)
{
	struct connection fresh = {};
	struct flow *flow = &fresh.flow;
	u32 parts = active_filter_parts();
	u64 key = (u64)sk;

	struct connection *known = connections.lookup(&key);
	if (known && result >= 0)
		known->in_connect = 0;
	if (result >= 0)
		return;
	if (known) {
		report_connection(known, EVENT_CONNECT_FAILED, -result, sk);
		connections.delete(&key);
		return;
	}
	if (READ(sk, skc_state) != TCP_CLOSE)
		return;		/* connected already, or failed and reported */
	COUNT(changes);
	if (!fill_attempt(flow, sk, address, parts) || (ipv6 && is_ipv4(flow->daddr)))
		return;		/* tcp_v6_connect() left IPv4 to tcp_v4_connect() */
	flow->cookie = known_cookie(sk);
	fresh.since = bpf_ktime_get_boot_ns();
	report_connection(&fresh, EVENT_CONNECT_FAILED, -result, sk);
}

/* inet_csk_accept() gave a connection to the current process. */
static inline void accept_returned(struct sock *sk)
{
	u32 parts = active_filter_parts();
	u64 key = (u64)sk;
	struct connection *connection = sk ? connections.lookup(&key) : 0;

	if (!connection || connection->kind)
		return;
	fill_process(&connection->flow);
	if (process_passes(parts, &connection->flow))
		report_connection(connection, EVENT_ACCEPT, 0, sk);
	else
		connections.delete(&key);
}
#endif
