/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tracepoint probe. Of UDP it sees packets only, not a send that failed before, in the system
 * call. Of TCP it sees changes of state; the local port is often not chosen yet when the attempt
 * is reported (tcp_v4_connect() sets SYN_SENT before inet_hash_connect()).
 */

static inline bool probe_sees_calls(void)
{
	return false;
}

static inline bool probe_reports(void *ctx, struct sk_buff *skb, struct sock *sk, u8 via)
{
	return false;
}

static inline void keep_packet(struct sk_buff *skb, struct sock *sk, struct flow *flow)
{
}

static inline bool is_any_rewritten(void)
{
	return false;
}

static inline bool passes_as_named(struct flow *flow, struct sock *sk, u32 parts, bool passes)
{
	return passes;
}

static inline void undo_rewriting_of_connection(struct flow *flow, struct sock *sk)
{
}

static inline void remember_corked(struct sock *sk, u8 via)
{
}

static inline void attempt_begins(struct connection *connection, struct sock *sk)
{
	report_connection(connection, EVENT_CONNECT, ERROR_NOT_OBSERVED, sk);
}

/* Who accepts it is not known here: the tracer finds that out, and decides by process. */
static inline bool arrival_begins(struct connection *connection, struct sock *sk)
{
	u32 parts = active_filter_parts() & ~(FILTER_PID | FILTER_UID | FILTER_COMM);
	bool passes = process_passes(parts, &connection->event.flow);

	if (passes)
		report_connection(connection, EVENT_ACCEPT, 0, sk);
	return passes;
}

static inline bool call_will_tell(const struct connection *connection, int error)
{
	return false;
}
