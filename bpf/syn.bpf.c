/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The first packet of a TCP connection shows what NAT makes of both ends, which the hooks on
 * connections know as the process has named them.
 */

/* A connection that has just begun; the stack has no room for one. */
BPF_ARRAY(no_connection, struct connection, 1);

/* Sets what NAT has made of a connection that is followed. */
static inline void keep_nat(struct connection *connection, const struct flow *flow)
{
	struct flow *kept = &connection->event.flow;

	__builtin_memcpy(kept->nat_saddr, flow->nat_saddr, 16);
	kept->nat_sport = flow->nat_sport;
	if (flow->nat & NAT_DST) {	/* else it is what a program of a cgroup has made */
		__builtin_memcpy(kept->hop, flow->hop, 16);
		kept->nat_dport = flow->nat_dport;
	}
	kept->nat = (kept->nat & NAT_DST) | flow->nat;
}

/* Is this the first packet of a connection of the current thread that NAT changes, and that is not
 * followed? Then *flow has its ends. If it is followed, sets what NAT makes of it. The thread's packet
 * may have waited for its neighbour, and be sent by an interrupt. */
static inline bool is_unknown_by_name(struct flow *flow, struct sk_buff *skb)
{
	if (!begins_tracked(skb))
		return false;
	struct sock *sk = READ(skb, sk);
	u64 key = (u64)sk;

	if (!sk || READ(sk, skc_state) != TCP_SYN_SENT || READ(sk, sk_protocol) != IPPROTO_TCP)
		return false;
	flow->proto = IPPROTO_TCP;
	set_ends_after_nat(flow, skb);
	undo_nat(flow, skb);
	if (!flow->nat)
		return false;
	FORGET(*flow);
	struct connection *connection = connections.lookup(&key);
	if (connection)
		keep_nat(connection, flow);
	u64 *thread = connecting.lookup(&key);
	return !connection && thread && *thread == bpf_get_current_pid_tgid();
}

/* Follows a connection of the current thread that matches only by what NAT makes of it. Its attempt,
 * which has not matched, is reported now. */
static inline void connection_starts_late(struct event *event, struct sk_buff *skb, u64 cookie)
{
	struct sock *sk = READ_ARGUMENT(skb, sk);
	struct flow *flow = &event->flow;
	u32 parts = active_filter_parts(), zero = 0;
	struct connection *connection = no_connection.lookup(&zero);
	u64 key = (u64)sk;

	if (!sk)
		return;
	CHECKED(sk);
	flow->via = VIA_SOCKET;
	undo_rewriting_of_connection(flow, sk);
	if (!connection || !addresses_pass(without_sport(parts), flow))
		return;
	if (!fill_connector(flow, sk, parts))
		return;
	flow->cookie = cookie;
	connections.update(&key, connection);
	connection = connections.lookup(&key);
	if (!connection) {
		COUNT(lost);
		return;
	}
	connection->since = bpf_ktime_get_boot_ns();
	connection->in_connect = probe_sees_calls();
	connection->event = *event;
	report_connection(connection, EVENT_CONNECT, ERROR_NOT_OBSERVED, sk);
}
