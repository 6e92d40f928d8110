/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For the probes that hook connect() and accept() themselves. The local port is often not chosen
 * yet at SYN_SENT (tcp_v4_connect() sets the state before inet_hash_connect()), so the attempt is
 * reported at the entry of tcp_connect().
 */

/* connect() has reached SYN_SENT: from there on inet_sock_set_state() reports the outcome. Only
 * calls.bpf.c needs this. */
static inline void call_goes_on(void);

static inline void attempt_begins(struct connection *connection, struct sock *sk)
{
	call_goes_on();
	connection->in_connect = 1;
}

static inline bool arrival_begins(struct connection *connection, struct sock *sk)
{
	return true;	/* the return of accept() tells which process has it */
}

static inline bool call_will_tell(const struct connection *connection, int error)
{
	return !error && connection->in_connect;
}

/* At the entry of tcp_connect(): the port is chosen, nothing is sent yet. */
static inline void connect_attempted(struct sock *sk)
{
	u64 key = (u64)sk;
	struct connection *connection = connections.lookup(&key);

	if (connection)
		report_connection(connection, EVENT_CONNECT, ERROR_NOT_OBSERVED, sk);
}

/* Fills in what connect() was asked for; false if that does not match. */
static inline bool fill_attempt(struct flow *flow, struct sock *sk, void *address, u32 parts)
{
	flow->proto = IPPROTO_TCP;
	flow->via = VIA_SOCKET;
	set_ends_of_sock(flow, sk);
	forget_unspecified_source(flow);
	if (!set_destination(flow, address))
		return false;
	undo_rewriting_of_connection(flow, sk);
	if (!addresses_pass(parts, flow))
		return false;
	FORGET(*flow);	/* as in fill_datagram() */
	return fill_connector(flow, sk, parts);
}

/*
 * Reports that tcp_v4_connect() or tcp_v6_connect() has failed. After SYN_SENT, there is
 * a connection whose end was left to this; before (no route), there is only the address.
 */
static inline void connect_returned(struct sock *sk, void *address, int result, bool ipv6)
{
	struct connection fresh = {};
	struct flow *flow = &fresh.event.flow;
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

/*
 * inet_csk_accept() gave a connection to the current process. A call from before the hook on its
 * return was there is seen by what inet_accept() calls next, security_sock_graft().
 */
static inline void accept_returned(struct sock *sk)
{
	u32 parts = active_filter_parts();
	u64 key = (u64)sk;
	struct connection *connection = sk ? connections.lookup(&key) : 0;

	if (!connection || connection->event.flow.kind)
		return;
	fill_process(&connection->event.flow);
	if (process_passes(parts, &connection->event.flow))
		report_connection(connection, EVENT_ACCEPT, 0, sk);
	else
		connections.delete(&key);
}
